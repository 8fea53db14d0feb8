//! The connection below the protocol: paced on its way out, listened to for signs of life.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pace::Pacer;
use crate::gather;

/// A connection that was upgraded.
#[derive(Debug)]
pub(super) struct Transport<T> {
    io: T,
    /// What the HTTP side had read beyond the handshake.
    ahead: Bytes,
    pacer: Pacer,
    /// Whether the other side has shown a sign of life since this was last asked.
    heard: bool,
    /// Whether a write waits for the other side to take something.
    blocked: bool,
}

impl<T> Transport<T> {
    pub(super) fn new(io: T, ahead: Bytes, frames_per_second: u32) -> Self {
        Self {
            io,
            ahead,
            pacer: Pacer::new(frames_per_second),
            heard: false,
            blocked: false,
        }
    }

    /// Whether the other side has shown a sign of life since the last time this was asked: it has sent something, be
    /// it a part of a frame, or taken something that it had kept waiting.
    pub(super) fn was_heard(&mut self) -> bool {
        std::mem::take(&mut self.heard)
    }

    /// Whether a write waits for the other side to take something.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Transport<T> {
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
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buffer))?;
        this.heard |= buffer.filled().len() > before;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Transport<T> {
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
        let written = match gather::poll_write(Pin::new(&mut this.io), cx, slices, allowed) {
            Poll::Ready(written) => written?,
            Poll::Pending => {
                this.blocked = true;
                return Poll::Pending;
            }
        };
        // Bytes that only went into a buffer tell nothing; that there is room in a full one tells that they arrive.
        this.heard |= std::mem::take(&mut this.blocked);
        this.pacer.written(written);
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
