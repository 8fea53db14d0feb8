//! The library's own spans, and which span is current.

use std::future::Future;
use std::pin::Pin;
use std::str::FromStr as _;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use opentelemetry::baggage::BaggageExt as _;
#[cfg(feature = "durable")]
use opentelemetry::trace::Link;
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, SpanRef, Status, TraceContextExt as _, TraceFlags, TraceId,
    TraceState, Tracer as _,
};
use opentelemetry::{Context, KeyValue};
use pin_project_lite::pin_project;

use super::ids::{self, SESSION_ID};
use super::instruments;
use super::setup::{self, Pipeline};
use crate::headers::{self, Baggage, RemoteSpan, session_id};
use crate::report::Kind;
use crate::report::Outcome;

/// One span of the library, with the context for everything below it; empty while tracing is off. The span ends when it is
/// dropped.
#[derive(Debug, Default)]
pub(crate) struct Span(Option<Context>);

impl Span {
    /// The span of a request that has just arrived.
    ///
    /// `own_path` is the path of invocations, or that of the Model Context Protocol for a tool. `route` is the method and the path
    /// of a request to a route.
    pub(crate) fn request(
        kind: Kind,
        handler: &'static str,
        own_path: &str,
        headers: &HeaderMap,
        route: Option<&str>,
    ) -> Self {
        let (method, path) = match kind {
            Kind::Invocation => ("POST", own_path),
            #[cfg(feature = "ws")]
            Kind::Socket => ("GET", "/ws"),
            Kind::Route => match route.and_then(|route| route.split_once(' ')) {
                Some(parts) => parts,
                None => return Self::default(),
            },
            // Probes and assets would be most of all traces.
            Kind::IdleRoute => return Self::default(),
            #[cfg(feature = "mcp")]
            Kind::Tool => ("POST", own_path),
            Kind::Other | Kind::Ping | Kind::Hook => return Self::default(),
        };
        let Some(pipeline) = setup::pipeline() else {
            return Self::default();
        };
        instruments::begin(pipeline, kind);
        let agent = &pipeline.agent;
        let mut attributes = vec![
            KeyValue::new("code.function.name", handler),
            KeyValue::new("http.request.method", method.to_owned()),
            KeyValue::new("url.path", path.to_owned()),
        ];
        #[cfg(feature = "mcp")]
        let is_tool = kind == Kind::Tool;
        #[cfg(not(feature = "mcp"))]
        let is_tool = false;
        let invokes = kind != Kind::Route;
        if invokes {
            let operation = if is_tool {
                attributes.push(KeyValue::new("gen_ai.tool.name", handler));
                "execute_tool"
            } else {
                "invoke_agent"
            };
            attributes.push(KeyValue::new("gen_ai.operation.name", operation));
            attributes.push(KeyValue::new("gen_ai.agent.name", agent.name.clone()));
        }
        if let Some(id) = agent.id.as_ref().filter(|_| invokes) {
            attributes.push(KeyValue::new("gen_ai.agent.id", id.clone()));
        }
        let session = session_id(headers);
        if let Some(session) = session {
            attributes.push(KeyValue::new("gen_ai.conversation.id", shown(session)));
        }
        let builder = pipeline
            .tracer
            .span_builder(if is_tool {
                format!("execute_tool {handler}").into()
            } else if invokes {
                agent.span_name.clone()
            } else {
                method.to_owned().into()
            })
            .with_kind(SpanKind::Server)
            .with_attributes(attributes);
        let (parent, root) = parent(headers, session);
        let start = || pipeline.tracer.build_with_context(builder, &parent);
        let span = match root {
            Some(id) => ids::with_trace_id(id, start),
            None => start(),
        };
        Self(Some(parent.with_span(span)))
    }

    /// The span of a task, as a child of the current span.
    pub(crate) fn task(name: &str) -> Self {
        Self::below_current(format!("task {name}"), || {
            vec![KeyValue::new("agentcore.task.name", name.to_owned())]
        })
    }

    pub(crate) fn stream() -> Self {
        Self::below_current("stream".to_owned(), Vec::new)
    }

    /// The span of the submission of a durable job, as a child of the current span.
    #[cfg(feature = "durable")]
    pub(crate) fn durable_submit(task: &str) -> Self {
        Self::below_current("durable.submit".to_owned(), || {
            vec![KeyValue::new("agentcore.task.name", task.to_owned())]
        })
    }

    /// The span of a step of a durable job, as a child of the current span.
    #[cfg(feature = "durable")]
    pub(crate) fn durable_step(step: &str) -> Self {
        Self::below_current("durable.step".to_owned(), || {
            vec![KeyValue::new("agentcore.step.name", shown(step))]
        })
    }

    /// The span of an attempt of a durable job. It is the root of a trace, with a link to the span that submitted the job, because
    /// hours may pass between the two.
    #[cfg(feature = "durable")]
    pub(crate) fn durable_run(task: &str, job: &str, attempt: u32, headers: &HeaderMap) -> Self {
        let Some(Pipeline { tracer, .. }) = setup::pipeline() else {
            return Self::default();
        };
        let submitted = parent(headers, None).0;
        let submitted = submitted.span().span_context().clone();
        let links = submitted.is_valid().then(|| Link::with_context(submitted));
        let mut attributes = vec![
            KeyValue::new("agentcore.task.name", task.to_owned()),
            KeyValue::new("agentcore.job.id", job.to_owned()),
            KeyValue::new("agentcore.job.attempt", i64::from(attempt)),
        ];
        if let Some(session) = session_id(headers) {
            attributes.push(KeyValue::new("gen_ai.conversation.id", shown(session)));
        }
        let builder = tracer
            .span_builder("durable.run")
            .with_kind(SpanKind::Consumer)
            .with_links(links.into_iter().collect())
            .with_attributes(attributes);
        let root = Context::new();
        let span = tracer.build_with_context(builder, &root);
        Self(Some(root.with_span(span)))
    }

    fn below_current(name: String, attributes: impl FnOnce() -> Vec<KeyValue>) -> Self {
        let Some(Pipeline { tracer, .. }) = setup::pipeline() else {
            return Self::default();
        };
        let parent = Context::current();
        let builder = tracer
            .span_builder(name)
            .with_kind(SpanKind::Internal)
            .with_attributes(attributes());
        let span = tracer.build_with_context(builder, &parent);
        Self(Some(parent.with_span(span)))
    }

    pub(crate) fn current(&self) -> Current {
        Current(self.0.clone())
    }

    pub(crate) fn note(&self, outcome: Outcome) {
        if let Some(context) = &self.0 {
            note_on(&context.span(), outcome);
        }
    }

    /// Ends the span of a request of this kind and age.
    pub(crate) fn finish<'a>(
        &self,
        outcome: Outcome,
        status: Option<StatusCode>,
        (kind, age): (Kind, Duration),
        request_id: impl FnOnce() -> &'a str,
    ) {
        let Some(context) = &self.0 else { return };
        let span = context.span();
        self.note(outcome);
        let id = shown(request_id());
        span.set_attribute(KeyValue::new("agentcore.request.id", id));
        if let Some(status) = status {
            let status = i64::from(status.as_u16());
            span.set_attribute(KeyValue::new("http.response.status_code", status));
        }
        span.end();
        if let Some(pipeline) = setup::pipeline() {
            instruments::end(pipeline, kind, outcome, age);
        }
    }
}

fn note_on(span: &SpanRef<'_>, outcome: Outcome) {
    span.set_attribute(KeyValue::new("agentcore.outcome", outcome.name()));
    // A 4xx is the client's mistake, and a cancelled request is no error.
    if matches!(
        outcome,
        Outcome::Error | Outcome::Timeout | Outcome::Panic | Outcome::CutOff
    ) {
        span.set_attribute(KeyValue::new("error.type", outcome.name()));
        span.set_status(Status::error(""));
    }
}

/// Records the outcome of the caller's work on the current span.
pub(crate) fn note_here(outcome: Outcome) {
    if setup::is_on() {
        Context::map_current(|context| note_on(&context.span(), outcome));
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let Some(context) = &self.0 else { return };
        if std::thread::panicking() {
            self.note(Outcome::Panic);
        }
        // The context may still be in use elsewhere, but the span's own time is over.
        context.span().end();
    }
}

/// Clients send ids, and an attribute as long as a header is of no use.
fn shown(id: &str) -> String {
    id.chars().take(256).collect()
}

/// The parent context in a request's headers. If they name a trace and no span, the trace's id is returned too.
fn parent(headers: &HeaderMap, session: Option<&str>) -> (Context, Option<TraceId>) {
    let mut context = Context::new();
    let mut entries: Vec<_> = Vec::new();
    if headers.contains_key(headers::BAGGAGE) {
        let baggage = Baggage::of(headers);
        entries.extend(
            baggage
                .iter()
                .map(|(key, value)| KeyValue::new(key.to_owned(), value.to_owned())),
        );
    }
    if let Some(session) = session {
        // The session is the platform's, and not one that a caller names in its baggage.
        entries.retain(|entry| entry.key.as_str() != SESSION_ID);
        entries.push(KeyValue::new(SESSION_ID, shown(session)));
    }
    // Entries that are copied to spans come first: baggage has a limit of entries, and drops the last ones.
    entries.sort_by_key(|entry| !ids::is_stamped(entry.key.as_str()));
    if !entries.is_empty() {
        context = context.with_baggage(entries);
    }
    let text = |name: HeaderName| headers::text(headers, &name);
    let remote = RemoteSpan::of(text(headers::TRACEPARENT), text(headers::X_AMZN_TRACE_ID));
    let Some(RemoteSpan {
        trace,
        span,
        sampled,
    }) = remote
    else {
        return (context, None);
    };
    let trace = TraceId::from(trace);
    let span = match (span, sampled) {
        (Some(span), _) => span,
        // "Not recorded" can only be inherited from a parent, so this makes one. No collector ever gets it.
        (None, Some(false)) => ids::random_span(),
        (None, _) => return (context, Some(trace)),
    };
    let state = headers::trace_state(headers).and_then(|text| TraceState::from_str(&text).ok());
    let flags = TraceFlags::default().with_sampled(sampled.unwrap_or(true));
    let span = SpanId::from(span);
    let remote = SpanContext::new(trace, span, flags, true, state.unwrap_or_default());
    (context.with_remote_span_context(remote), None)
}

pub(crate) fn current_span() -> Option<(u128, u64)> {
    setup::pipeline()?;
    Context::map_current(|context| {
        let span = context.span();
        let span = span.span_context();
        let trace = u128::from_be_bytes(span.trace_id().to_bytes());
        let id = u64::from_be_bytes(span.span_id().to_bytes());
        span.is_valid().then_some((trace, id))
    })
}

/// Sets the current span as the parent of the request that `headers` belong to.
pub(crate) fn inject(headers: &mut HeaderMap) {
    if setup::pipeline().is_none() {
        return;
    }
    Context::map_current(|context| {
        let span = context.span();
        let span = span.span_context();
        if !span.is_valid() {
            return;
        }
        let (trace, id) = (span.trace_id().to_string(), span.span_id());
        let sampled = u8::from(span.is_sampled());
        let (time, random) = trace.split_at(8);
        let mut set = |name: HeaderName, text: String| {
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(name, value);
            }
        };
        set(
            headers::X_AMZN_TRACE_ID,
            format!("Root=1-{time}-{random};Parent={id};Sampled={sampled}"),
        );
        set(
            headers::TRACEPARENT,
            format!("00-{trace}-{id}-{sampled:02x}"),
        );
    });
}

/// A context: the current span, and the baggage.
#[derive(Clone, Debug)]
pub(crate) struct Current(Option<Context>);

impl Current {
    /// The caller's context.
    pub(crate) fn here() -> Self {
        Self(setup::is_on().then(Context::current))
    }

    /// Wraps `future`: this context is current whenever the future is polled and when it is dropped.
    pub(crate) fn wrap<F>(self, future: F) -> Traced<F> {
        Traced {
            future: Some(future),
            current: self,
        }
    }

    pub(crate) fn within<R>(self, work: impl FnOnce() -> R) -> R {
        let _attached = self.0.map(Context::attach);
        work()
    }
}

pin_project! {
    #[derive(Debug)]
    pub(crate) struct Traced<F> {
        #[pin]
        future: Option<F>,
        current: Current,
    }

    impl<F> PinnedDrop for Traced<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            this.current.clone().within(|| this.future.set(None));
        }
    }
}

impl<F: Future> Future for Traced<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<F::Output> {
        let this = self.project();
        let Some(future) = this.future.as_pin_mut() else {
            return Poll::Pending;
        };
        this.current.clone().within(|| future.poll(cx))
    }
}
