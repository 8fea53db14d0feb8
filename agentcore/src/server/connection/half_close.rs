//! The socket of a connection. It decides when hyper sees that the client has closed its sending side (the *end*, an EOF).
//!
//! A client may close its sending side and wait for the reply. The server cannot tell it from a client that has left. While
//! a plain reply is being made, the difference does not matter, since accepted work is finished anyway: the socket hides
//! the end, and the client gets its reply. While a reply is streamed, or where the handler asks for it, the socket
//! shows the end, and hyper drops the connection with everything that belongs to it.
//!
//! The end stays hidden until the reply has been sent, because hyper discards unsent output when it sees EOF. Until then
//! the timeout for the client's next request does not run either.
//!
//! The end is hidden from the head of a request on, before anything else is read: the end may follow at once. The reader of
//! a body notices when the end cuts the body short; see [`End::has_come`].
//!
//! hyper does not read for the end while it answers (`half_close`): it would reserve another 8 KiB for each request in
//! flight, since the headers still use the last 8 KiB. Where the end is shown, the socket itself reads for it, and keeps the
//! bytes that come before it.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tracing::level_filters::LevelFilter;

use super::framing::{FirstFault, Framing};
use super::idle::Waiting;
use super::turn;
use super::write_timeout::Timed;
use crate::request::{self, Activity};
use crate::util::sync::Mutex;
use crate::util::write;

/// The bytes that the socket reads ahead to find the end. A client that sends more and then leaves is noticed later: at a
/// write to it, or when its request has been answered.
const MOST_AHEAD: usize = 16 * 1024;

const AHEAD_AT_A_TIME: usize = 1024;

/// The socket that hyper reads from and writes to. It is always TCP, except in tests without a network.
pub(crate) struct Socket<T = Timed> {
    stream: T,
    end: Owned,
    framing: Framing,
    /// Bytes that were read in search of the end: the beginning of the next request.
    ahead: Vec<u8>,
    share: turn::Share,
    /// Makes the close of the stream send a reset.
    reset: fn(&T),
}

/// The end of what a client sends, and whether hyper may see it.
///
/// # Invariant
///
/// Everything here is used on the front's thread only. The lock is never contended. It makes the type `Send`, which tasks
/// have to be. The state of the replies is one [`Replies`], and only its functions change it:
///
/// - The end is hidden unless `Replies` is `NONE`, `Gone` or watched. A reader that found the end hidden has left its waker
///   and is woken when the end is shown.
/// - An activity is in `leaving` only while something has not been sent. It is dropped when everything has been sent, or
///   when the socket is dropped. Activities and wakers are dropped outside the lock.
/// - The connection's [`Waiting`] is paused exactly while `Replies` is not `NONE`, until the socket is dropped.
#[derive(Debug)]
pub(crate) struct End {
    state: Mutex<EndState>,
    waiting: Arc<Waiting>,
}

#[derive(Debug)]
struct EndState {
    replies: Replies,
    has_come: bool,
    /// Invocations whose reply has not been sent.
    leaving: Vec<Activity>,
    /// The waker of the task that found the end hidden.
    reader: Option<Waker>,
    /// The waker of the task that reads the body of a request.
    body: Option<Waker>,
}

/// How far the replies of a connection have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replies {
    Open {
        /// The number of requests to which hyper does not have the whole reply.
        requests: usize,
        /// Part of a reply that hyper has may not have been sent.
        unsent: bool,
        /// There is a request, and the end is shown as soon as it comes. The socket reads for it, since hyper does not.
        watched: bool,
    },
    /// One reply ends early and must not look whole: its beginning is sent, and then the connection is reset.
    BrokenOff,
    /// The socket has been dropped, so nothing is sent any more.
    Gone,
}

impl Replies {
    /// All replies have been sent.
    const NONE: Self = Self::Open {
        requests: 0,
        unsent: false,
        watched: false,
    };

    fn begin(&mut self) {
        if let Self::Open { requests, .. } = self {
            *requests += 1;
        }
    }

    fn watch(&mut self) {
        if let Self::Open {
            requests, watched, ..
        } = self
        {
            *watched = *requests > 0;
        }
    }

    fn over(&mut self) {
        if let Self::Open {
            requests,
            unsent,
            watched,
        } = self
        {
            debug_assert!(*requests > 0, "no request has begun");
            (*unsent, *watched) = (*unsent || *requests > 0, false);
            *requests = requests.saturating_sub(1);
        }
    }

    fn break_off(&mut self) {
        if *self != Self::Gone {
            *self = Self::BrokenOff;
        }
    }

    /// Called when hyper has sent everything that it had. Returns whether that was anything.
    fn sent(&mut self) -> bool {
        match self {
            Self::Open { unsent, .. } => std::mem::take(unsent),
            Self::BrokenOff | Self::Gone => false,
        }
    }

    fn is_watched(self) -> bool {
        matches!(self, Self::Open { watched: true, .. })
    }

    fn hides_the_end(self) -> bool {
        match self {
            Self::Open { watched, .. } => self != Self::NONE && !watched,
            Self::BrokenOff => true,
            Self::Gone => false,
        }
    }
}

impl End {
    pub(crate) fn new(waiting: Arc<Waiting>) -> Self {
        Self {
            state: Mutex::new(EndState {
                replies: Replies::NONE,
                has_come: false,
                leaving: Vec::new(),
                reader: None,
                body: None,
            }),
            waiting,
        }
    }

    /// The idle state of the connection.
    pub(crate) fn waiting(&self) -> &Arc<Waiting> {
        &self.waiting
    }

    /// Called when a request arrives. Hides the end until its reply and all others have been sent.
    pub(crate) fn begin(&self) {
        self.change(Replies::begin);
    }

    /// Shows the end, and makes the socket read for it, until the request is [over](Self::over). Has to be called while hyper
    /// polls the connection: hyper flushes the socket afterwards, and the flush reads.
    pub(crate) fn watch(&self) {
        self.change(Replies::watch);
    }

    /// Called when hyper has the whole reply to a request. It sends the rest from now on.
    pub(crate) fn over(&self) {
        self.change(Replies::over);
    }

    /// Ends a reply early: its beginning is sent, and then the connection is reset. This is for a reply that the client would
    /// take for whole if the connection were closed.
    pub(crate) fn break_off(&self) {
        self.change(Replies::break_off);
    }

    /// Keeps an invocation in flight until its reply has been sent.
    pub(crate) fn keep_until_sent(&self, activity: Activity) {
        let mut state = self.state.lock();
        if state.replies == Replies::Gone {
            drop(state);
            return lost(&activity);
        }
        state.leaving.push(activity);
    }

    /// Called when everything that hyper had has been sent.
    fn sent(&self) {
        if self.change(Replies::sent) {
            loop {
                // One at a time, so that each is dropped outside the lock.
                let activity = self.state.lock().leaving.pop();
                if activity.is_none() {
                    return;
                }
            }
        }
    }

    fn gone(&self) {
        let leaving = {
            let mut state = self.state.lock();
            state.replies = Replies::Gone;
            std::mem::take(&mut state.leaving)
        };
        leaving.iter().for_each(lost);
    }

    /// Changes the state of the replies, and then pauses or resumes the connection and wakes the reader.
    fn change<R>(&self, change: impl FnOnce(&mut Replies) -> R) -> R {
        let mut state = self.state.lock();
        let before = state.replies;
        let result = change(&mut state.replies);
        let after = state.replies;
        let reader = if after.hides_the_end() {
            None
        } else {
            state.reader.take()
        };
        drop(state);
        match (before == Replies::NONE, after == Replies::NONE) {
            (true, false) => self.waiting.pause(),
            (false, true) => self.waiting.resume(),
            (true, true) | (false, false) => {}
        }
        if let Some(reader) = reader {
            reader.wake();
        }
        result
    }

    fn replies(&self) -> Replies {
        self.state.lock().replies
    }

    fn come(&self) {
        let body = {
            let mut state = self.state.lock();
            state.has_come = true;
            state.body.take()
        };
        if let Some(body) = body {
            body.wake();
        }
    }

    /// Completes when the client has closed its sending side. For a task that reads a body apart from the connection's task.
    pub(crate) fn poll_come(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.has_come {
            return Poll::Ready(());
        }
        let before = state.body.replace(cx.waker().clone());
        drop(state);
        drop(before);
        Poll::Pending
    }

    /// Whether the client has closed its sending side, hidden or not.
    pub(crate) fn has_come(&self) -> bool {
        self.state.lock().has_come
    }

    /// Completes when the end is shown.
    fn poll_shown(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if !state.replies.hides_the_end() {
            return Poll::Ready(());
        }
        let before = state.reader.replace(cx.waker().clone());
        drop(state);
        drop(before);
        Poll::Pending
    }
}

/// Notes that the client of this invocation has left before it had the whole reply.
fn lost(activity: &Activity) {
    activity.scope().observed().note_unsent();
    request::emit_often(LevelFilter::DEBUG, Some(activity.scope()), || {
        tracing::debug!("the connection ended before the reply had been sent");
    });
}

/// The socket's handle to its end. Its drop means that nothing is sent any more.
struct Owned(Arc<End>);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.gone();
    }
}

impl<T> Socket<T> {
    pub(crate) fn new(stream: T, waiting: Arc<Waiting>, reset: fn(&T)) -> Self {
        Self {
            stream,
            end: Owned(Arc::new(End::new(waiting))),
            framing: Framing::default(),
            ahead: Vec::new(),
            share: turn::Share::default(),
            reset,
        }
    }

    pub(crate) fn end(&self) -> Arc<End> {
        Arc::clone(&self.end.0)
    }

    pub(crate) fn first_fault(&self) -> FirstFault {
        self.framing.first_fault()
    }
}

impl<T> Socket<T> {
    /// The stream, for the protocol that follows HTTP on it, and the bytes that were read ahead.
    pub(crate) fn into_parts(self) -> (T, Vec<u8>) {
        (self.stream, self.ahead)
    }
}

impl<T: AsyncRead + Unpin> Socket<T> {
    /// Reads for the end where it is watched. Fails once it has come.
    fn look_for_end(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.end.0.replies().is_watched() {
            return Ok(());
        }
        while !self.end.0.has_come() {
            if self.ahead.len() >= MOST_AHEAD {
                return Ok(());
            }
            let mut piece = [MaybeUninit::uninit(); AHEAD_AT_A_TIME];
            let mut piece = ReadBuf::uninit(&mut piece);
            match Pin::new(&mut self.stream).poll_read(cx, &mut piece) {
                Poll::Pending => return Ok(()),
                Poll::Ready(read) => read?,
            }
            if piece.filled().is_empty() {
                self.end.0.come();
            }
            self.ahead.extend_from_slice(piece.filled());
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    /// Hands hyper the bytes that were read ahead.
    fn read_ahead(&mut self, buffer: &mut ReadBuf<'_>) {
        let length = self.ahead.len().min(buffer.remaining());
        let before = buffer.filled().len();
        buffer.put_slice(&self.ahead[..length]);
        self.framing.follow(&mut buffer.filled_mut()[before..]);
        self.ahead.drain(..length);
        if self.ahead.is_empty() {
            // The connection may be idle for long.
            self.ahead = Vec::new();
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Socket<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            self.read_ahead(buffer);
            return Poll::Ready(Ok(()));
        }
        if !self.end.0.has_come() {
            ready!(self.share.poll_allowed(cx));
            let before = buffer.filled().len();
            match Pin::new(&mut self.stream).poll_read(cx, buffer) {
                Poll::Ready(Ok(()))
                    if buffer.filled().len() == before && buffer.remaining() > 0 =>
                {
                    self.end.0.come();
                }
                other => {
                    turn::spend(buffer.filled().len() - before);
                    self.framing.follow(&mut buffer.filled_mut()[before..]);
                    return other;
                }
            }
        }
        self.end.0.poll_shown(cx).map(Ok)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.look_for_end(cx)?;
        let allowed = ready!(self.share.poll_allowed(cx)).min(bytes.len());
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &bytes[..allowed]))?;
        turn::spend(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.look_for_end(cx)?;
        let allowed = ready!(self.share.poll_allowed(cx));
        let stream = Pin::new(&mut self.stream);
        let written = ready!(write::poll_write(stream, cx, slices, allowed))?;
        turn::spend(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.look_for_end(cx)?;
        // hyper flushes when it has written everything that it had.
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if self.end.0.replies() == Replies::BrokenOff {
            (self.reset)(&self.stream);
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        self.end.0.sent();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderMap;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::super::idle::Connections;
    use super::*;
    use crate::report::Kind;
    use crate::request::Arrival;
    use crate::request::Instance;
    use crate::request::TrackerHandle;
    use crate::tracker::BusyTracker;

    const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

    fn socket() -> (Socket<DuplexStream>, DuplexStream) {
        let (stream, client) = duplex(8);
        let waiting = Connections::new(HEADER_TIMEOUT).waiting();
        (Socket::new(stream, waiting, |_| ()), client)
    }

    fn invocation() -> (Activity, Arc<Instance>) {
        let tracker = TrackerHandle::Own(Arc::new(BusyTracker::new()));
        let instance = Arc::new(Instance::new(tracker, Arc::default()));
        let arrival = Arrival::uncounted(Kind::Invocation, "handler", HeaderMap::new());
        let activity = Activity::begin(Arc::clone(&instance), arrival);
        (activity, instance)
    }

    /// A client that sends and accepts any number of bytes.
    struct Fast;

    impl AsyncRead for Fast {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let length = buffer.initialize_unfilled().len();
            buffer.advance(length);
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Fast {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_fast_client_gets_no_more_than_a_turn_before_others_are_looked_at() {
        let waiting = Connections::new(HEADER_TIMEOUT).waiting();
        let mut socket = Socket::new(Fast, waiting, |_| ());
        let mut cx = Context::from_waker(Waker::noop());
        let mut buffer = vec![0; 64 * 1024];
        let mut bytes = 0;
        loop {
            let mut piece = ReadBuf::new(&mut buffer);
            let Poll::Ready(read) = Pin::new(&mut socket).poll_read(&mut cx, &mut piece) else {
                break;
            };
            read.unwrap();
            bytes += piece.filled().len();
        }
        assert!(bytes <= 1 << 20, "read {bytes} bytes in one turn");

        let large = vec![0; 50 << 20];
        let slices = [io::IoSlice::new(b"head"), io::IoSlice::new(&large)];
        let mut socket = Pin::new(&mut socket);
        let mut bytes = 0;
        while let Poll::Ready(written) = socket.as_mut().poll_write(&mut cx, &large) {
            bytes += written.unwrap();
        }
        while let Poll::Ready(written) = socket.as_mut().poll_write_vectored(&mut cx, &slices) {
            bytes += written.unwrap();
        }
        assert!(bytes <= 2 << 20, "wrote {bytes} bytes in two turns");
    }

    #[test]
    fn replies_go_one_way() {
        let open = |requests, unsent, watched| Replies::Open {
            requests,
            unsent,
            watched,
        };
        let after = |mut replies: Replies, steps: &[fn(&mut Replies)]| {
            steps.iter().for_each(|step| step(&mut replies));
            replies
        };
        let sent = |mut replies: Replies| {
            let anything = replies.sent();
            (replies, anything)
        };
        let [begin, watch, over]: [fn(&mut Replies); 3] =
            [Replies::begin, Replies::watch, Replies::over];
        let (none, leaving, one) = (Replies::NONE, open(0, true, false), open(1, false, false));
        assert_eq!(after(none, &[begin]), one);
        assert_eq!(sent(one), (one, false), "a part of it");
        assert_eq!(after(one, &[over]), leaving);
        assert_eq!(sent(leaving), (none, true));
        assert_eq!(sent(none), (none, false));
        // The next request comes while the last reply is being sent.
        assert_eq!(after(leaving, &[begin]), open(1, true, false));
        assert_eq!(sent(open(1, true, false)), (one, true));
        assert_eq!(after(one, &[begin, over]), open(1, true, false));
        // The end is watched for one request.
        assert_eq!(after(open(2, false, false), &[watch]), open(2, false, true));
        assert_eq!(after(open(2, false, true), &[over]), open(1, true, false));
        assert_eq!(after(none, &[watch]), none);
        // There is no way back.
        for last in [Replies::BrokenOff, Replies::Gone] {
            assert_eq!(after(last, &[begin, watch, over]), last);
            assert_eq!(sent(last), (last, false));
        }
        let break_off: fn(&mut Replies) = Replies::break_off;
        assert_eq!(after(one, &[break_off]), Replies::BrokenOff);
        assert_eq!(after(Replies::Gone, &[break_off]), Replies::Gone);
        let hidden = [one, leaving, Replies::BrokenOff];
        assert!(hidden.into_iter().all(Replies::hides_the_end));
        let shown = [open(1, true, true), none, Replies::Gone];
        assert!(!shown.into_iter().any(Replies::hides_the_end));
    }

    #[tokio::test]
    async fn an_invocation_is_in_flight_until_its_reply_has_left() {
        let (mut socket, _client) = socket();
        let (activity, instance) = invocation();
        let end = socket.end();
        end.begin();
        end.keep_until_sent(activity);
        end.over();
        socket.write_all(b"reply").await.unwrap();
        assert_eq!(instance.tracker.in_progress(), 1);
        assert!(!end.waiting().is_begun());
        socket.flush().await.unwrap();
        assert_eq!(instance.tracker.in_progress(), 0);
        assert!(end.waiting().is_begun());
    }

    #[tokio::test]
    async fn or_until_its_connection_has_gone() {
        let (socket, _client) = socket();
        let (first, instance) = invocation();
        let (second, other) = invocation();
        // Other owners may hold the end for longer.
        let end = socket.end();
        end.keep_until_sent(first);
        drop(socket);
        end.keep_until_sent(second);
        for instance in [instance, other] {
            assert_eq!(instance.tracker.in_progress(), 0);
        }
    }

    #[tokio::test]
    async fn the_next_request_is_waited_for_once_all_replies_have_left() {
        let (mut socket, _client) = socket();
        let end = socket.end();
        let is_waiting = || end.waiting().is_begun();
        assert!(is_waiting());
        end.begin();
        end.over();
        end.begin();
        socket.flush().await.unwrap();
        // The second is being answered.
        assert!(!is_waiting());
        let discarding = end.waiting().paused();
        end.over();
        assert!(!is_waiting());
        socket.flush().await.unwrap();
        // The rest of its body still comes.
        assert!(!is_waiting());
        drop(discarding);
        assert!(is_waiting());
    }

    #[tokio::test]
    async fn the_end_is_looked_for_where_it_is_watched_and_nothing_is_lost() {
        let (mut socket, mut client) = socket();
        let end = socket.end();
        end.begin();
        end.watch();
        socket.flush().await.unwrap();
        client.write_all(b"next").await.unwrap();
        socket.flush().await.unwrap();
        client.write_all(b" one").await.unwrap();
        socket.flush().await.unwrap();
        end.over();
        socket.flush().await.unwrap();
        let mut next = [0; 6];
        socket.read_exact(&mut next).await.unwrap();
        assert_eq!(&next, b"next o");
        // Not watched.
        end.begin();
        client.shutdown().await.unwrap();
        socket.flush().await.unwrap();
        // Watched: the end is found after the bytes that have been read.
        end.watch();
        let error = socket.flush().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(end.has_come());
        let mut next = [0; 2];
        socket.read_exact(&mut next).await.unwrap();
        assert_eq!(&next, b"ne");
    }

    #[tokio::test]
    async fn what_came_where_the_end_was_looked_for_is_handed_on() {
        let (mut socket, mut client) = socket();
        socket.end().begin();
        socket.end().watch();
        client.write_all(b"next").await.unwrap();
        socket.flush().await.unwrap();
        assert_eq!(socket.into_parts().1, b"next");
    }

    #[tokio::test]
    async fn not_everything_is_read_on_the_way_to_the_end() {
        let (stream, mut client) = duplex(4 * MOST_AHEAD);
        let waiting = Connections::new(HEADER_TIMEOUT).waiting();
        let mut socket = Socket::new(stream, waiting, |_| ());
        socket.end().begin();
        socket.end().watch();
        client.write_all(&[b'x'; 3 * MOST_AHEAD]).await.unwrap();
        client.shutdown().await.unwrap();
        socket.flush().await.unwrap();
        assert_eq!(socket.ahead.len(), MOST_AHEAD);
    }
}
