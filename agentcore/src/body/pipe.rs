//! The way of a streamed reply from its producer on the workers to its reader on the front.
//!
//! Small pieces that the reader has not fetched yet lie together and leave as one, and each of them leaves at once, while
//! they come one by one. When they come faster than they can leave, and only then, the reader rests for a millisecond
//! between its fetches: to wake it and to write to a socket costs as much as producing hundreds of pieces.
//!
//! The producer may be [`AHEAD`] by so many bytes, so that a slow reader soon slows it.

use std::collections::VecDeque;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Frame;
use tokio::time::{Instant, Sleep, sleep_until};

/// What a producer may be ahead of its reader, in bytes, before it has to wait. One more piece fits always.
const AHEAD: usize = 64 * 1024;

/// Pieces up to so many bytes are copied together. Of larger ones the copy would cost more than it saves.
const SMALL: usize = 1024;

/// So many pieces since the last fetch are a flood.
const FLOOD: usize = 8;

/// How long the reader of a flood rests, unless the producer has to wait for it, or is done.
const REST: Duration = Duration::from_millis(1);

/// Both ends of an empty pipe.
pub(super) fn pipe() -> (Writer, Reader) {
    let shared = Arc::new(Shared(Mutex::default()));
    let reader = Reader {
        shared: Arc::clone(&shared),
        rest: None,
        rests: false,
    };
    (Writer(shared), reader)
}

#[derive(Debug)]
struct Shared(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Frame<Bytes>>,
    /// Small pieces behind all frames.
    small: BytesMut,
    /// In both.
    bytes: usize,
    /// That have come since the last fetch.
    pieces: usize,
    end: End,
    has_left: bool,
    reader: Option<Waker>,
    /// Whether the reader rests, and a piece is no reason to wake it.
    rests: bool,
    writer: Option<Waker>,
    /// Whether the writer waits for more than that the reader leaves.
    needs_room: bool,
}

/// Whether more comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    NotYet,
    Whole,
    CutOff,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and tells the reader.
    fn tell_reader(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let reader = if state.rests && !state.is_urgent() {
            None
        } else {
            state.reader.take()
        };
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl State {
    /// Whether somebody waits for the reader, or the end does.
    fn is_urgent(&self) -> bool {
        self.bytes >= AHEAD || self.end != End::NotYet
    }

    fn push(&mut self, frame: Frame<Bytes>) {
        let length = frame.data_ref().map(Bytes::len);
        self.bytes += length.unwrap_or_default();
        self.pieces += 1;
        match (length, frame.data_ref()) {
            (Some(..=SMALL), Some(data)) => self.small.extend_from_slice(data),
            _ => {
                self.gather();
                self.frames.push_back(frame);
            }
        }
    }

    /// Makes the small pieces one frame.
    fn gather(&mut self) {
        if !self.small.is_empty() {
            let together = self.small.split().freeze();
            self.frames.push_back(Frame::data(together));
        }
    }
}

/// The producer's end. Dropped before [`finish`](Self::finish), it cuts the reply off.
#[derive(Debug)]
pub(super) struct Writer(Arc<Shared>);

/// The reader has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left;

impl Writer {
    /// Waits for room, then sends. Yields now and then to the other tasks of its thread, as Tokio's own channels do.
    pub(super) async fn send(&self, frame: Frame<Bytes>) -> Result<(), Left> {
        tokio::task::coop::consume_budget().await;
        let mut frame = Some(frame);
        poll_fn(|cx| {
            let mut state = self.0.lock();
            if state.has_left {
                return Poll::Ready(Err(Left));
            }
            if state.bytes >= AHEAD {
                state.needs_room = true;
                state.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
            drop(state);
            if let Some(frame) = frame.take() {
                self.0.tell_reader(|state| state.push(frame));
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// The reply is whole.
    pub(super) fn finish(self) {
        self.0.tell_reader(|state| state.end = End::Whole);
    }

    /// Completes when the reader has left. Whoever waits in [`send`](Self::send) at the same time is the same task.
    pub(super) async fn left(&self) {
        poll_fn(|cx| {
            let mut state = self.0.lock();
            if state.has_left {
                return Poll::Ready(());
            }
            state.writer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.tell_reader(|state| {
            if state.end == End::NotYet {
                state.end = End::CutOff;
            }
        });
    }
}

/// The reader's end. Its drop tells the producer.
#[derive(Debug)]
pub(super) struct Reader {
    shared: Arc<Shared>,
    /// Made for the first rest.
    rest: Option<Pin<Box<Sleep>>>,
    rests: bool,
}

/// The reply was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CutOff;

impl Reader {
    /// The next frame; `None` at the end.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        let mut state = self.shared.lock();
        if self.rests && !state.is_urgent() {
            if let Some(rest) = &mut self.rest {
                if rest.as_mut().poll(cx).is_pending() {
                    state.reader = Some(cx.waker().clone());
                    state.rests = true;
                    return Poll::Pending;
                }
            }
        }
        self.rests = false;
        state.rests = false;
        if state.frames.is_empty() {
            state.gather();
        }
        let Some(frame) = state.frames.pop_front() else {
            return match state.end {
                End::Whole => Poll::Ready(None),
                End::CutOff => Poll::Ready(Some(Err(CutOff))),
                End::NotYet => {
                    state.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            };
        };
        if std::mem::take(&mut state.pieces) >= FLOOD {
            self.rests = true;
            let until = Instant::now() + REST;
            match &mut self.rest {
                Some(rest) => rest.as_mut().reset(until),
                rest => *rest = Some(Box::pin(sleep_until(until))),
            }
        }
        state.bytes -= frame.data_ref().map_or(0, Bytes::len);
        let has_room = state.bytes < AHEAD && std::mem::take(&mut state.needs_room);
        let writer = if has_room { state.writer.take() } else { None };
        drop(state);
        if let Some(writer) = writer {
            writer.wake();
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.has_left = true;
        // What nobody fetches any more.
        let rest = (
            std::mem::take(&mut state.frames),
            std::mem::take(&mut state.small),
        );
        let writer = state.writer.take();
        drop(state);
        drop(rest);
        if let Some(writer) = writer {
            writer.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for piece in ["a", "b"] {
            writer.send(Frame::data(piece.into())).await.unwrap();
        }
        writer.send(Frame::data(large.clone())).await.unwrap();
        writer.send(Frame::data("c".into())).await.unwrap();
        assert_eq!(data(&mut reader).await, "ab");
        assert_eq!(data(&mut reader).await, large);
        assert_eq!(data(&mut reader).await, "c");
        let trailers = http::HeaderMap::from_iter([(http::header::ETAG, "x".parse().unwrap())]);
        writer.send(Frame::data("d".into())).await.unwrap();
        writer.send(Frame::trailers(trailers)).await.unwrap();
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
                writer.send(frame(AHEAD)).await.unwrap();
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

    #[tokio::test(start_paused = true)]
    async fn the_reader_of_a_flood_rests_and_that_of_single_pieces_does_not() {
        let (writer, mut reader) = pipe();
        let began = Instant::now();
        writer.send(frame(1)).await.unwrap();
        assert_eq!(data(&mut reader).await.len(), 1);
        for _ in 0..FLOOD {
            writer.send(frame(1)).await.unwrap();
        }
        assert_eq!(data(&mut reader).await.len(), FLOOD);
        assert_eq!(began.elapsed(), Duration::ZERO);
        writer.send(frame(1)).await.unwrap();
        assert_eq!(data(&mut reader).await.len(), 1);
        assert!((REST..REST * 3).contains(&began.elapsed()));
        // At the end, and where the producer waits, there is no rest.
        let began = Instant::now();
        for _ in 0..FLOOD {
            writer.send(frame(1)).await.unwrap();
        }
        assert_eq!(data(&mut reader).await.len(), FLOOD);
        writer.send(frame(AHEAD)).await.unwrap();
        assert_eq!(data(&mut reader).await.len(), AHEAD);
        writer.finish();
        assert!(next(&mut reader).await.is_none());
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_writer_that_goes_before_the_end_cuts_the_reply_off() {
        let (writer, mut reader) = pipe();
        writer.send(frame(1)).await.unwrap();
        drop(writer);
        assert_eq!(data(&mut reader).await, "x");
        assert_eq!(next(&mut reader).await.unwrap().unwrap_err(), CutOff);
    }

    #[tokio::test]
    async fn a_reader_that_leaves_is_noticed_wherever_the_writer_is() {
        let (writer, reader) = pipe();
        writer.send(frame(AHEAD)).await.unwrap();
        let full = tokio::spawn(async move { writer.send(frame(1)).await });
        let (writer, other) = pipe();
        let idle = tokio::spawn(async move { writer.left().await });
        tokio::task::yield_now().await;
        drop((reader, other));
        assert_eq!(full.await.unwrap(), Err(Left));
        idle.await.unwrap();
    }
}
