//! The pipe of a streamed reply: its producer on the workers writes, its reader on the front reads.
//!
//! Small pieces that the reader has not fetched yet are joined, and leave as one frame. Waking the reader and writing to a
//! socket cost as much as producing hundreds of pieces, and the front runs at a higher priority: on one core it would be woken,
//! and write, for every single piece. So for a millisecond after a piece has woken the reader, other pieces do not, unless the
//! pipe is full. They leave when the producer's poll ends, at the latest ([`Writer::flush_when_pending`]).
//!
//! The producer may be ahead by [`AHEAD`] bytes, or [`FRAMES`] frames, so that a slow reader soon slows it. Joined pieces have
//! [`CHUNK`] bytes at most: hyper takes sixteen frames of a body before it waits for its socket, and those are in memory as
//! well.
//!
//! # Invariant
//!
//! There is one writer and one reader, each in one task at a time. All that they share is behind one lock.
//!
//! - `frames`, then `small`, then the piece that the writer holds are the reply in order. While the writer makes room for a
//!   piece it has taken `small` out, so the reader finds only `frames`.
//! - A side that finds nothing to do stores its waker under the lock under which it checked. The other side takes that waker
//!   under the lock under which it changes what was checked. So no wake-up is lost.
//! - A piece that does not wake the reader is followed by a flush, by a full pipe or by the end, and each of those does.
//! - The lock is held for moves of a few words, or for a copy of a small piece without an allocation. Larger copies,
//!   allocations, wake-ups and drops happen outside of it. The writer runs at a lower priority, and may be preempted while it
//!   holds the lock that the front waits for.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;

use crate::util::interval::Interval;
use crate::util::sync::Mutex;

/// The number of bytes that a producer may be ahead of its reader before it has to wait. One more piece always fits.
pub(crate) const AHEAD: usize = 32 * 1024;

/// The number of frames that a producer may be ahead.
pub(crate) const FRAMES: usize = 8;

/// The maximum length of pieces that are joined, in bytes. For larger ones the copy would cost more than it saves.
pub(crate) const SMALL: usize = 1024;

/// The maximum length of joined pieces, in bytes.
pub(crate) const CHUNK: usize = 4 * 1024;

/// The capacity that the first joined piece reserves, in bytes.
const FIRST: usize = 256;

/// The time after a piece has woken the reader in which other pieces wait for the end of the producer's poll. If a producer
/// computes for longer between its pieces, and does not await, they leave one by one.
const PAUSE: Duration = Duration::from_millis(1);

/// Both ends of an empty pipe.
pub(crate) fn pipe() -> (Writer, Reader) {
    let shared = Arc::new(Shared(Mutex::new(State {
        // A frame is pushed under the lock, so its place is reserved here. One more is for the small pieces in front of it.
        frames: VecDeque::with_capacity(FRAMES + 1),
        small: Vec::new(),
        bytes: 0,
        end: End::NotYet,
        has_left: false,
        reader: None,
        writer: None,
        needs_room: false,
        wake_ups: Interval::new(PAUSE),
    })));
    (Writer(Arc::clone(&shared)), Reader(shared))
}

#[derive(Debug)]
struct Shared(Mutex<State>);

#[derive(Debug)]
struct State {
    frames: VecDeque<Frame<Bytes>>,
    /// The joined small pieces, which come after all frames.
    small: Vec<u8>,
    /// The number of bytes in `frames`, in `small`, and in the piece that the writer has taken out.
    bytes: usize,
    end: End,
    has_left: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Whether the writer waits for room. If it does not, it waits only for the reader to leave.
    needs_room: bool,
    /// The time since a piece last woke the reader.
    wake_ups: Interval,
}

/// Whether more frames come.
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

    /// The number of bytes that can be copied to `small` without an allocation.
    fn room(&self) -> usize {
        self.small
            .capacity()
            .min(CHUNK)
            .saturating_sub(self.small.len())
    }

    /// Whether a waiting writer may go on. It does so in large steps, because each step switches threads.
    fn has_room_again(&self) -> bool {
        self.bytes <= AHEAD / 2 && self.frames.len() <= FRAMES / 2
    }

    /// The waker of a reader that waits, if a piece has to wake it.
    fn waiting_reader(&mut self) -> Option<Waker> {
        let wakes = self.reader.is_some() && (self.is_full() || self.wake_ups.is_over());
        if wakes { self.reader.take() } else { None }
    }
}

/// Stores `waker` in `place` and returns the old one, to be dropped outside the lock.
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

/// The producer's end. If it is dropped before [`finish`](Self::finish), the reply is cut off.
#[derive(Debug)]
pub(crate) struct Writer(Arc<Shared>);

/// The reader has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left;

/// The result of an attempt to put a piece into the pipe.
enum Offered {
    /// The piece was copied behind others.
    Joined(Option<Waker>),
    Taken(Option<Waker>),
    /// The piece, and the small pieces before it. It is to be joined to them or to follow them.
    Joins(Frame<Bytes>, Vec<u8>),
}

impl Writer {
    /// Waits for room, then puts `frame` into the pipe. The reader may not be woken before the next [`flush`](Self::flush).
    /// Sometimes yields to the other tasks of its thread, as Tokio's own channels do. Pieces that are only copied do not count:
    /// they are small work, and they fill the pipe soon.
    pub(crate) async fn feed(&self, frame: Frame<Bytes>) -> Result<(), Left> {
        let mut frame = Some(frame);
        let offered = poll_fn(|cx| self.poll_offer(&mut frame, cx)).await?;
        let reader = match offered {
            Offered::Joined(reader) => {
                wake(reader);
                return Ok(());
            }
            Offered::Taken(reader) => reader,
            Offered::Joins(frame, small) => self.put_back(frame, small)?,
        };
        wake(reader);
        tokio::task::coop::consume_budget().await;
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
        let is_small = length.is_some_and(|length| length <= SMALL);
        let nothing_waits = state.frames.is_empty() && state.small.is_empty();
        if let Some(data) = frame.data_ref().filter(|_| is_small && !nothing_waits) {
            if (1..=state.room()).contains(&data.len()) {
                state.small.extend_from_slice(data);
                let reader = state.waiting_reader();
                drop(state);
                return Poll::Ready(Ok(Offered::Joined(reader)));
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

    /// Joins `frame` to `small`, or puts it after it, and puts both into the pipe.
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

    /// Polls `future`, which feeds this writer, and flushes at the end of each poll.
    pub(crate) async fn flush_when_pending<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| {
            let polled = future.as_mut().poll(cx);
            if polled.is_pending() {
                self.flush();
            }
            polled
        })
        .await
    }

    /// Wakes the reader if something waits for it.
    pub(crate) fn flush(&self) {
        let mut state = self.0.0.lock();
        let is_empty = state.frames.is_empty() && state.small.is_empty();
        let reader = if is_empty { None } else { state.reader.take() };
        drop(state);
        wake(reader);
    }

    /// Marks the reply as complete.
    pub(crate) fn finish(self) {
        self.end(End::Whole);
    }

    fn end(&self, end: End) {
        let mut state = self.0.0.lock();
        if state.end == End::NotYet {
            state.end = end;
        }
        let reader = state.reader.take();
        drop(state);
        wake(reader);
    }

    /// Completes when the reader has left. May be awaited beside [`feed`](Self::feed), in one task with it.
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

/// The reader's end. Its drop wakes the producer.
#[derive(Debug)]
pub(crate) struct Reader(Arc<Shared>);

/// The reply was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CutOff;

impl Reader {
    /// The next frame; `None` at the end.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        let mut state = self.0.0.lock();
        let (frame, small) = match state.frames.pop_front() {
            Some(frame) => (Some(frame), Vec::new()),
            None => (None, std::mem::take(&mut state.small)),
        };
        if frame.is_none() && small.is_empty() {
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
        let mut state = self.0.0.lock();
        state.has_left = true;
        // The rest of the reply will not be read.
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
