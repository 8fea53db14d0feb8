//! Reading request bodies: whole, bounded, and not for ever.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body::Body;
use http_body_util::BodyExt as _;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::socket::End;
use crate::error::BoxError;
use crate::response::Response;

/// What a client's `content-length` may make the server reserve at once; the rest comes as it arrives.
const RESERVE_AT_MOST: usize = 1 << 20;

/// What is read of a body at a time, in bytes. A fast client would keep the front from its pings for milliseconds.
const AT_A_TIME: usize = 256 * 1024;

/// What a body has to bring on the long run, in bytes a second. Whoever sends less has nothing to say, only to hold.
const LOWEST_RATE: u32 = 1024;

/// How long, and how much, the server listens to a client that has been refused. A connection that is closed with
/// unread data in it is reset, and the client may never see why.
const DISCARD_TIME: Duration = Duration::from_secs(30);
const DISCARD_BYTES: u64 = 512 << 20;

/// A request's body: hyper's, or a test's.
pub(crate) trait RequestBody:
    Body<Data = Bytes, Error: Into<BoxError> + Send> + Send + Unpin + 'static
{
}

impl<B: Body<Data = Bytes, Error: Into<BoxError> + Send> + Send + Unpin + 'static> RequestBody
    for B
{
}

/// Why a body was not read.
pub(super) enum Problem<B> {
    /// Larger than allowed. The rest of it is still to come; all of it, unless it has been begun.
    TooLarge { body: B, begun: bool },
    /// Stood still for too long, or nearly so.
    Stalled,
    /// Not HTTP, or not all of it came.
    Broken(BoxError),
}

pin_project! {
    /// Reads all of a body, up to `limit` bytes, with pauses of up to `pause`, and together no longer than that beyond what
    /// the lowest rate takes.
    pub(super) struct Read<B> {
        // `None` once it has been read.
        body: Option<B>,
        end: Arc<End>,
        limit: usize,
        announced: usize,
        // Most bodies arrive in one piece, and stay in the buffer that they arrived in.
        first: Bytes,
        rest: BytesMut,
        at_once: usize,
        pause: Duration,
        until: Instant,
        // Set to `until` whenever there is nothing to read.
        #[pin]
        timer: Sleep,
    }
}

impl<B: RequestBody> Read<B> {
    pub(super) fn new(body: B, limit: usize, pause: Duration, end: Arc<End>) -> Self {
        let until = Instant::now() + pause;
        Self {
            announced: usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX),
            body: Some(body),
            end,
            limit,
            first: Bytes::new(),
            rest: BytesMut::new(),
            at_once: 0,
            pause,
            until,
            timer: sleep_until(until),
        }
    }
}

impl<B: RequestBody> Future for Read<B> {
    type Output = Result<Bytes, Problem<B>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            if *this.announced > *this.limit {
                return too_large(this.body, false);
            }
            let Some(body) = this.body else {
                return Poll::Pending;
            };
            let frame = match Pin::new(body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Err(Problem::Broken(error.into())));
                }
                Poll::Ready(None) => {
                    *this.body = None;
                    return Poll::Ready(Ok(if this.rest.is_empty() {
                        std::mem::take(this.first)
                    } else {
                        std::mem::take(this.rest).freeze()
                    }));
                }
                // None can come any more: the client has closed its sending side.
                Poll::Pending if this.end.has_come() => {
                    let error = "the body was cut short".into();
                    return Poll::Ready(Err(Problem::Broken(error)));
                }
                Poll::Pending => {
                    *this.at_once = 0;
                    if this.timer.deadline() != *this.until {
                        this.timer.as_mut().reset(*this.until);
                    }
                    return this.timer.poll(cx).map(|()| Err(Problem::Stalled));
                }
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let length = this.first.len() + this.rest.len() + data.len();
            if length > *this.limit {
                return too_large(this.body, true);
            }
            // Every byte buys some time, and none buys more than a pause.
            let bought = Duration::from_secs(data.len() as u64) / LOWEST_RATE;
            *this.until = (*this.until + bought).min(Instant::now() + *this.pause);
            *this.at_once += data.len();
            if this.first.is_empty() && this.rest.is_empty() {
                *this.first = data;
            } else {
                if this.rest.is_empty() {
                    this.rest.reserve((*this.announced).min(RESERVE_AT_MOST));
                    this.rest.extend_from_slice(&std::mem::take(this.first));
                }
                this.rest.extend_from_slice(&data);
            }
            if *this.at_once >= AT_A_TIME {
                *this.at_once = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}

/// Hands back the body, of which more is to come.
fn too_large<B>(body: &mut Option<B>, begun: bool) -> Poll<Result<Bytes, Problem<B>>> {
    match body.take() {
        Some(body) => Poll::Ready(Err(Problem::TooLarge { body, begun })),
        None => Poll::Pending,
    }
}

/// Takes note of a body that nobody wants, in the background.
pub(super) fn discard<B: RequestBody>(head: &http::request::Parts, body: B) {
    // A client that waits for `100 Continue` has not sent it, and reading would ask for it.
    if !body.is_end_stream() && !head.headers.contains_key(header::EXPECT) {
        discard_rest(body);
    }
}

/// As [`discard`], for a body that has been begun.
fn discard_rest<B: RequestBody>(mut body: B) {
    let listen = async move {
        let mut discarded = 0;
        while let Some(Ok(frame)) = body.frame().await {
            discarded += frame.data_ref().map_or(0, |data| data.len() as u64);
            if discarded > DISCARD_BYTES {
                return;
            }
        }
    };
    tokio::spawn(timeout(DISCARD_TIME, listen));
}

impl<B: RequestBody> Problem<B> {
    /// The reply for it.
    pub(super) fn into_response(
        self,
        headers: &HeaderMap,
        limit: usize,
        pause: Duration,
    ) -> Response {
        let (status, error, details) = match self {
            Self::TooLarge { body, begun } => {
                // Who waits for `100 Continue` has not sent it, and reading would ask for it.
                if begun || !headers.contains_key(header::EXPECT) {
                    discard_rest(body);
                }
                let details = format!("the body is larger than {limit} bytes");
                (StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large", details)
            }
            Self::Stalled => {
                let details = format!(
                    "the body stood still for {}, or came too slowly",
                    humantime::format_duration(pause)
                );
                (StatusCode::REQUEST_TIMEOUT, "Request Timeout", details)
            }
            Self::Broken(error) => (StatusCode::BAD_REQUEST, "Invalid body", error.to_string()),
        };
        Response::rejection(status, error, &details, None)
    }
}
