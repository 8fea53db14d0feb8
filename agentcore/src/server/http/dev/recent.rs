//! The latest invocations: when each began, how long it took, and how it ended. No request or reply is kept, except for the
//! text of an error.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{StatusCode, header};
use http_body::{Body as _, Frame, SizeHint};
use serde_json::{Value, json};

use crate::config::ErrorMode;
use crate::error::BoxError;
use crate::handler::body::Settled;
use crate::server::http::router::ReplyBody;
use crate::server::threads::wakeups::Batched;
use crate::util::sync::Mutex;

const MOST: usize = 50;

/// The most characters of an error's text that the page shows.
const MOST_LETTERS: usize = 400;

/// How many bytes at the end of a reply are searched for an error.
const LONGEST_ERROR: usize = 16 * 1024;

/// The last invocations, each in progress or over.
#[derive(Debug)]
pub(super) struct Recent {
    list: Arc<Mutex<List>>,
    errors: ErrorMode,
}

#[derive(Debug, Default)]
struct List {
    count: u64,
    /// The oldest first.
    entries: VecDeque<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    number: u64,
    began: Instant,
    status: Option<StatusCode>,
    /// The time until the head of the reply was ready.
    head: Option<Duration>,
    end: Option<(Duration, &'static str)>,
    error: Option<String>,
}

/// The words of the page for the end of an invocation. `BROKEN`: the client left, or the reply was cut off.
const COMPLETE: &str = "complete";
const BROKEN: &str = "broken";

impl Recent {
    pub(super) fn new(errors: ErrorMode) -> Self {
        Self {
            list: Arc::default(),
            errors,
        }
    }

    pub(super) fn begin(&self) -> Record {
        let mut list = self.list.lock();
        list.count += 1;
        let number = list.count;
        if list.entries.len() == MOST {
            list.entries.pop_front();
        }
        let began = Instant::now();
        list.entries.push_back(Entry {
            number,
            began,
            status: None,
            head: None,
            end: None,
            error: None,
        });
        Record {
            list: Arc::clone(&self.list),
            errors: self.errors,
            number,
            began,
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.list.lock().count
    }

    /// The invocations as JSON, the latest first.
    pub(super) fn show(&self) -> Vec<Value> {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let show = |entry: &Entry| {
            json!({
                "number": entry.number,
                "ago": entry.began.elapsed().as_secs_f64(),
                "status": entry.status.map(|status| status.as_u16()),
                "head_ms": entry.head.map(milliseconds),
                "ms": entry.end.map(|(time, _)| milliseconds(time)),
                "end": entry.end.map(|(_, end)| end),
                "error": entry.error.as_deref(),
            })
        };
        self.list.lock().entries.iter().rev().map(show).collect()
    }
}

/// The record of one invocation in progress. Its drop ends the invocation.
#[derive(Debug)]
pub(super) struct Record {
    list: Arc<Mutex<List>>,
    errors: ErrorMode,
    number: u64,
    began: Instant,
}

impl Record {
    /// Wraps the body of `reply`, so that the record sees how it ends.
    pub(super) fn watch(self, reply: http::Response<ReplyBody>) -> http::Response<ReplyBody> {
        let status = reply.status();
        let time = self.began.elapsed();
        self.change(|entry| (entry.status, entry.head) = (Some(status), Some(time)));
        let content_type = reply.headers().get(header::CONTENT_TYPE);
        let is_stream =
            content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
        let told = if is_stream {
            Told::InTheLastEvent
        } else if status.is_client_error() || status.is_server_error() {
            Told::InTheBody
        } else if self.errors == ErrorMode::InBand {
            Told::InBand
        } else {
            Told::Nowhere
        };
        reply.map(|body| {
            let watched = Watched {
                body,
                record: self,
                told,
                last: Bytes::new(),
                broken: false,
            };
            ReplyBody::new(Batched::direct(Settled::watched(watched)), None, None)
        })
    }

    fn change(&self, change: impl FnOnce(&mut Entry)) {
        let mut list = self.list.lock();
        let entry = list.entries.iter_mut();
        // The entry is gone if many invocations have come since.
        if let Some(entry) = entry.rev().find(|entry| entry.number == self.number) {
            change(entry);
        }
    }

    #[inline(never)]
    fn end(&self, end: &'static str, error: Option<String>) {
        let time = self.began.elapsed();
        self.change(|entry| {
            if entry.end.is_none() {
                (entry.end, entry.error) = (Some((time, end)), error);
            }
        });
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // Has no effect if the invocation has ended already.
        self.end(BROKEN, None);
    }
}

/// Where a reply reports an error.
#[derive(Clone, Copy, Debug)]
enum Told {
    InTheBody,
    InBand,
    InTheLastEvent,
    Nowhere,
}

impl Told {
    /// The error that `data`, the end of a reply, reports.
    #[inline(never)]
    fn error(self, data: &[u8]) -> Option<String> {
        let data = match self {
            Self::InTheLastEvent => last_event(data).strip_prefix(b"data: ")?,
            Self::Nowhere => return None,
            Self::InTheBody | Self::InBand => data,
        };
        let said: Value = serde_json::from_slice(data).ok()?;
        let is_one = match self {
            Self::InTheLastEvent => said["error_type"].is_string(),
            Self::InBand => said["status"].as_u64() >= Some(400),
            Self::InTheBody | Self::Nowhere => true,
        };
        let mut text = said["error"].as_str()?.to_owned();
        if let Some(details) = said["details"].as_str() {
            text = text + ": " + details;
        }
        is_one.then(|| text.chars().take(MOST_LETTERS).collect())
    }
}

/// The last event in `data`, which may hold several.
fn last_event(data: &[u8]) -> &[u8] {
    const GAP: &[u8] = b"\n\n";
    let data = data.strip_suffix(GAP).unwrap_or(data);
    let gap = data.windows(GAP.len()).rposition(|two| two == GAP);
    gap.map_or(data, |gap| &data[gap + GAP.len()..])
}

/// The end of `data`, up to the length of an error.
fn end_of(data: &Bytes) -> Bytes {
    data.slice(data.len().saturating_sub(LONGEST_ERROR)..)
}

/// The body of a reply whose end is recorded.
struct Watched {
    body: ReplyBody,
    record: Record,
    told: Told,
    /// The end of the last piece, up to the length of an error.
    last: Bytes,
    broken: bool,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                let data = frame.data_ref();
                self.last = data.map(end_of).unwrap_or_default();
            }
            Some(Err(_)) => self.broken = true,
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.body.is_end_stream() && !self.broken {
            let error = self.told.error(&self.last);
            self.record.end(COMPLETE, error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_found_where_they_are_told_and_nowhere_else() {
        let plain = br#"{"error":"no luck","details":"at all"}"#;
        let in_band = br#"{"error":"no luck","status":500}"#;
        let last = br#"data: {"error":"no luck","error_type":"Error","message":"m"}"#;
        let together =
            b": hello\n\ndata: 1\n\ndata: {\"error\":\"no luck\",\"error_type\":\"Error\"}\n\n";
        let cases: [(Told, &[u8], Option<&str>); 10] = [
            (Told::InTheBody, plain, Some("no luck: at all")),
            (Told::InTheBody, b"no luck", None),
            (Told::InBand, in_band, Some("no luck")),
            (Told::InBand, plain, None),
            (Told::InTheLastEvent, last, Some("no luck")),
            (Told::InTheLastEvent, together, Some("no luck")),
            (Told::InTheLastEvent, b"data: {\"error\":\"an item\"}", None),
            (Told::InTheLastEvent, b": keep-alive\n\n", None),
            (Told::Nowhere, plain, None),
            (Told::InTheBody, b"", None),
        ];
        for (told, data, error) in cases {
            assert_eq!(told.error(data).as_deref(), error, "{told:?}");
        }
    }

    #[test]
    fn the_latest_are_kept() {
        let recent = Recent::new(ErrorMode::Http);
        let first = recent.begin();
        for _ in 0..MOST {
            recent.begin();
        }
        first.end(COMPLETE, None);
        let shown = recent.show();
        let numbers: Vec<_> = shown
            .iter()
            .filter_map(|shown| shown["number"].as_u64())
            .collect();
        assert_eq!(numbers, (2..=51).rev().collect::<Vec<_>>());
        assert_eq!(shown[0]["end"], "broken");
    }
}
