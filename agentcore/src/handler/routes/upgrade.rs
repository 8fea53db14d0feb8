//! Upgrades of a connection by a route: `hyper::upgrade::on` for a connection that the front owns.
//!
//! hyper's own [`OnUpgrade`] of the request stays on the front. Its connection belongs to the front's runtime, so that a service
//! that read from it would be woken, and would drop it, there. The service gets another `OnUpgrade`, and only hyper can make
//! one. So each request that asks for an upgrade has a small hyper connection of its own on the workers, over a [`Bridge`]: it
//! reads a made-up request, and waits. If the service answers 101, the front sends that reply, takes the TCP stream from hyper,
//! and hands it over. Then the bridge leads to this stream, and the small connection answers 101 too, which hands the bridge to
//! the service.

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, Bytes};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::request::{Activity, Stream};
use crate::util::spawn;
use crate::util::sync::Mutex;

/// A connection that the front has let go.
pub(crate) struct Raw {
    pub(crate) stream: std::net::TcpStream,
    /// Bytes that have been read from it.
    pub(crate) ahead: Bytes,
    /// Counts the connection as open.
    pub(crate) place: Option<Box<dyn Any + Send + Sync>>,
}

/// The front's half of an upgrade that a client asks for. Its drop refuses the upgrade.
pub(crate) type Give = oneshot::Sender<Raw>;

/// The workers' half.
pub(crate) struct Wanted(oneshot::Receiver<Raw>);

/// Both halves.
pub(crate) fn wanted() -> (Give, Wanted) {
    let (give, take) = oneshot::channel();
    (give, Wanted(take))
}

/// The guards of a connection that a service has decided to upgrade.
#[derive(Default)]
pub(crate) struct Guards(Mutex<Option<(Activity, Stream)>>);

impl Guards {
    pub(crate) fn put(&self, activity: Option<Activity>, stream: Stream) {
        if let Some(activity) = activity {
            *self.0.lock() = Some((activity, stream));
        }
    }

    fn take(&self) -> Option<(Activity, Stream)> {
        self.0.lock().take()
    }
}

/// The request that the small connection reads.
const MADE_UP: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";

impl Wanted {
    /// What the service gets, and the place for the guards. `None` if hyper does not make it, which has no known reason.
    /// Has to be called on the workers.
    pub(crate) fn offer(self) -> Option<(OnUpgrade, Arc<Guards>)> {
        let guards = Arc::new(Guards::default());
        let made = Arc::new(Mutex::new(None));
        let live = Arc::new(Mutex::new(None));
        let bridge = Bridge::Made {
            unread: MADE_UP,
            seen: 0,
            live: Arc::clone(&live),
        };
        let raw = Mutex::new(Some(self.0));
        let service = {
            let (made, guards) = (Arc::clone(&made), Arc::clone(&guards));
            service_fn(move |mut request: Request<Incoming>| {
                *made.lock() = Some(hyper::upgrade::on(&mut request));
                let raw = raw.lock().take();
                let (live, guards) = (Arc::clone(&live), Arc::clone(&guards));
                async move {
                    let raw = match raw {
                        Some(raw) => raw.await.ok(),
                        None => None,
                    };
                    let connection = raw.and_then(|raw| Live::open(raw, guards.take()));
                    let upgraded = connection.is_some();
                    *live.lock() = connection;
                    Ok::<_, Infallible>(answer(upgraded))
                }
            })
        };
        let mut protocol = http1::Builder::new();
        protocol.header_read_timeout(None).half_close(true);
        let connection = protocol.serve_connection(TokioIo::new(bridge), service);
        let mut connection = Box::pin(connection.with_upgrades());
        // The made-up request is there in full, so the first poll calls the service.
        let mut nothing = Context::from_waker(Waker::noop());
        let polled = connection.as_mut().poll(&mut nothing);
        let on_upgrade = made.lock().take();
        if polled.is_pending() {
            spawn::boxed(async move {
                let _ = connection.await;
            });
        }
        Some((on_upgrade?, guards))
    }
}

/// The reply of the small connection. Its body is of another type than those of the agent's own replies, so that the compiler
/// inlines hyper's code for them, as it does where nothing else uses it.
fn answer(upgraded: bool) -> Response<Empty<&'static [u8]>> {
    let mut response = Response::new(Empty::new());
    if upgraded {
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("x"));
    } else {
        *response.status_mut() = StatusCode::BAD_REQUEST;
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

/// The transport of the small connection: first the made-up request, then the client's connection.
enum Bridge {
    Made {
        /// What is left of the request.
        unread: &'static [u8],
        /// How much of the empty line at the end of the reply's head has been written.
        seen: usize,
        live: Arc<Mutex<Option<Live>>>,
    },
    /// The small connection has sent its reply.
    Live(Live),
    /// The upgrade was refused, or the connection is not there.
    Closed,
}

/// The end of the reply's head.
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

impl Bridge {
    /// Drops what the small connection writes. After its last byte the client's connection takes over.
    fn swallow(&mut self, bytes: &[u8]) {
        let Self::Made { seen, live, .. } = self else {
            return;
        };
        for byte in bytes {
            if *byte == END_OF_HEAD[*seen] {
                *seen += 1;
            } else {
                *seen = usize::from(*byte == END_OF_HEAD[0]);
            }
            if *seen == END_OF_HEAD.len() {
                let live = live.lock().take();
                *self = live.map_or(Self::Closed, Self::Live);
                return;
            }
        }
    }
}

impl AsyncRead for Bridge {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Made { unread: [], .. } => Poll::Pending,
            Self::Made { unread, .. } => {
                let (now, later) = unread.split_at(unread.len().min(buffer.remaining()));
                buffer.put_slice(now);
                *unread = later;
                Poll::Ready(Ok(()))
            }
            Self::Live(live) => live.poll_read(cx, buffer),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Bridge {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Made { .. } => {
                self.swallow(bytes);
                Poll::Ready(Ok(bytes.len()))
            }
            Self::Live(live) => {
                live.check_cut_off(cx)?;
                Pin::new(&mut live.stream).poll_write(cx, bytes)
            }
            Self::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Live(live) => Pin::new(&mut live.stream).poll_flush(cx),
            Self::Made { .. } | Self::Closed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Live(live) => Pin::new(&mut live.stream).poll_shutdown(cx),
            Self::Made { .. } | Self::Closed => Poll::Ready(Ok(())),
        }
    }
}

/// The client's connection. The agent is busy with it until it is dropped.
///
/// Once the server has been told to stop, reads see the end, so that code that waits for its client goes on. Writes work until
/// the stop cuts off what is left.
struct Live {
    stream: TcpStream,
    ahead: Bytes,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    cut_off: Pin<Box<WaitForCancellationFutureOwned>>,
    is_stopping: bool,
    is_cut_off: bool,
    _place: Option<Box<dyn Any + Send + Sync>>,
    /// Its drop writes the line of the request, so it comes before the activity, which is the last.
    _stream: Stream,
    _activity: Activity,
}

impl Live {
    fn open(raw: Raw, guards: Option<(Activity, Stream)>) -> Option<Self> {
        let (activity, stream) = guards?;
        let instance = activity.scope().instance();
        let tcp = TcpStream::from_std(raw.stream);
        let tcp = tcp.inspect_err(|error| {
            tracing::error!("cannot serve an upgraded connection: {error}");
        });
        Some(Self {
            stream: tcp.ok()?,
            ahead: raw.ahead,
            stopping: Box::pin(instance.stop_told.clone().cancelled_owned()),
            cut_off: Box::pin(instance.until_cut_off()),
            is_stopping: false,
            is_cut_off: false,
            _place: raw.place,
            _stream: stream,
            _activity: activity,
        })
    }

    /// Fails once everything has been cut off.
    fn check_cut_off(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.is_cut_off || self.cut_off.as_mut().poll(cx).is_ready() {
            self.is_cut_off = true;
            let kind = io::ErrorKind::ConnectionAborted;
            return Err(io::Error::new(kind, "cut off by the shutdown"));
        }
        Ok(())
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_stopping || self.stopping.as_mut().poll(cx).is_ready() {
            self.is_stopping = true;
            return Poll::Ready(Ok(()));
        }
        if !self.ahead.is_empty() {
            let length = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead[..length]);
            self.ahead.advance(length);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl fmt::Debug for Guards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guards").finish_non_exhaustive()
    }
}
