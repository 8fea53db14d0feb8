//! Sockets without a network and with a paused clock: what takes time, and how the halves behave as stream and sink.
//! `tests/integration/websocket.rs` of the workspace tests everything that shows on the wire.

mod wakeups;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use http::HeaderMap;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::connection::Received;
use super::read_ahead::ReadAhead;
use super::session::{Session, Sockets};
use super::{CloseCode, Message, WebSocket, WebSocketError};
use crate::config::{Origins, WsSettings};
use crate::error::BoxError;
use crate::report::Kind;
use crate::request::Instance;
use crate::request::TrackerHandle;
use crate::request::{Activity, Arrival};
use crate::tracker::BusyTracker;
use crate::util::BoxFuture;

/// Longer than any wait in paused time, which passes at once.
const DEADLINE: Duration = Duration::from_secs(3600);

/// The deadline of tests in which time is not paused.
const REAL_DEADLINE: Duration = Duration::from_secs(20);
/// What is read ahead for one socket, in bytes.
const PER_SOCKET: usize = 64 << 10;

const PING: [u8; 2] = [0x89, 0];
const PONG_TO_CLIENT: [u8; 2] = [0x8a, 0];
/// A pong of a client: masked, with a mask of zeros.
const PONG: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];

/// An open socket: the client's end of its connection, and its session.
struct Open {
    wire: DuplexStream,
    session: JoinHandle<()>,
    instance: Arc<Instance>,
    deadline: Duration,
    read_ahead: ReadAhead,
}

async fn open<Fut>(handler: impl FnOnce(WebSocket) -> Fut) -> Open
where
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    open_with(ReadAhead::new(PER_SOCKET, 16 * PER_SOCKET), handler).await
}

async fn open_with<Fut>(read_ahead: ReadAhead, handler: impl FnOnce(WebSocket) -> Fut) -> Open
where
    Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    let tracker = TrackerHandle::Own(Arc::new(BusyTracker::new()));
    let instance = Arc::new(Instance::new(tracker, Arc::default()));
    let settings = WsSettings {
        ping_interval: Duration::from_secs(25),
        max_message_bytes: 1 << 20,
        read_ahead_bytes: 0,
        read_ahead_total_bytes: 0,
        frame_bytes: 32 << 10,
        frames_per_second: 240,
        origins: Origins::Any,
    };
    let sockets = Arc::new(Sockets {
        settings,
        read_ahead: read_ahead.clone(),
        shutdown_grace: Duration::from_secs(10),
    });
    let activity = Activity::begin(
        Arc::clone(&instance),
        Arrival::uncounted(Kind::Socket, "test", HeaderMap::new()),
    );
    let opened = Session::open(
        "test",
        |mut opening| Ok(Box::pin(handler(opening.socket()?))),
        sockets,
        activity,
    );
    let session = opened.await.expect("arguments");
    let (wire, io) = duplex(64 << 10);
    Open {
        wire,
        session: tokio::spawn(session.run(io, Bytes::new())),
        instance,
        deadline: DEADLINE,
        read_ahead,
    }
}

impl Open {
    /// For a test in which time is not paused.
    fn in_real_time(mut self) -> Self {
        self.deadline = REAL_DEADLINE;
        self
    }

    async fn reads(&mut self, expected: &[u8]) {
        let mut bytes = vec![0; expected.len()];
        let read = timeout(self.deadline, self.wire.read_exact(&mut bytes)).await;
        read.expect("bytes in time").expect("bytes");
        assert_eq!(bytes, expected);
    }

    async fn writes(&mut self, bytes: &[u8]) {
        let written = timeout(self.deadline, self.wire.write_all(bytes)).await;
        written.expect("room in time").expect("an open connection");
    }

    /// Waits for the end, which comes after `expected` more bytes.
    async fn ends_after(mut self, expected: &[u8]) {
        let mut rest = Vec::new();
        let read = timeout(self.deadline, self.wire.read_to_end(&mut rest)).await;
        read.expect("an end in time").expect("an end");
        assert_eq!(rest, expected);
        drop(self.wire);
        let ended = timeout(self.deadline, self.session).await;
        ended.expect("a session that ends").expect("no panic");
    }
}

/// A handler that receives until the end, and a channel that gets the last message.
fn receiver() -> (impl FnOnce(WebSocket) -> Receiving, oneshot::Receiver<Last>) {
    let (tell, told) = oneshot::channel();
    let handler = move |mut socket: WebSocket| -> Receiving {
        Box::pin(async move {
            let mut last = None;
            while let Some(received) = socket.recv().await {
                last = Some(received);
            }
            // Some tests do not wait for it.
            let _ = tell.send(last);
            Ok(())
        })
    };
    (handler, told)
}

type Receiving = BoxFuture<Result<(), BoxError>>;
type Last = Option<Received>;

fn text(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("a short text");
    [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()
}

/// A client's binary message of `length` bytes, more than 64 Ki.
fn binary(length: usize) -> Vec<u8> {
    let mut message = vec![0x82, 0xff];
    message.extend((length as u64).to_be_bytes());
    message.resize(message.len() + 4 + length, 0);
    message
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_given_up_after_two_intervals() {
    let (handler, last) = receiver();
    let mut socket = open(handler).await;
    let began = Instant::now();
    socket.reads(&PING).await;
    assert_eq!(began.elapsed().as_secs(), 25);
    socket.ends_after(&[]).await;
    assert_eq!(began.elapsed().as_secs(), 50);
    let error = last.await.unwrap().unwrap().unwrap_err();
    assert!(error.is_disconnect(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_stays_for_hours() {
    let (handler, _) = receiver();
    let mut socket = open(handler).await;
    for _ in 0..1000 {
        socket.reads(&PING).await;
        socket.writes(&PONG).await;
    }
    assert!(!socket.session.is_finished());
}

/// A large message may take longer than two intervals, and nothing else can be sent meanwhile.
#[tokio::test(start_paused = true)]
async fn every_byte_is_a_sign_of_life() {
    let (handler, last) = receiver();
    let mut socket = open(handler).await;
    for byte in text("slowly, but still") {
        tokio::time::sleep(Duration::from_secs(20)).await;
        socket.writes(&[byte]).await;
    }
    socket.writes(&[0x88, 0x80, 0, 0, 0, 0]).await;
    let last = last.await.unwrap().unwrap().unwrap();
    assert_eq!(last, Message::Close(None));
}

/// In the other direction: pings wait behind what the client has yet to read.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_alive_and_one_that_stops_is_not() {
    let mut socket = open(async |socket: WebSocket| {
        loop {
            socket.send(vec![0; 1 << 20]).await?;
        }
    })
    .await;
    let mut buffer = vec![0; 16 << 10];
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(20)).await;
        socket.wire.read_exact(&mut buffer).await.expect("data");
    }
    assert!(!socket.session.is_finished());
    let stopped = Instant::now();
    timeout(DEADLINE, socket.session)
        .await
        .expect("a session that ends")
        .expect("no panic");
    let took = stopped.elapsed().as_secs();
    assert!((50..=75).contains(&took), "{took} s");
}

/// The client's silence does not count while the server does not read.
#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_receive_does_not_lose_its_client() {
    let (proceed, wait) = oneshot::channel::<()>();
    let (tell, received) = oneshot::channel();
    let mut socket = open(async |mut socket: WebSocket| {
        wait.await?;
        let mut count = 0;
        while let Some(Ok(Message::Text(_))) = socket.recv().await {
            count += 1;
        }
        tell.send(count).map_err(|_| "nobody asks".into())
    })
    .await;
    for _ in 0..20 {
        socket.writes(&text("unread")).await;
    }
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(!socket.session.is_finished());
    proceed.send(()).unwrap();
    socket.writes(&[0x88, 0x80, 0, 0, 0, 0]).await;
    assert_eq!(received.await, Ok(20));
}

/// The first message is read whole, because the handler asks for it, even if the driver polls the connection meanwhile. Of what
/// follows it, only the allowed bytes are read.
#[tokio::test(start_paused = true)]
async fn what_is_read_ahead_is_bounded_in_bytes_and_a_message_that_is_asked_for_is_not() {
    const LARGE: usize = 512 << 10;
    let (proceed, mut wait) = mpsc::channel::<()>(1);
    let (tell, mut told) = mpsc::channel(1);
    let mut socket = open(async move |mut socket: WebSocket| {
        while wait.recv().await.is_some() {
            let Some(message) = socket.recv().await else {
                break;
            };
            tell.send(message?.length()).await?;
        }
        Ok(())
    })
    .await;
    let large = binary(LARGE);
    for round in 0..3 {
        proceed.send(()).await.unwrap();
        for piece in large.chunks(50 << 10) {
            // The server's ping makes the driver poll between the pieces.
            tokio::time::sleep(Duration::from_secs(30)).await;
            timeout(DEADLINE, socket.writes(piece))
                .await
                .expect("it is read");
        }
        assert_eq!(told.recv().await.unwrap(), LARGE, "{round}");
    }
    // The handler does not ask for this one.
    let flood = async {
        let mut written = 0;
        while let Ok(Ok(more)) =
            timeout(Duration::from_secs(1), socket.wire.write(&large[written..])).await
        {
            written += more;
        }
        written
    };
    let written = flood.await;
    let in_between = 64 << 10;
    assert!(
        (PER_SOCKET..=PER_SOCKET + in_between).contains(&written),
        "{written}"
    );
    assert_eq!(socket.read_ahead.used(), PER_SOCKET);
    // The handler asks for it here.
    proceed.send(()).await.unwrap();
    socket.writes(&large[written..]).await;
    assert_eq!(told.recv().await.unwrap(), LARGE);
    drop(proceed);
    socket.writes(&[0x88, 0x80, 0, 0, 0, 0]).await;
    timeout(DEADLINE, socket.session)
        .await
        .expect("a session that ends")
        .expect("no panic");
    assert_eq!(socket.read_ahead.used(), 0);
}

/// Many sockets whose handlers compute, and one whose handler receives.
#[tokio::test(start_paused = true)]
async fn all_sockets_together_read_no_more_ahead_than_the_total() {
    let bounds = ReadAhead::new(PER_SOCKET, 3 * PER_SOCKET);
    let mut busy = Vec::new();
    for _ in 0..8 {
        let handler = async |_socket: WebSocket| std::future::pending().await;
        let mut socket = open_with(bounds.clone(), handler).await;
        let large = binary(512 << 10);
        while timeout(Duration::from_secs(1), socket.wire.write_all(&large))
            .await
            .is_ok()
        {}
        busy.push(socket);
    }
    // Three have read all that they may, and each of the others its sixteenth.
    assert_eq!(bounds.used(), 3 * PER_SOCKET + 5 * PER_SOCKET / 16);
    let (handler, last) = receiver();
    let mut socket = open_with(bounds.clone(), handler).await;
    for _ in 0..10 {
        socket.writes(&binary(512 << 10)).await;
    }
    socket.writes(&[0x88, 0x80, 0, 0, 0, 0]).await;
    assert_eq!(last.await.unwrap().unwrap().unwrap(), Message::Close(None));
    for socket in &busy {
        socket.session.abort();
    }
    for socket in busy {
        assert!(socket.session.await.unwrap_err().is_cancelled());
    }
}

/// The client only sends, the handler only answers, and in the end each waits for the other to read.
#[tokio::test(start_paused = true)]
async fn a_client_that_reads_none_of_the_answers_is_given_up() {
    let mut socket = open(async |mut socket: WebSocket| {
        while let Some(message) = socket.recv().await {
            socket.send(message?).await?;
        }
        Ok(())
    })
    .await;
    let began = Instant::now();
    let flood = async {
        let message = text(&"x".repeat(100)).repeat(100);
        while socket.wire.write_all(&message).await.is_ok() {}
    };
    timeout(DEADLINE, flood).await.expect("an end in time");
    let took = began.elapsed().as_secs();
    assert!((50..=100).contains(&took), "{took} s");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_answer_the_close_is_left_after_five_seconds() {
    let mut socket = open(async |_| Ok(())).await;
    let began = Instant::now();
    socket.reads(&[0x88, 2, 0x03, 0xe8]).await;
    // The socket is over before that, though.
    timeout(DEADLINE, socket.instance.tracker.idle())
        .await
        .expect("an end in time");
    assert_eq!(began.elapsed(), Duration::ZERO);
    timeout(DEADLINE, &mut socket.session)
        .await
        .expect("a session that ends")
        .expect("no panic");
    // Five seconds for the answer, and one for the end of the connection.
    assert_eq!(began.elapsed().as_secs(), 6);
}

/// A stop does wait for the answer, but not for long, and never beyond the grace.
#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_the_answer_for_a_moment() {
    for answers in [false, true] {
        let (handler, _) = receiver();
        let mut socket = open(handler).await;
        let began = Instant::now();
        socket.instance.stopping.cancel();
        socket.reads(&[0x88, 2, 0x03, 0xe9]).await;
        assert_eq!(socket.instance.tracker.in_progress(), 1);
        if answers {
            socket.writes(&[0x88, 0x80, 0, 0, 0, 0]).await;
            let end = socket.wire.read_u8().await.unwrap_err();
            assert_eq!(end.kind(), std::io::ErrorKind::UnexpectedEof);
            drop(socket.wire);
        }
        timeout(DEADLINE, socket.instance.tracker.idle())
            .await
            .expect("an end in time");
        let waited = began.elapsed().as_millis();
        let expected = if answers { 0..=0 } else { 200..=202 };
        assert!(expected.contains(&waited), "{waited} ms");
    }
}

/// The ping is in the same buffer as the message, so no further wake-up comes from the connection.
#[tokio::test(start_paused = true)]
async fn a_ping_behind_a_message_is_answered_while_the_handler_is_at_work() {
    let (proceed, wait) = oneshot::channel::<()>();
    let mut socket = open(async |mut socket: WebSocket| {
        let message = socket.recv().await;
        wait.await?;
        drop(message);
        Ok(())
    })
    .await;
    let began = Instant::now();
    let masked_ping = [0x89, 0x80, 0, 0, 0, 0];
    socket
        .writes(&[text("work"), masked_ping.to_vec()].concat())
        .await;
    socket.reads(&PONG_TO_CLIENT).await;
    assert!(
        began.elapsed() < Duration::from_millis(100),
        "{:?}",
        began.elapsed()
    );
    // From here on the driver knows that the handler does not come back.
    let later = Instant::now();
    socket.writes(&masked_ping).await;
    socket.reads(&PONG_TO_CLIENT).await;
    assert_eq!(later.elapsed(), Duration::ZERO);
    proceed.send(()).unwrap();
    socket.reads(&[0x88, 2, 0x03, 0xe8]).await;
}

/// As in a `select!` whose other branch has won: the handler is woken for what comes in, and does not receive.
#[tokio::test(start_paused = true)]
async fn a_ping_is_answered_though_a_handler_that_has_given_up_is_called_for_it() {
    let (proceed, wait) = oneshot::channel::<()>();
    let (tell, told) = oneshot::channel();
    let mut socket = open(async |mut socket: WebSocket| {
        std::future::poll_fn(|cx| {
            assert!(Pin::new(&mut socket).poll_next(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        tell.send(()).map_err(|()| "nobody asks")?;
        wait.await?;
        Ok(())
    })
    .await;
    told.await.unwrap();
    let began = Instant::now();
    socket.writes(&[0x89, 0x80, 0, 0, 0, 0]).await;
    socket.reads(&PONG_TO_CLIENT).await;
    assert!(
        began.elapsed() < Duration::from_millis(100),
        "{:?}",
        began.elapsed()
    );
    proceed.send(()).unwrap();
    socket.reads(&[0x88, 2, 0x03, 0xe8]).await;
}

/// Frames beyond the burst wait for a timer, which needs a runtime. (Paused time would run ahead while the thread works.)
#[tokio::test]
async fn messages_may_be_sent_from_a_thread_that_knows_no_runtime() {
    let mut socket = open(async |socket: WebSocket| {
        let (tell, told) = oneshot::channel();
        std::thread::spawn(move || {
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            for _ in 0..100 {
                let mut send = std::pin::pin!(socket.send("."));
                assert!(send.as_mut().poll(&mut cx).is_ready());
            }
            tell.send(socket)
        });
        let _socket = told.await?;
        Ok(())
    })
    .await
    .in_real_time();
    let began = Instant::now();
    socket.reads(&b"\x81\x01.".repeat(100)).await;
    socket.reads(&[0x88, 2, 0x03, 0xe8]).await;
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(40) / 180, "{took:?}");
}

/// Each sender waits for room again and again.
#[tokio::test(start_paused = true)]
async fn many_senders_get_everything_through_to_a_slow_reader() {
    let mut socket = open(async |socket: WebSocket| {
        let (sender, _receiver) = socket.split();
        let sending: Vec<_> = (0..4)
            .map(|_| {
                let sender = sender.clone();
                tokio::spawn(async move {
                    for _ in 0..50 {
                        sender.send(vec![7; 10_000]).await.expect("an open socket");
                    }
                })
            })
            .collect();
        for sending in sending {
            sending.await?;
        }
        Ok(())
    })
    .await;
    let frame = [&[0x82, 126, 0x27, 0x10][..], &[7; 10_000]].concat();
    for _ in 0..200 {
        socket.reads(&frame).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    socket.reads(&[0x88, 2, 0x03, 0xe8]).await;
}

/// A handler that only sends does not receive. The driver serves its client, and notices the client's end.
#[tokio::test(start_paused = true)]
async fn without_its_receiver_a_socket_answers_pings_and_sees_the_end() {
    let mut socket = open(async |socket: WebSocket| {
        let (sender, receiver) = socket.split();
        drop(receiver);
        while sender.send("tick").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    })
    .await;
    socket.reads(b"\x81\x04tick").await;
    // More than is read ahead, in pieces whose headers alone exceed it.
    socket.writes(&text("nobody reads this")).await;
    let large = [
        &[0x82, 0x80 | 127, 0, 0, 0, 0, 0, 1, 0x86, 0xa0][..],
        &[0; 4],
        &[7; 100_000],
    ];
    socket.writes(&large.concat()).await;
    let piece = |first: u8| [first, 0x81, 0, 0, 0, 0, 7];
    let pieces = (0..20_000).flat_map(|_| piece(0));
    let pieces: Vec<u8> = piece(0x02)
        .into_iter()
        .chain(pieces)
        .chain(piece(0x80))
        .collect();
    socket.writes(&pieces).await;
    socket.writes(&[0x89, 0x80, 0, 0, 0, 0]).await;
    socket.reads(&PONG_TO_CLIENT).await;
    socket.reads(b"\x81\x04tick").await;
    socket.writes(&[0x88, 0x80, 0, 0, 0, 0]).await;
    socket.ends_after(&[0x88, 0]).await;
}

/// A flood of pings whose answers are not read is not read either.
#[tokio::test(start_paused = true)]
async fn pings_without_end_do_not_fill_the_memory() {
    let (handler, _) = receiver();
    let mut socket = open(handler).await;
    let ping = [&[0x89, 0x80 | 125, 0, 0, 0, 0][..], &[b'p'; 125]].concat();
    let mut taken = 0;
    while timeout(Duration::from_secs(1), socket.writes(&ping))
        .await
        .is_ok()
    {
        taken += 1;
        assert!(taken < 10_000, "the flood is not held back");
    }
}

#[tokio::test(start_paused = true)]
async fn at_a_stop_what_was_received_is_still_read_and_sending_goes_on() {
    let (proceed, wait) = oneshot::channel::<()>();
    let mut socket = open(async |mut socket: WebSocket| {
        wait.await?;
        while let Some(message) = socket.recv().await {
            socket.send(message?).await?;
        }
        socket.send("done").await?;
        Ok(())
    })
    .await;
    socket.writes(&text("early")).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    socket.instance.stopping.cancel();
    tokio::time::sleep(Duration::from_secs(1)).await;
    socket.writes(&text("late")).await;
    proceed.send(()).unwrap();
    socket
        .reads(b"\x81\x05early\x81\x04done\x88\x02\x03\xe9")
        .await;
    socket.writes(&[0x88, 0x80, 0, 0, 0, 0]).await;
    socket.ends_after(&[]).await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_goes_on_is_closed_a_second_before_the_grace_ends() {
    let (tell, told) = oneshot::channel();
    let mut socket = open(async |socket: WebSocket| {
        let began = Instant::now();
        while socket.send("more").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tell.send(began.elapsed()).map_err(|_| "nobody asks".into())
    })
    .await;
    socket.instance.stopping.cancel();
    let mut frames = Vec::new();
    let close = b"\x88\x02\x03\xe9";
    while !frames.ends_with(close) {
        let read = timeout(DEADLINE, socket.wire.read_buf(&mut frames)).await;
        assert_ne!(read.expect("frames in time").expect("frames"), 0);
    }
    socket.writes(&[0x88, 0x80, 0, 0, 0, 0]).await;
    socket.ends_after(&[]).await;
    let sent_for = told.await.unwrap();
    assert!((9..10).contains(&sent_for.as_secs()), "{sent_for:?}");
}

/// Paused time passes only while every task waits. A session that wakes itself would keep this test here for ever, and a worker
/// at full load.
#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_waited_for_in_silence_after_the_last_call() {
    let socket = open(async |socket: WebSocket| {
        loop {
            socket.send(vec![0; 1 << 20]).await?;
        }
    })
    .await;
    let began = Instant::now();
    socket.instance.stopping.cancel();
    timeout(DEADLINE, socket.session)
        .await
        .expect("a session that ends")
        .expect("no panic");
    let took = began.elapsed().as_secs();
    assert!((9..=75).contains(&took), "{took} s");
}

#[tokio::test]
async fn a_socket_is_a_stream_and_a_sink() {
    async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
        std::future::poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)).await
    }
    async fn feed<S: Sink<Message, Error = WebSocketError> + Unpin>(
        sink: &mut S,
        message: Message,
    ) -> Result<(), WebSocketError> {
        std::future::poll_fn(|cx| Pin::new(&mut *sink).poll_ready(cx)).await?;
        Pin::new(&mut *sink).start_send(message)?;
        std::future::poll_fn(|cx| Pin::new(&mut *sink).poll_flush(cx)).await
    }

    let mut socket = open(async |mut socket: WebSocket| {
        while let Some(Ok(message @ Message::Text(_))) = next(&mut socket).await {
            feed(&mut socket, message).await?;
        }
        std::future::poll_fn(|cx| Pin::new(&mut socket).poll_close(cx)).await?;
        assert!(
            feed(&mut socket, "more".into())
                .await
                .unwrap_err()
                .is_closed()
        );
        // A sink may be closed twice.
        std::future::poll_fn(|cx| Pin::new(&mut socket).poll_close(cx)).await?;
        assert!(
            socket
                .close(CloseCode::NORMAL, "")
                .await
                .unwrap_err()
                .is_closed()
        );
        Ok(())
    })
    .await
    .in_real_time();
    for _ in 0..100 {
        socket.writes(&text("hello")).await;
        socket.reads(b"\x81\x05hello").await;
    }
    socket.writes(&[0x82, 0x80, 0, 0, 0, 0]).await;
    socket.reads(&[0x88, 2, 0x03, 0xe8]).await;
    socket.writes(&[0x88, 0x80, 0, 0, 0, 0]).await;
    socket.ends_after(&[]).await;
}

#[tokio::test]
async fn a_receive_that_is_given_up_loses_nothing() {
    let mut socket = open(async |mut socket: WebSocket| {
        let mut received = 0;
        while received < 100 {
            tokio::select! {
                biased;
                () = tokio::task::yield_now() => {}
                Some(Ok(_)) = socket.recv() => received += 1,
            }
        }
        socket.send_json(&received).await?;
        Ok(())
    })
    .await
    .in_real_time();
    for _ in 0..100 {
        socket.writes(&text("hello")).await;
    }
    socket.reads(b"\x81\x03100\x88\x02\x03\xe8").await;
}

#[tokio::test(start_paused = true)]
async fn a_result_is_not_sent_as_json() {
    let (told, telling) = oneshot::channel();
    let mut open = open(async |socket| {
        let outcome: Result<u32, String> = Err("no".to_owned());
        let error = socket.send_json(&outcome).await.unwrap_err();
        let _ = told.send((error.is_json(), crate::error::with_causes(&error)));
        socket.send_json(&[outcome]).await?;
        Ok(())
    })
    .await;
    let (is_json, text) = telling.await.unwrap();
    assert!(
        is_json && text.contains("`Result` cannot be sent"),
        "{text}"
    );
    // Nothing of it has been sent.
    open.reads(&[&[0x81, 14][..], br#"[{"Err":"no"}]"#].concat())
        .await;
}
