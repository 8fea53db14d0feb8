//! Reading request bodies: whole, bounded, and not for ever.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout, timeout_at};

use super::socket::End;
use crate::error::BoxError;
use crate::response::Response;

/// What a client's `content-length` may make the server reserve at once; the rest comes as it arrives.
const RESERVE_AT_MOST: u64 = 1 << 20;

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
    /// Larger than allowed. The rest of it is still to come.
    TooLarge(B),
    /// Stood still for too long, or nearly so.
    Stalled,
    /// Not HTTP, or not all of it came.
    Broken(BoxError),
}

/// Reads all of `body`, up to `limit` bytes, with pauses of up to `pause`, and together no longer than that beyond what
/// the lowest rate takes.
pub(super) async fn read<B: RequestBody>(
    mut body: B,
    limit: usize,
    pause: Duration,
    end: &End,
) -> Result<Bytes, Problem<B>> {
    let announced = body.size_hint().lower();
    if announced > limit as u64 {
        return Err(Problem::TooLarge(body));
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut until = Instant::now() + pause;
    let mut at_once = 0;
    while let Some(frame) = timeout_at(until, next_frame(&mut body, end))
        .await
        .map_err(|_| Problem::Stalled)?
    {
        let Ok(data) = frame.map_err(Problem::Broken)?.into_data() else {
            continue;
        };
        // Every byte buys some time, and none buys more than a pause.
        let bought = Duration::from_secs(data.len() as u64) / LOWEST_RATE;
        until = (until + bought).min(Instant::now() + pause);
        at_once += data.len();
        if at_once >= AT_A_TIME {
            at_once = 0;
            tokio::task::yield_now().await;
        }
        if first.len() + rest.len() + data.len() > limit {
            return Err(Problem::TooLarge(body));
        }
        // Most bodies arrive in one piece, and stay in the buffer that they arrived in.
        if first.is_empty() && rest.is_empty() {
            first = data;
            continue;
        }
        if rest.is_empty() {
            rest.reserve(announced.min(RESERVE_AT_MOST) as usize);
            rest.extend_from_slice(&std::mem::take(&mut first));
        }
        rest.extend_from_slice(&data);
    }
    Ok(if rest.is_empty() {
        first
    } else {
        rest.freeze()
    })
}

/// The next frame; an error if none can come any more, since the client has closed its sending side.
async fn next_frame<B: RequestBody>(
    body: &mut B,
    end: &End,
) -> Option<Result<Frame<Bytes>, BoxError>> {
    std::future::poll_fn(|cx| match Pin::new(&mut *body).poll_frame(cx) {
        Poll::Pending if end.has_come() => Poll::Ready(Some(Err("the body was cut short".into()))),
        polled => polled.map(|frame| frame.map(|frame| frame.map_err(Into::into))),
    })
    .await
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
            Self::TooLarge(body) => {
                if !headers.contains_key(header::EXPECT) {
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
