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
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::exchange::Connection;
use crate::config::Settings;
use crate::error::BoxError;
use crate::handler::response::Response;
use crate::report::Rejection;
use crate::request::detach::FREED_ON_WORKERS;
use crate::server::connection::half_close::End;
use crate::util::spawn;

/// What a client's `content-length` may make the server reserve before it has sent anything of it.
const RESERVE_AT_MOST: usize = 1 << 20;

/// What a body has to bring on the long run, in bytes a second. Whoever sends less has nothing to say, only to hold.
const LOWEST_RATE: u32 = 1024;

/// How long, and how much, the server listens to a client that has been refused, before it closes the connection. A
/// connection that is closed with unread data in it is reset, and some clients do not read the reply then. So what a client
/// has under way is read; whole uploads are not, which would keep the front at work for nothing.
const DISCARD_TIME: Duration = Duration::from_secs(10);
const DISCARD_BYTES: u64 = 16 << 20;

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
pub(crate) enum Problem<B> {
    /// Larger than allowed. The rest of it is still to come; all of it, unless it has been begun.
    TooLarge { body: B, begun: bool },
    /// Stood still for too long, or nearly so.
    Stalled,
    /// Not HTTP, or not all of it came.
    Broken(BoxError),
}

/// Reads all of a body, up to a limit, with pauses up to a limit, and together no longer than that beyond what the lowest
/// rate takes.
pub(crate) struct Read<B> {
    /// `None` once it has been read.
    body: Option<B>,
    end: Arc<End>,
    limit: usize,
    announced: usize,
    /// Most bodies arrive in one piece, and stay in the buffer that they arrived in.
    first: Bytes,
    rest: BytesMut,
    /// Read since the patience was last reckoned.
    unreckoned: usize,
    pause: Duration,
    /// Until when the next piece is waited for. Made at the first wait: most bodies are there with their head.
    patience: Option<Pin<Box<Sleep>>>,
}

impl<B> Read<B> {
    /// What has been read of a body that is not going to be read whole, if its release takes long.
    pub(crate) fn take_unfinished(&mut self) -> Option<BytesMut> {
        let is_large = self.rest.capacity() >= FREED_ON_WORKERS;
        is_large.then(|| std::mem::take(&mut self.rest))
    }
}

impl<B: RequestBody> Read<B> {
    pub(crate) fn new(body: B, settings: &Settings, end: Arc<End>) -> Self {
        Self {
            announced: usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX),
            body: Some(body),
            end,
            limit: settings.max_body_bytes,
            first: Bytes::new(),
            rest: BytesMut::new(),
            unreckoned: 0,
            pause: settings.body_timeout,
            patience: None,
        }
    }

    /// Keeps a piece; `false` if it is one too many.
    fn keep(&mut self, piece: Bytes) -> bool {
        if self.first.len() + self.rest.len() + piece.len() > self.limit {
            return false;
        }
        self.unreckoned += piece.len();
        if self.first.is_empty() && self.rest.is_empty() {
            self.first = piece;
            return true;
        }
        if self.rest.is_empty() {
            self.rest.reserve(self.announced.min(RESERVE_AT_MOST));
            self.rest
                .extend_from_slice(&std::mem::take(&mut self.first));
        }
        // Behind the first megabyte the announced length is reserved at once. Each growth in steps would copy what has come,
        // here on the front: 80 MB are 50 ms without a ping. Memory that nothing is written to is not occupied.
        if self.rest.len() + piece.len() > self.rest.capacity() {
            self.rest
                .reserve(self.announced.saturating_sub(self.rest.len()));
        }
        self.rest.extend_from_slice(&piece);
        true
    }

    fn whole(&mut self) -> Bytes {
        if self.rest.is_empty() {
            std::mem::take(&mut self.first)
        } else {
            std::mem::take(&mut self.rest).freeze()
        }
    }

    /// Waits for the next piece; ready when that has taken too long.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Every byte has bought some time, and none more than a pause.
        let bought = Duration::from_secs(self.unreckoned as u64) / LOWEST_RATE;
        self.unreckoned = 0;
        let latest = Instant::now() + self.pause;
        let patience = self
            .patience
            .get_or_insert_with(|| Box::pin(sleep_until(latest)));
        let until = (patience.deadline() + bought).min(latest);
        if patience.deadline() != until {
            patience.as_mut().reset(until);
        }
        patience.as_mut().poll(cx)
    }
}

impl<B: RequestBody> Future for Read<B> {
    type Output = Result<Bytes, Problem<B>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.announced > this.limit {
            return too_large(&mut this.body, false);
        }
        loop {
            let Some(body) = &mut this.body else {
                return Poll::Pending;
            };
            let frame = match Pin::new(body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Err(Problem::Broken(error.into())));
                }
                Poll::Ready(None) => {
                    this.body = None;
                    return Poll::Ready(Ok(this.whole()));
                }
                // None can come any more: the client has closed its sending side.
                Poll::Pending if this.end.has_come() => {
                    let error = "the body was cut short".into();
                    return Poll::Ready(Err(Problem::Broken(error)));
                }
                Poll::Pending => return this.wait(cx).map(|()| Err(Problem::Stalled)),
            };
            let Ok(piece) = frame.into_data() else {
                continue;
            };
            if !this.keep(piece) {
                return too_large(&mut this.body, true);
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
pub(crate) fn discard<B: RequestBody>(
    connection: &Connection,
    head: &http::request::Parts,
    body: B,
) {
    // A client that waits for `100 Continue` has not sent it, and reading would ask for it.
    if !body.is_end_stream() && !head.headers.contains_key(header::EXPECT) {
        discard_rest(connection, body);
    }
}

/// As [`discard`], for a body that has been begun.
fn discard_rest<B: RequestBody>(connection: &Connection, mut body: B) {
    // The next request cannot come before this one has.
    let paused = connection.end.waiting().paused();
    let listen = async move {
        let _paused = paused;
        let mut discarded = 0;
        while let Some(Ok(frame)) = body.frame().await {
            discarded += frame.data_ref().map_or(0, |data| data.len() as u64);
            if discarded > DISCARD_BYTES {
                return;
            }
        }
    };
    spawn::boxed(async { drop(timeout(DISCARD_TIME, listen).await) });
}

impl<B: RequestBody> Problem<B> {
    /// The reply for it.
    pub(crate) fn into_response(self, headers: &HeaderMap, connection: &Connection) -> Response {
        let settings = &connection.front.settings;
        let (status, error, details) = match self {
            Self::TooLarge { body, begun } => {
                // Who waits for `100 Continue` has not sent it, and reading would ask for it.
                if begun || !headers.contains_key(header::EXPECT) {
                    discard_rest(connection, body);
                }
                let limit = settings.max_body_bytes;
                let details = format!("the body is larger than {limit} bytes");
                (StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large", details)
            }
            Self::Stalled => {
                let details = format!(
                    "the body stood still for {}, or came too slowly",
                    humantime::format_duration(settings.body_timeout)
                );
                (StatusCode::REQUEST_TIMEOUT, "Request Timeout", details)
            }
            Self::Broken(error) => (StatusCode::BAD_REQUEST, "Invalid body", error.to_string()),
        };
        Response::rejection(status, error, &details, None).with_rejection(Rejection::new(details))
    }
}
