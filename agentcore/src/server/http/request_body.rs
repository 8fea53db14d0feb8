//! Reading request bodies whole, with limits on their size and time.

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

/// The most bytes that the server reserves for a body when it begins to gather the pieces, whatever its `content-length`.
const RESERVE_AT_MOST: usize = 1 << 20;

/// The least average rate of a body, in bytes per second. A client that sends less only keeps the connection open.
const LOWEST_RATE: u32 = 1024;

/// How long, and how many bytes, the server reads from a client that has been refused before it closes the connection. A
/// connection that is closed with unread data is reset, and some clients do not read the reply then. So the server reads the
/// data that is on its way, but no whole uploads, which would keep the front busy for nothing.
const DISCARD_TIME: Duration = Duration::from_secs(10);
const DISCARD_BYTES: u64 = 16 << 20;

/// The body of a request: hyper's, or a test's.
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
    /// The body is larger than allowed. Nothing of it has been read, unless it has `begun`.
    TooLarge { body: B, begun: bool },
    /// The body paused for too long, or came too slowly.
    Stalled,
    /// The body is not valid HTTP, or was cut short.
    Broken(BoxError),
}

/// The future that reads a whole body. It limits the size, each pause, and the total time: one pause more than the lowest rate
/// takes.
pub(crate) struct Read<B> {
    /// `None` once it has been read.
    body: Option<B>,
    end: Arc<End>,
    limit: usize,
    announced: usize,
    /// The first piece. Most bodies arrive in one piece and are not copied.
    first: Bytes,
    rest: BytesMut,
    patience: Patience,
}

impl<B> Read<B> {
    /// Takes the bytes of a body that will not be read whole, if they are so many that their release takes long.
    pub(crate) fn take_unfinished(&mut self) -> Option<BytesMut> {
        let is_large = self.rest.capacity() >= FREED_ON_WORKERS;
        is_large.then(|| std::mem::take(&mut self.rest))
    }
}

impl<B: RequestBody> Read<B> {
    pub(crate) fn new(body: B, settings: &Settings, end: Arc<End>) -> Self {
        Self::up_to(settings.max_body_bytes, body, settings, end)
    }

    /// Reads a body of at most `limit` bytes.
    pub(crate) fn up_to(limit: usize, body: B, settings: &Settings, end: Arc<End>) -> Self {
        Self {
            announced: usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX),
            body: Some(body),
            end,
            limit,
            first: Bytes::new(),
            rest: BytesMut::new(),
            patience: Patience::new(settings.body_timeout),
        }
    }

    /// Stores a piece. Returns `false` if the body is too large with it.
    fn keep(&mut self, piece: Bytes) -> bool {
        if self.first.len() + self.rest.len() + piece.len() > self.limit {
            return false;
        }
        self.patience.reckon(piece.len());
        if self.first.is_empty() && self.rest.is_empty() {
            self.first = piece;
            return true;
        }
        if self.rest.is_empty() {
            self.rest.reserve(self.announced.min(RESERVE_AT_MOST));
            self.rest
                .extend_from_slice(&std::mem::take(&mut self.first));
        }
        // After the first megabyte, the announced length is reserved at once. Growth in steps would copy what has come each
        // time, here on the front: 80 MB are 50 ms without a ping. Memory that nothing is written to is not occupied.
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
}

/// The time limit for the next piece of a body: one pause, and in total one pause more than the lowest rate takes.
pub(crate) struct Patience {
    pause: Duration,
    /// Bytes read since the deadline was last moved.
    unreckoned: usize,
    /// The deadline. Set at the first wait: most bodies arrive with their head.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    pub(crate) fn new(pause: Duration) -> Self {
        Self {
            pause,
            unreckoned: 0,
            sleep: None,
        }
    }

    /// Called for each piece that has come.
    pub(crate) fn reckon(&mut self, bytes: usize) {
        self.unreckoned += bytes;
    }

    /// Gives the client all of its time again: the server did not read meanwhile.
    pub(crate) fn renew(&mut self) {
        self.unreckoned = 0;
        self.sleep = None;
    }

    /// Waits for the next piece. Ready when the deadline has passed.
    pub(crate) fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Every byte moves the deadline, but never beyond one pause from now.
        let bought = Duration::from_secs(self.unreckoned as u64) / LOWEST_RATE;
        self.unreckoned = 0;
        let latest = Instant::now() + self.pause;
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(latest)));
        let until = (sleep.deadline() + bought).min(latest);
        if sleep.deadline() != until {
            sleep.as_mut().reset(until);
        }
        sleep.as_mut().poll(cx)
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
                // No frame can come any more: the client has closed its sending side.
                Poll::Pending if this.end.has_come() => {
                    let error = "the body was cut short".into();
                    return Poll::Ready(Err(Problem::Broken(error)));
                }
                Poll::Pending => return this.patience.wait(cx).map(|()| Err(Problem::Stalled)),
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

/// The error for a body that is too large. It hands the body back, since more of it is to come.
fn too_large<B>(body: &mut Option<B>, begun: bool) -> Poll<Result<Bytes, Problem<B>>> {
    match body.take() {
        Some(body) => Poll::Ready(Err(Problem::TooLarge { body, begun })),
        None => Poll::Pending,
    }
}

/// Reads and drops a body that nothing needs, in the background.
pub(crate) fn discard<B: RequestBody>(
    connection: &Connection,
    head: &http::request::Parts,
    body: B,
) {
    // A client that waits for `100 Continue` has not sent the body, and a read would make hyper ask for it.
    if !body.is_end_stream() && !head.headers.contains_key(header::EXPECT) {
        discard_rest(connection, body);
    }
}

/// Reads and drops the rest of a body, up to the limits.
pub(crate) fn discard_rest<B: RequestBody>(connection: &Connection, mut body: B) {
    // The next request cannot come before this body has, so its timeout does not run.
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

/// What is said of a body that came too slowly.
pub(crate) fn stalled(settings: &Settings) -> String {
    format!(
        "the body paused for {}, or came too slowly",
        humantime::format_duration(settings.body_timeout)
    )
}

impl<B: RequestBody> Problem<B> {
    /// The reply to the request.
    pub(crate) fn into_response(self, headers: &HeaderMap, connection: &Connection) -> Response {
        let settings = &connection.front.settings;
        let (status, error, details) = match self {
            Self::TooLarge { body, begun } => {
                // A client that waits for `100 Continue` has not sent the body, and a read would make hyper ask for it.
                if begun || !headers.contains_key(header::EXPECT) {
                    discard_rest(connection, body);
                }
                let limit = settings.max_body_bytes;
                let details = format!("the body is larger than {limit} bytes");
                (StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large", details)
            }
            Self::Stalled => {
                let details = stalled(settings);
                (StatusCode::REQUEST_TIMEOUT, "Request Timeout", details)
            }
            Self::Broken(error) => (StatusCode::BAD_REQUEST, "Invalid body", error.to_string()),
        };
        Response::rejection(status, error, &details, None).with_rejection(Rejection::new(details))
    }
}
