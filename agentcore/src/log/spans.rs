//! The `tracing` spans around an event: their names and fields.
//!
//! tracing-subscriber's registry could keep them, but brings crates that the library does without. [`Registry`] gives spans their
//! ids in the log that the library sets up. [`Records`] keeps their fields, there and in a subscriber of the program's own.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_core::span::Current;

use super::fields::{Fields, Said};
use crate::util::sync::{Mutex, MutexGuard};

/// The most bytes of text that the fields of one span have together. A client may decide their content, such as a path.
const LONGEST_FIELDS: usize = 4 << 10;

/// The most spans that a line shows. The outer ones are left out.
const MOST_SPANS: usize = 16;

/// The number of locks that the spans of a subscriber are spread over.
const SHARDS: usize = 16;

thread_local! {
    /// The spans that this thread has entered, the innermost last. Each belongs to one of the subscribers.
    static ENTERED: RefCell<Vec<(Owner, u64)>> = const { RefCell::new(Vec::new()) };
}

/// One subscriber. Each has its own span ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner(usize);

impl Owner {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn enter(self, id: &Id) {
        // A thread that is ending may have dropped its list.
        let _ = ENTERED.try_with(|entered| entered.borrow_mut().push((self, id.into_u64())));
    }

    pub(super) fn exit(self, id: &Id) {
        let left = (self, id.into_u64());
        let _ = ENTERED.try_with(|entered| {
            let mut entered = entered.borrow_mut();
            if let Some(place) = entered.iter().rposition(|span| *span == left) {
                entered.remove(place);
            }
        });
    }

    /// The innermost span that this thread is in.
    fn innermost(self) -> Option<u64> {
        let innermost = |entered: &RefCell<Vec<(Self, u64)>>| {
            let entered = entered.borrow();
            let own = entered.iter().rev().find(|(owner, _)| *owner == self);
            own.map(|(_, id)| *id)
        };
        ENTERED.try_with(innermost).ok().flatten()
    }
}

/// A map from span ids, with one lock per shard.
struct Shards<T>([Mutex<HashMap<u64, T>>; SHARDS]);

impl<T> Shards<T> {
    fn new() -> Self {
        Self(std::array::from_fn(|_| Mutex::new(HashMap::new())))
    }

    fn of(&self, id: u64) -> MutexGuard<'_, HashMap<u64, T>> {
        self.0[id as usize % SHARDS].lock()
    }
}

/// The subscriber below the log: it allots span ids, counts handles, and knows the current span.
pub(super) struct Registry {
    owner: Owner,
    next: AtomicU64,
    open: Shards<Open>,
}

struct Open {
    metadata: &'static Metadata<'static>,
    handles: usize,
}

impl Registry {
    pub(super) fn new() -> Self {
        Self {
            owner: Owner::new(),
            next: AtomicU64::new(1),
            open: Shards::new(),
        }
    }
}

impl Subscriber for Registry {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let open = Open {
            metadata: attributes.metadata(),
            handles: 1,
        };
        self.open.of(id).insert(id, open);
        Id::from_u64(id)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, id: &Id) {
        self.owner.enter(id);
    }

    fn exit(&self, id: &Id) {
        self.owner.exit(id);
    }

    fn clone_span(&self, id: &Id) -> Id {
        if let Some(open) = self.open.of(id.into_u64()).get_mut(&id.into_u64()) {
            open.handles += 1;
        }
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let id = id.into_u64();
        let mut open = self.open.of(id);
        let Some(span) = open.get_mut(&id) else {
            return false;
        };
        span.handles -= 1;
        let is_last = span.handles == 0;
        if is_last {
            open.remove(&id);
        }
        is_last
    }

    fn current_span(&self) -> Current {
        let current = self.owner.innermost().and_then(|id| {
            let metadata = self.open.of(id).get(&id)?.metadata;
            Some(Current::new(Id::from_u64(id), metadata))
        });
        current.unwrap_or_else(Current::none)
    }
}

/// The open spans, with their fields.
pub(super) struct Records {
    pub(super) owner: Owner,
    open: Shards<Recorded>,
}

/// One span, and the spans around it, the outermost first. An outer span may be closed: its fields are kept as long as a span
/// within it is open.
#[derive(Clone)]
struct Recorded {
    around: Vec<Arc<Own>>,
    own: Arc<Own>,
}

/// The name and the fields of a span.
struct Own {
    name: &'static str,
    fields: Mutex<Fields>,
}

impl Records {
    pub(super) fn new() -> Self {
        Self {
            owner: Owner::new(),
            open: Shards::new(),
        }
    }

    pub(super) fn begin(&self, attributes: &Attributes<'_>, id: &Id) {
        // The program's own code formats the fields, and may log. So no lock is held.
        let mut fields = Fields::within(LONGEST_FIELDS);
        attributes.record(&mut fields);
        let parent = match attributes.parent() {
            Some(parent) => self.find(parent.into_u64()),
            None if attributes.is_contextual() => self.innermost(),
            None => None,
        };
        let mut around = parent.map(Recorded::into_list).unwrap_or_default();
        let too_many = (around.len() + 1).saturating_sub(MOST_SPANS);
        around.drain(..too_many);
        let own = Arc::new(Own {
            name: attributes.metadata().name(),
            fields: Mutex::new(fields),
        });
        let id = id.into_u64();
        self.open.of(id).insert(id, Recorded { around, own });
    }

    pub(super) fn record(&self, id: &Id, values: &Record<'_>) {
        let Some(span) = self.find(id.into_u64()) else {
            return;
        };
        let mut later = Fields::within(LONGEST_FIELDS);
        values.record(&mut later);
        span.own.fields.lock().merge(later);
    }

    pub(super) fn close(&self, id: &Id) {
        let id = id.into_u64();
        let closed = self.open.of(id).remove(&id);
        // Dropped outside the lock.
        drop(closed);
    }

    /// The spans around `event`, the outermost first.
    pub(super) fn around(&self, event: &Event<'_>) -> Vec<Around> {
        let innermost = match event.parent() {
            Some(parent) => self.find(parent.into_u64()),
            None if event.is_contextual() => self.innermost(),
            None => None,
        };
        let spans = innermost.map(Recorded::into_list).unwrap_or_default();
        let show = |own: &Arc<Own>| Around {
            name: own.name,
            fields: own.fields.lock().values.clone(),
        };
        spans.iter().map(show).collect()
    }

    fn find(&self, id: u64) -> Option<Recorded> {
        self.open.of(id).get(&id).cloned()
    }

    fn innermost(&self) -> Option<Recorded> {
        self.find(self.owner.innermost()?)
    }
}

impl Recorded {
    fn into_list(self) -> Vec<Arc<Own>> {
        let mut list = self.around;
        list.push(self.own);
        list
    }
}

/// A span as a line shows it.
pub(super) struct Around {
    pub(super) name: &'static str,
    pub(super) fields: Vec<(&'static str, Said)>,
}

#[cfg(test)]
mod tests {
    use std::fmt;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use serde_json::{Value, json};
    use tracing::{info, info_span};
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::{Context, SubscriberExt as _};

    use super::*;
    use crate::config::LogFormat;
    use crate::log::line::Line;

    /// The log's layer, with a channel instead of stderr.
    struct Lines {
        spans: Arc<Records>,
        format: LogFormat,
        lines: Sender<String>,
    }

    impl<S: Subscriber> Layer<S> for Lines {
        fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
            self.spans.begin(attributes, id);
        }

        fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
            self.spans.record(id, values);
        }

        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let line = Line::of(event, self.spans.around(event));
            let _ = self.lines.send(line.render(self.format));
        }

        fn on_enter(&self, id: &Id, _: Context<'_, S>) {
            self.spans.owner.enter(id);
        }

        fn on_exit(&self, id: &Id, _: Context<'_, S>) {
            self.spans.owner.exit(id);
        }

        fn on_close(&self, id: Id, _: Context<'_, S>) {
            self.spans.close(&id);
        }
    }

    fn log(
        format: LogFormat,
    ) -> (
        impl Subscriber + Send + Sync,
        Arc<Records>,
        Receiver<String>,
    ) {
        let (sender, lines) = channel();
        let spans = Arc::new(Records::new());
        let layer = Lines {
            spans: Arc::clone(&spans),
            format,
            lines: sender,
        };
        (Registry::new().with(layer), spans, lines)
    }

    /// The spans on each line that `work` writes.
    fn spans_of(work: impl FnOnce()) -> Vec<Value> {
        let (subscriber, records, lines) = log(LogFormat::Json);
        tracing::subscriber::with_default(subscriber, work);
        let open: usize = records.open.0.iter().map(|shard| shard.lock().len()).sum();
        assert_eq!(open, 0, "spans that are over");
        let parsed = lines.try_iter().map(|line| {
            let mut line: Value = serde_json::from_str(&line).expect("JSON");
            line["spans"].take()
        });
        parsed.collect()
    }

    #[test]
    fn a_line_has_the_fields_of_the_spans_around_it_the_outermost_first() {
        let spans = spans_of(|| {
            info!("outside");
            let outer = info_span!("request", method = "GET", uri = ?"/a b", size = 7, name = "n");
            outer.in_scope(|| {
                info_span!("inner").in_scope(|| info!("inside"));
                info!("behind it");
            });
            info!("outside again");
        });
        let request = json!({ "name": "request", "method": "GET", "uri": "\"/a b\"", "size": 7, "field.name": "n" });
        assert_eq!(
            spans,
            [
                Value::Null,
                json!([request, { "name": "inner" }]),
                json!([request]),
                Value::Null,
            ]
        );
    }

    #[test]
    fn what_is_recorded_later_is_on_later_lines() {
        let spans = spans_of(|| {
            let span = info_span!("job", step = 1, rows = tracing::field::Empty);
            let _within = span.enter();
            info!("before");
            span.record("rows", 12).record("step", 2);
            info!("after");
        });
        assert_eq!(
            spans,
            [
                json!([{ "name": "job", "step": 1 }]),
                json!([{ "name": "job", "step": 2, "rows": 12 }]),
            ]
        );
    }

    #[test]
    fn a_parent_that_is_named_counts_wherever_the_line_is_written() {
        let spans = spans_of(|| {
            let outer = info_span!("outer", a = 1);
            let inner = info_span!(parent: &outer, "inner", b = 2);
            // The inner span still shows it.
            drop(outer);
            info_span!("elsewhere").in_scope(|| {
                info!(parent: &inner, "of the inner span");
                info!(parent: None, "of no span");
            });
            std::thread::scope(|scope| {
                let log = tracing::dispatcher::get_default(Clone::clone);
                let inner = inner.clone();
                scope.spawn(move || {
                    tracing::dispatcher::with_default(&log, || {
                        info!("of no span");
                        inner.in_scope(|| info!("of the inner span"));
                    });
                });
            });
        });
        let inner = json!([{ "name": "outer", "a": 1 }, { "name": "inner", "b": 2 }]);
        assert_eq!(spans, [inner.clone(), Value::Null, Value::Null, inner]);
    }

    #[test]
    fn spans_that_are_left_in_another_order_leave_the_right_one() {
        let spans = spans_of(|| {
            let (one, two) = (info_span!("one"), info_span!("two"));
            let (in_one, in_two) = (one.enter(), two.enter());
            drop(in_one);
            info!("in two");
            drop(in_two);
            info!("in none");
        });
        assert_eq!(spans, [json!([{ "name": "two" }]), Value::Null]);
    }

    #[test]
    fn a_task_of_the_current_span_stays_in_it() {
        let spans = spans_of(|| {
            let current = info_span!("job").in_scope(tracing::Span::current);
            current.in_scope(|| info!("in a task"));
        });
        assert_eq!(spans, [json!([{ "name": "job" }])]);
    }

    #[test]
    fn fields_and_spans_have_bounds() {
        let long = "ü".repeat(LONGEST_FIELDS);
        let spans = spans_of(|| {
            let span = info_span!("long", first = %long, later = tracing::field::Empty, n = 1);
            span.record("later", "no room for it");
            span.in_scope(|| info!("long"));
            span.record("first", "short")
                .record("later", "now there is");
            span.in_scope(|| info!("short"));
            fn nested(depth: usize) {
                if depth == 0 {
                    return info!("deep");
                }
                info_span!("level", depth).in_scope(|| nested(depth - 1));
            }
            nested(10 * MOST_SPANS);
        });
        let first = spans[0][0]["first"].as_str().expect("a text");
        let end = format!("ü [cut: {LONGEST_FIELDS} of {} bytes]", 2 * LONGEST_FIELDS);
        assert!(first.ends_with(&end), "{} bytes", first.len());
        assert_eq!(spans[0][0]["later"], " [cut: 0 of 14 bytes]");
        assert_eq!(spans[0][0]["n"], 1);
        let short = json!([{ "name": "long", "first": "short", "n": 1, "later": "now there is" }]);
        assert_eq!(spans[1], short);
        let deep = spans[2].as_array().expect("spans");
        assert_eq!(deep.len(), MOST_SPANS);
        assert_eq!(deep[MOST_SPANS - 1]["depth"], 1);
    }

    /// A value that logs while it is formatted.
    struct Noisy;

    impl fmt::Debug for Noisy {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            info!("while it is formatted");
            f.write_str("noisy")
        }
    }

    #[test]
    fn a_value_may_log_while_it_is_formatted() {
        let spans = spans_of(|| {
            let span = info_span!("job", value = tracing::field::Empty);
            span.in_scope(|| {
                span.record("value", tracing::field::debug(Noisy));
                info!("after");
            });
        });
        assert_eq!(spans[0], json!([{ "name": "job" }]));
        assert_eq!(spans[1], json!([{ "name": "job", "value": "noisy" }]));
    }

    #[test]
    fn a_pretty_line_has_the_spans_before_its_message() {
        let (subscriber, _, lines) = log(LogFormat::Pretty);
        tracing::subscriber::with_default(subscriber, || {
            let request = info_span!("request", method = "GET", uri = "/a\n b");
            request.in_scope(|| info_span!("inner").in_scope(|| info!("hello")));
        });
        let line = lines.try_recv().expect("a line");
        let spans = r#"  INFO request{method=GET uri="/a\n b"}: inner: agentcore::log::spans::tests: hello"#;
        assert!(line.ends_with(spans), "{line}");
    }
}
