//! The bytes that are read ahead of handlers, and their bounds.
//!
//! A client may send faster than a handler receives. Bytes that are read before the handler asks for them stay in memory, so they
//! are counted: for one socket, and for all sockets together. A message that the handler has asked for is not counted; its bound
//! is the size of the largest message.

use std::sync::Arc;

use crate::util::sync::{AtomicUsize, Ordering};

/// The bounds of a server.
#[derive(Clone, Debug)]
pub(crate) struct ReadAhead {
    per_socket: usize,
    total: Arc<Total>,
}

#[derive(Debug)]
struct Total {
    most: usize,
    used: AtomicUsize,
}

impl ReadAhead {
    /// At most `per_socket` bytes for one socket, and `total` for all of them. Each socket always has a sixteenth of its own
    /// bound.
    pub(crate) fn new(per_socket: usize, total: usize) -> Self {
        Self {
            per_socket,
            total: Arc::new(Total {
                most: total,
                used: AtomicUsize::new(0),
            }),
        }
    }

    /// The bound for one socket, in bytes.
    pub(super) fn per_socket(&self) -> usize {
        self.per_socket
    }

    /// The share of a new socket.
    pub(super) fn share(&self) -> Share {
        Share {
            bounds: self.clone(),
            used: 0,
        }
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.total.used.load(Ordering::Relaxed)
    }
}

/// The bytes that one socket has read ahead. Its drop gives them back.
#[derive(Debug)]
pub(super) struct Share {
    bounds: ReadAhead,
    /// These bytes are also counted in the total.
    used: usize,
}

impl Share {
    /// Reserves as many bytes as may be read now, possibly none. The caller has to [free](Self::free) what it does not read.
    pub(super) fn reserve(&mut self) -> usize {
        let wanted = self.bounds.per_socket.saturating_sub(self.used);
        let total = &self.bounds.total;
        // This may exceed the total a little: otherwise sockets that use it up would keep all others from reading pings.
        let least = (self.bounds.per_socket / 16).saturating_sub(self.used);
        let mut got = 0;
        // Relaxed: the count guards no other memory.
        let _ = total
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                got = wanted.min(total.most.saturating_sub(used).max(least));
                Some(used + got)
            });
        self.used += got;
        got
    }

    /// Gives back `bytes`, which are not in memory any more.
    pub(super) fn free(&mut self, bytes: usize) {
        let bytes = bytes.min(self.used);
        self.used -= bytes;
        self.bounds.total.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Gives back all bytes.
    pub(super) fn clear(&mut self) {
        self.free(self.used);
    }

    /// Whether both bounds leave room.
    pub(super) fn has_room(&self) -> bool {
        let total = &self.bounds.total;
        self.used < self.bounds.per_socket && total.used.load(Ordering::Relaxed) < total.most
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_takes_its_share_and_all_of_them_no_more_than_the_total() {
        let bounds = ReadAhead::new(10, 25);
        let mut shares: Vec<_> = (0..4).map(|_| bounds.share()).collect();
        let got: Vec<_> = shares.iter_mut().map(Share::reserve).collect();
        assert_eq!(got, [10, 10, 5, 0]);
        assert!(!shares[0].has_room() && !shares[2].has_room());
        shares[0].free(4);
        assert!(shares[2].has_room());
        assert_eq!(shares[3].reserve(), 4);
        assert_eq!(bounds.used(), 25);
        // It frees at most what it has.
        shares[0].free(100);
        assert_eq!(bounds.used(), 19);
        drop(shares);
        assert_eq!(bounds.used(), 0);
    }
}
