//! The byte stream below the protocol. It paces what is written and watches for signs of life.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pace::Pacer;
use crate::util::write;

/// The least room of a read, in bytes, unless reads are limited.
const SPARE: usize = 8 * 1024;

thread_local! {
    /// Scratch buffer for reads larger than the caller's buffer.
    static PIECE: RefCell<[u8; SPARE]> = const { RefCell::new([0; SPARE]) };
}

/// A byte stream that can carry a WebSocket.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// A connection that was upgraded.
pub(super) struct Transport {
    io: Box<dyn Io>,
    /// Bytes that have been read and not passed on; at first those that the HTTP side has read after the handshake.
    ahead: Bytes,
    /// The number of bytes that may still be read, if that is limited.
    limit: Option<usize>,
    /// Whether a read did not take place because of the limit.
    starved: bool,
    pacer: Pacer,
    /// Whether the client has shown a sign of life since the last call of `was_heard`.
    heard: bool,
    /// Whether a write waits for the client to read.
    blocked: bool,
    /// The number of bytes written so far.
    written: u64,
}

impl Transport {
    pub(super) fn new(io: impl Io, ahead: Bytes, frames_per_second: u32) -> Self {
        Self {
            io: Box::new(io),
            ahead,
            limit: None,
            starved: false,
            pacer: Pacer::new(frames_per_second),
            heard: false,
            blocked: false,
            written: 0,
        }
    }

    /// Limits reads to `bytes` from now on. Returns the unused rest of the previous limit.
    pub(super) fn limit_reads(&mut self, bytes: Option<usize>) -> Option<usize> {
        self.starved = false;
        std::mem::replace(&mut self.limit, bytes)
    }

    /// Whether a read did not take place because of the limit. Nothing wakes the reader for that.
    pub(super) fn is_starved(&self) -> bool {
        self.starved
    }

    /// The number of bytes written so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Whether the client has shown a sign of life since the last call: it has sent something, even a part of a frame, or has
    /// taken something that a write waited with.
    pub(super) fn was_heard(&mut self) -> bool {
        std::mem::take(&mut self.heard)
    }

    /// Whether a write waits for the client to read.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }
}

/// Reads up to `most` bytes into `buffer`, and returns the bytes that do not fit. The library's buffer often has room for most of
/// a message only, and to read the rest would take another system call.
fn read_beyond(
    io: Pin<&mut dyn Io>,
    cx: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
    most: usize,
) -> Poll<io::Result<Bytes>> {
    PIECE.with_borrow_mut(|piece| {
        let mut piece = ReadBuf::new(&mut piece[..most.min(SPARE)]);
        ready!(io.poll_read(cx, &mut piece))?;
        let read = piece.filled();
        let (fits, rest) = read.split_at(read.len().min(buffer.remaining()));
        buffer.put_slice(fits);
        Poll::Ready(Ok(Bytes::copy_from_slice(rest)))
    })
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.ahead.is_empty() {
            let length = this.ahead.len().min(buffer.remaining());
            buffer.put_slice(&this.ahead[..length]);
            this.ahead.advance(length);
            return Poll::Ready(Ok(()));
        }
        let most = this.limit.unwrap_or(usize::MAX);
        if most == 0 {
            this.starved = true;
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        if (SPARE..=most).contains(&buffer.remaining()) {
            ready!(Pin::new(&mut this.io).poll_read(cx, buffer))?;
        } else {
            this.ahead = ready!(read_beyond(Pin::new(&mut *this.io), cx, buffer, most))?;
        }
        let read = buffer.filled().len() - before + this.ahead.len();
        if let Some(limit) = &mut this.limit {
            *limit -= read;
        }
        this.heard |= read > 0;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let allowed = ready!(this.pacer.poll_admit(cx, slices));
        let written = match write::poll_write(Pin::new(&mut this.io), cx, slices, allowed) {
            Poll::Ready(written) => written?,
            Poll::Pending => {
                this.blocked = true;
                return Poll::Pending;
            }
        };
        // Bytes that fit into a buffer prove nothing. Room in a buffer that was full proves that earlier bytes have arrived.
        this.heard |= std::mem::take(&mut this.blocked);
        this.pacer.written(written);
        this.written += written as u64;
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
