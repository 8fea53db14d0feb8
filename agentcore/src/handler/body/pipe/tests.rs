//! The pipe in one task. `tests/loom.rs` of the workspace checks every interleaving of two threads.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;

use super::pipe::{AHEAD, CHUNK, CutOff, FRAMES, Left, Reader, SMALL, pipe};

async fn next(reader: &mut Reader) -> Option<Result<Frame<Bytes>, CutOff>> {
    poll_fn(|cx| reader.poll_frame(cx)).await
}

async fn data(reader: &mut Reader) -> Bytes {
    let frame = next(reader).await.unwrap().unwrap();
    frame.into_data().unwrap()
}

fn frame(length: usize) -> Frame<Bytes> {
    Frame::data(vec![b'x'; length].into())
}

#[tokio::test]
async fn small_pieces_that_wait_leave_together_and_in_order() {
    let (writer, mut reader) = pipe();
    let large = Bytes::from(vec![b'-'; SMALL + 1]);
    for piece in ["", "a", "b"] {
        writer.feed(Frame::data(piece.into())).await.unwrap();
    }
    writer.feed(Frame::data(large.clone())).await.unwrap();
    writer.feed(Frame::data("c".into())).await.unwrap();
    assert_eq!(data(&mut reader).await, "");
    assert_eq!(data(&mut reader).await, "ab");
    assert_eq!(data(&mut reader).await, large);
    assert_eq!(data(&mut reader).await, "c");
    let trailers = http::HeaderMap::from_iter([(http::header::ETAG, "x".parse().unwrap())]);
    writer.feed(Frame::data("d".into())).await.unwrap();
    writer.feed(Frame::trailers(trailers)).await.unwrap();
    writer.finish();
    assert_eq!(data(&mut reader).await, "d");
    assert!(next(&mut reader).await.unwrap().unwrap().is_trailers());
    assert!(next(&mut reader).await.is_none());
}

#[tokio::test]
async fn a_producer_waits_for_a_slow_reader_and_no_longer() {
    let (writer, mut reader) = pipe();
    let producer = tokio::spawn(async move {
        for _ in 0..4 {
            writer.feed(frame(AHEAD)).await.unwrap();
        }
        writer.finish();
    });
    tokio::task::yield_now().await;
    assert!(!producer.is_finished());
    for _ in 0..4 {
        assert_eq!(data(&mut reader).await.len(), AHEAD);
    }
    assert!(next(&mut reader).await.is_none());
    producer.await.unwrap();
}

/// A piece wakes the reader, and so do the end of a poll, a full pipe and the end. Other pieces of the next millisecond do not.
#[tokio::test(start_paused = true)]
async fn pieces_that_come_fast_do_not_wake_the_reader_one_by_one() {
    let (writer, reader) = pipe();
    let mut reader = Waiting::new(reader);
    assert_eq!(reader.wake_ups(), 0);
    writer
        .flush_when_pending(async {
            writer.feed(frame(1)).await.unwrap();
            assert_eq!(reader.wake_ups(), 1);
            for _ in 0..20 {
                writer.feed(frame(1)).await.unwrap();
                assert_eq!(reader.wake_ups(), 1);
            }
            tokio::task::yield_now().await;
            assert_eq!(reader.wake_ups(), 2);
            tokio::time::advance(Duration::from_millis(1)).await;
            assert_eq!(reader.wake_ups(), 2);
            writer.feed(frame(1)).await.unwrap();
            assert_eq!(reader.wake_ups(), 3);
            writer.feed(frame(AHEAD)).await.unwrap();
            assert_eq!(reader.wake_ups(), 4);
            writer.feed(frame(1)).await.unwrap();
            assert_eq!(reader.wake_ups(), 4);
        })
        .await;
    writer.finish();
    assert_eq!(reader.wake_ups(), 5);
    assert!(reader.has_ended);
}

/// A reader that fetches whenever it is woken, and counts that.
struct Waiting {
    reader: Reader,
    woken: Arc<Woken>,
    count: usize,
    has_ended: bool,
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Waiting {
    fn new(reader: Reader) -> Self {
        let mut waiting = Self {
            reader,
            woken: Arc::default(),
            count: 0,
            has_ended: false,
        };
        waiting.fetch();
        waiting
    }

    fn fetch(&mut self) {
        let waker = Arc::clone(&self.woken).into();
        let mut cx = Context::from_waker(&waker);
        while let Poll::Ready(frame) = self.reader.poll_frame(&mut cx) {
            if frame.is_none() {
                self.has_ended = true;
                break;
            }
        }
    }

    fn wake_ups(&mut self) -> usize {
        if self.woken.0.swap(false, Ordering::Relaxed) {
            self.count += 1;
            self.fetch();
        }
        self.count
    }
}

/// The bytes in the pipe are bounded, and so are those that the reader gets at once.
#[tokio::test]
async fn pieces_lie_together_up_to_a_chunk_and_no_more_than_the_bound() {
    // Fewer pieces than a task may send before it yields.
    const PIECE: usize = SMALL / 2;
    let (writer, mut reader) = pipe();
    let mut sent = 0;
    while poll(writer.feed(frame(PIECE))).await.is_ready() {
        sent += PIECE;
        assert!(sent <= AHEAD + PIECE);
    }
    assert!(sent > AHEAD / 2, "{sent}");
    writer.finish();
    let mut received = 0;
    let mut frames = 0;
    while let Some(Ok(frame)) = next(&mut reader).await {
        let length = frame.into_data().unwrap().len();
        assert!(length <= CHUNK, "{length}");
        received += length;
        frames += 1;
    }
    assert_eq!(received, sent);
    assert!(frames <= FRAMES + 1, "{frames}");
}

/// A producer that waits is woken when half of the pipe is free, not for each frame.
#[tokio::test]
async fn a_producer_goes_on_when_half_of_the_pipe_is_free() {
    let (writer, mut reader) = pipe();
    for _ in 0..FRAMES {
        writer.feed(frame(SMALL + 1)).await.unwrap();
    }
    let more = tokio::spawn(async move { writer.feed(frame(SMALL + 1)).await });
    tokio::task::yield_now().await;
    for _ in 0..FRAMES / 2 {
        // Only a wake-up would let it go on.
        tokio::task::yield_now().await;
        assert!(!more.is_finished());
        data(&mut reader).await;
    }
    assert_eq!(more.await.unwrap(), Ok(()));
}

async fn poll<F: Future>(future: F) -> Poll<F::Output> {
    let mut future = std::pin::pin!(future);
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

#[tokio::test]
async fn a_writer_that_goes_before_the_end_cuts_the_reply_off() {
    let (writer, mut reader) = pipe();
    writer.feed(frame(1)).await.unwrap();
    drop(writer);
    assert_eq!(data(&mut reader).await, "x");
    assert_eq!(next(&mut reader).await.unwrap().unwrap_err(), CutOff);
}

#[tokio::test]
async fn a_reader_that_leaves_is_noticed_wherever_the_writer_is() {
    let (writer, reader) = pipe();
    writer.feed(frame(AHEAD)).await.unwrap();
    let full = tokio::spawn(async move { writer.feed(frame(1)).await });
    let (writer, other) = pipe();
    let idle = tokio::spawn(async move { writer.left().await });
    tokio::task::yield_now().await;
    drop((reader, other));
    assert_eq!(full.await.unwrap(), Err(Left));
    idle.await.unwrap();
}
