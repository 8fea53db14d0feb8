//! The way of a streamed reply from its producer on the workers to its reader on the front.
//!
//! Small pieces that the reader has not fetched yet lie together and leave as one. Waking the reader and writing to a socket
//! cost as much as producing hundreds of pieces. A piece that comes while nothing waits leaves as it is, at once. Only
//! after a fetch of [`FLOOD`] pieces or more the reader rests for a millisecond before the next, because the front runs at a
//! higher priority: on one core it would otherwise be woken, and write, for every single piece.
//!
//! The producer may be ahead by [`AHEAD`] bytes, or [`FRAMES`] frames, so that a slow reader soon slows it. The pieces that
//! lie together are [`CHUNK`] bytes at most: hyper takes sixteen frames of a body before it waits for its socket, and those
//! are in memory as well.
//!
//! # Invariant
//!
//! There is one writer and one reader, each in one task at a time. Everything that they share is behind one lock.
//!
//! - `frames`, then `small`, then the piece that the writer holds are the reply in order. While the writer makes room for a
//!   piece it has taken `small` out, so the reader finds only `frames`.
//! - A side that finds nothing to do leaves its waker under the lock under which it looked. The other side takes that waker
//!   under the lock under which it changes what was looked at. So no wake-up is lost.
//! - A reader that rests has a timer, which wakes it. So a piece need not. A full pipe and the end do, because the writer
//!   would wait for the reader, or the client for the writer.
//! - The lock is held for moves of a few words, or for a copy of a small piece into room that is there. Larger copies,
//!   allocating, waking and dropping take place outside of it. The writer runs at a lower priority, and may be preempted while
//!   it holds the lock that the front waits for.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;

use crate::util::sync::Mutex;
use crate::util::timer::Timer;

/// What a producer may be ahead of its reader, in bytes, before it has to wait. One more piece fits always.
pub(crate) const AHEAD: usize = 32 * 1024;

/// What it may be ahead in frames.
pub(crate) const FRAMES: usize = 8;

/// Pieces up to so many bytes are copied together. Of larger ones the copy would cost more than it saves.
pub(crate) const SMALL: usize = 1024;

/// The most that is copied together, in bytes.
pub(crate) const CHUNK: usize = 4 * 1024;

/// What the first copy of small pieces reserves, in bytes.
const FIRST: usize = 256;

/// So many pieces since the last fetch are a flood.
pub(crate) const FLOOD: usize = 8;

/// How long the reader of a flood rests, unless the pipe is full or the reply has ended.
pub(crate) const REST: Duration = Duration::from_millis(1);

/// Both ends of an empty pipe.
pub(crate) fn pipe() -> (Writer, Reader) {
    let shared = Arc::new(Shared(Mutex::new(State {
        // A frame is pushed under the lock. One more for the small pieces in front of it.
        frames: VecDeque::with_capacity(FRAMES + 1),
        small: Vec::new(),
        bytes: 0,
        end: End::NotYet,
        has_left: false,
        reader: None,
        writer: None,
        needs_room: false,
        pieces: 0,
        rests: false,
    })));
    let reader = Reader {
        shared: Arc::clone(&shared),
        timer: Timer::new(REST),
        rests: false,
    };
    (Writer(shared), reader)
}

#[derive(Debug)]
struct Shared(Mutex<State>);

#[derive(Debug)]
struct State {
    frames: VecDeque<Frame<Bytes>>,
    /// Small pieces behind all frames.
    small: Vec<u8>,
    /// In both, and in what the writer has taken out.
    bytes: usize,
    end: End,
    has_left: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// The writer waits for more than that the reader leaves.
    needs_room: bool,
    /// Pieces that have come since the pipe was empty.
    pieces: usize,
    /// The reader rests.
    rests: bool,
}

/// Whether more comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    NotYet,
    Whole,
    CutOff,
}

impl State {
    fn is_full(&self) -> bool {
        self.bytes >= AHEAD || self.frames.len() >= FRAMES
    }

    /// How much can be copied behind the small pieces without an allocation.
    fn room(&self) -> usize {
        self.small
            .capacity()
            .min(CHUNK)
            .saturating_sub(self.small.len())
    }

    /// Whether a writer that has waited goes on: in steps, since each is a change of threads.
    fn has_room_again(&self) -> bool {
        self.bytes <= AHEAD / 2 && self.frames.len() <= FRAMES / 2
    }

    /// The reader, if there is something for it.
    fn waiting_reader(&mut self) -> Option<Waker> {
        if self.rests && !self.is_urgent() {
            None
        } else {
            self.reader.take()
        }
    }

    /// Whether the writer waits for the reader, or the client for the end.
    fn is_urgent(&self) -> bool {
        self.is_full() || self.end != End::NotYet
    }
}

/// Puts `waker` into `place` and returns what was there, to be dropped outside the lock.
fn replace(place: &mut Option<Waker>, waker: &Waker) -> Option<Waker> {
    if place.as_ref().is_some_and(|known| known.will_wake(waker)) {
        None
    } else {
        place.replace(waker.clone())
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The producer's end. Dropped before [`finish`](Self::finish), it cuts the reply off.
#[derive(Debug)]
pub(crate) struct Writer(Arc<Shared>);

/// The reader has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left;

/// What has become of a piece.
enum Offered {
    Taken(Option<Waker>),
    /// The small pieces before it, which it is to be copied behind, or to leave behind.
    Joins(Frame<Bytes>, Vec<u8>),
}

impl Writer {
    /// Waits for room, then sends. Yields now and then to the other tasks of its thread, as Tokio's own channels do.
    pub(crate) async fn send(&self, frame: Frame<Bytes>) -> Result<(), Left> {
        tokio::task::coop::consume_budget().await;
        let mut frame = Some(frame);
        let offered = poll_fn(|cx| self.poll_offer(&mut frame, cx)).await?;
        let reader = match offered {
            Offered::Taken(reader) => reader,
            Offered::Joins(frame, small) => self.put_back(frame, small)?,
        };
        wake(reader);
        Ok(())
    }

    fn poll_offer(
        &self,
        frame: &mut Option<Frame<Bytes>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Offered, Left>> {
        let mut state = self.0.0.lock();
        if state.has_left {
            return Poll::Ready(Err(Left));
        }
        if state.is_full() {
            state.needs_room = true;
            let before = replace(&mut state.writer, cx.waker());
            drop(state);
            drop(before);
            return Poll::Pending;
        }
        let Some(frame) = frame.take() else {
            return Poll::Pending;
        };
        let length = frame.data_ref().map(Bytes::len);
        state.bytes += length.unwrap_or_default();
        state.pieces += 1;
        let is_small = length.is_some_and(|length| length <= SMALL);
        let nothing_waits = state.frames.is_empty() && state.small.is_empty();
        if let Some(data) = frame.data_ref().filter(|_| is_small && !nothing_waits) {
            if state.room() >= data.len() {
                state.small.extend_from_slice(data);
                let reader = state.waiting_reader();
                drop(state);
                return Poll::Ready(Ok(Offered::Taken(reader)));
            }
        }
        let offered = if nothing_waits || (!is_small && state.small.is_empty()) {
            state.frames.push_back(frame);
            Offered::Taken(state.waiting_reader())
        } else {
            Offered::Joins(frame, std::mem::take(&mut state.small))
        };
        drop(state);
        Poll::Ready(Ok(offered))
    }

    /// Puts `frame` behind `small`, and both back.
    fn put_back(&self, frame: Frame<Bytes>, mut small: Vec<u8>) -> Result<Option<Waker>, Left> {
        let (before, behind) = match frame.data_ref() {
            Some(data) if data.len() <= SMALL => {
                let full = if small.len() + data.len() > CHUNK {
                    // Pieces come fast: growing from nothing again would copy them several times.
                    std::mem::replace(&mut small, Vec::with_capacity(CHUNK))
                } else {
                    Vec::new()
                };
                let needed = small.len() + data.len();
                if small.capacity() < needed {
                    let wanted = (2 * small.capacity()).clamp(FIRST, CHUNK).max(needed);
                    small.reserve_exact(wanted - small.len());
                }
                small.extend_from_slice(data);
                (full, None)
            }
            _ => (std::mem::take(&mut small), Some(frame)),
        };
        let before = (!before.is_empty()).then(|| Frame::data(before.into()));
        let mut state = self.0.0.lock();
        if state.has_left {
            drop(state);
            return Err(Left);
        }
        state.small = small;
        if let Some(before) = before {
            state.frames.push_back(before);
        }
        if let Some(behind) = behind {
            state.frames.push_back(behind);
        }
        Ok(state.waiting_reader())
    }

    /// The reply is whole.
    pub(crate) fn finish(self) {
        self.end(End::Whole);
    }

    fn end(&self, end: End) {
        let mut state = self.0.0.lock();
        if state.end == End::NotYet {
            state.end = end;
        }
        let reader = state.waiting_reader();
        drop(state);
        wake(reader);
    }

    /// Completes when the reader has left. A task that waits in [`send`](Self::send) at the same time is the same task.
    pub(crate) async fn left(&self) {
        poll_fn(|cx| {
            let mut state = self.0.0.lock();
            if state.has_left {
                return Poll::Ready(());
            }
            let before = replace(&mut state.writer, cx.waker());
            drop(state);
            drop(before);
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end(End::CutOff);
    }
}

/// The reader's end. Its drop tells the producer.
#[derive(Debug)]
pub(crate) struct Reader {
    shared: Arc<Shared>,
    timer: Timer,
    /// The last fetch was one of a flood.
    rests: bool,
}

/// The reply was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CutOff;

impl Reader {
    /// The next frame; `None` at the end.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        let rests = self.rests && self.timer.poll(cx).is_pending();
        let mut state = self.shared.0.lock();
        state.rests = rests && !state.is_urgent();
        if state.rests {
            let before = replace(&mut state.reader, cx.waker());
            drop(state);
            drop(before);
            return Poll::Pending;
        }
        let (frame, small) = match state.frames.pop_front() {
            Some(frame) => (Some(frame), Vec::new()),
            None => (None, std::mem::take(&mut state.small)),
        };
        if frame.is_none() && small.is_empty() {
            self.rests = false;
            return match state.end {
                End::Whole => Poll::Ready(None),
                End::CutOff => Poll::Ready(Some(Err(CutOff))),
                End::NotYet => {
                    let before = replace(&mut state.reader, cx.waker());
                    drop(state);
                    drop(before);
                    Poll::Pending
                }
            };
        }
        let data = frame.as_ref().and_then(Frame::data_ref);
        state.bytes -= data.map_or(small.len(), Bytes::len);
        // In the middle of what is there the reader goes on.
        let is_empty = state.frames.is_empty() && state.small.is_empty();
        self.rests = is_empty && state.pieces >= FLOOD;
        if is_empty {
            state.pieces = 0;
        }
        let goes_on = state.has_room_again() && std::mem::take(&mut state.needs_room);
        let writer = if goes_on { state.writer.take() } else { None };
        drop(state);
        wake(writer);
        let frame = frame.unwrap_or_else(|| Frame::data(small.into()));
        Poll::Ready(Some(Ok(frame)))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.shared.0.lock();
        state.has_left = true;
        // Nothing fetches this any more.
        let rest = (
            std::mem::take(&mut state.frames),
            std::mem::take(&mut state.small),
        );
        let wakers = (state.writer.take(), state.reader.take());
        drop(state);
        drop(rest);
        wake(wakers.0);
    }
}
