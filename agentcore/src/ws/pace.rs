//! Keeps outgoing frames below the platform's rate.
//!
//! The platform closes a socket (1008) whose server sends more than 250 frames in a second. A large message is many frames, and
//! the protocol library splits it but cannot wait between the pieces. So the pacer works on the outgoing bytes, which contain
//! every frame, the library's own too. It lets each frame begin only when the rate allows.

use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep_until};

/// Decides which frames may go now.
#[derive(Debug)]
pub(super) struct Pacer {
    bucket: Bucket,
    /// The number of bytes, from the start of what is being written, that belong to frames which may go.
    admitted: usize,
    /// A timer until the next frame may go. It is made when a frame first has to wait, which is rare.
    wait: Option<Pin<Box<Sleep>>>,
    /// The runtime of the timer. A message may be sent from a thread that belongs to no runtime.
    runtime: Handle,
}

impl Pacer {
    /// At most `per_second` frames within any second.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub(super) fn new(per_second: u32) -> Self {
        Self {
            bucket: Bucket::new(per_second),
            admitted: 0,
            wait: None,
            runtime: Handle::current(),
        }
    }

    /// How many of the bytes in `slices` may be written now; not ready while that is none.
    ///
    /// `slices` begins with the first byte that is not [written](Self::written) yet, and holds each frame's header in one piece.
    pub(super) fn poll_admit(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<usize> {
        let mut before = 0;
        for slice in slices {
            // While the last admitted frame ends in this slice, another one begins in it.
            while self.admitted < before + slice.len() {
                match self.bucket.take(Instant::now()) {
                    Ok(()) => self.admitted += length_of_frame(&slice[self.admitted - before..]),
                    Err(_) if self.admitted > 0 => return Poll::Ready(self.admitted),
                    Err(at) => ready!(self.poll_wait(cx, at)),
                }
            }
            before += slice.len();
        }
        Poll::Ready(before)
    }

    /// Records that the first `bytes` have gone.
    pub(super) fn written(&mut self, bytes: usize) {
        self.admitted -= bytes;
    }

    fn poll_wait(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
        let wait = self.wait.get_or_insert_with(|| {
            let _entered = self.runtime.enter();
            Box::pin(sleep_until(until))
        });
        if wait.deadline() != until {
            wait.as_mut().reset(until);
        }
        wait.as_mut().poll(cx)
    }
}

/// A token bucket, stored as the instant at which it is full again (the "generic cell rate algorithm").
#[derive(Debug)]
struct Bucket {
    full_at: Instant,
    /// The time between two tokens.
    every: Duration,
    /// The time in which an empty bucket fills.
    depth: Duration,
}

impl Bucket {
    /// A quarter may go at once, the rest one by one: together at most `per_second` within any second.
    fn new(per_second: u32) -> Self {
        let burst = (per_second / 4).max(1);
        let every = Duration::from_secs(1) / per_second.saturating_sub(burst).max(1);
        Self {
            full_at: Instant::now(),
            every,
            depth: every * burst,
        }
    }

    /// Takes a token, or returns when there will be one.
    fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let full_at = self.full_at.max(now) + self.every;
        if full_at > now + self.depth {
            return Err(full_at - self.depth);
        }
        self.full_at = full_at;
        Ok(())
    }
}

/// The length of a whole frame, from its header. The server's frames are not masked.
fn length_of_frame(frame: &[u8]) -> usize {
    match *frame {
        [_, 126, a, b, ..] => 4 + usize::from(u16::from_be_bytes([a, b])),
        [_, 127, a, b, c, d, e, f, g, h, ..] => {
            10 + u64::from_be_bytes([a, b, c, d, e, f, g, h]) as usize
        }
        [_, length, ..] => 2 + usize::from(length),
        // No frame is that short.
        _ => frame.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The times at which `count` frames go, if all are ready at the start.
    fn schedule(per_second: u32, count: usize) -> Vec<Duration> {
        let mut bucket = Bucket::new(per_second);
        let began = bucket.full_at;
        let mut now = began;
        let mut moments = Vec::new();
        while moments.len() < count {
            match bucket.take(now) {
                Ok(()) => moments.push(now - began),
                Err(later) => now = later,
            }
        }
        moments
    }

    #[test]
    fn no_second_has_more_frames_than_allowed_and_none_is_wasted() {
        for per_second in [4, 10, 240, 1000] {
            let moments = schedule(per_second, 5 * per_second as usize);
            for (first, moment) in moments.iter().enumerate() {
                let within = moments[first..]
                    .iter()
                    .take_while(|later| **later < *moment + Duration::from_secs(1))
                    .count();
                assert!(within <= per_second as usize, "{within} of {per_second}");
            }
            let first_second = moments
                .iter()
                .filter(|moment| moment.as_secs() == 0)
                .count();
            assert!(
                first_second + 1 >= per_second as usize,
                "{first_second} of {per_second}"
            );
        }
    }

    #[test]
    fn a_quarter_goes_at_once() {
        let moments = schedule(240, 61);
        assert_eq!(moments[59], Duration::ZERO);
        assert!(moments[60] > Duration::ZERO);
    }

    #[test]
    fn headers_of_all_three_kinds_are_read() {
        assert_eq!(length_of_frame(&[0x81, 5, 0, 0]), 7);
        assert_eq!(length_of_frame(&[0x82, 126, 1, 0, 9]), 4 + 256);
        assert_eq!(
            length_of_frame(&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
            10 + 65_536
        );
    }

    #[tokio::test(start_paused = true)]
    async fn frames_beyond_the_burst_wait_wherever_the_writes_end() {
        // Frames of seven bytes, in two slices, as the library writes them.
        let (header, payload) = ([0x82, 5], [0; 5]);
        let slices: Vec<_> = (0..6)
            .flat_map(|_| [IoSlice::new(&header), IoSlice::new(&payload)])
            .collect();
        let mut pacer = Pacer::new(8);
        let admitted = std::future::poll_fn(|cx| pacer.poll_admit(cx, &slices)).await;
        assert_eq!(admitted, 2 * 7, "a quarter of eight");
        // A write of half a frame takes nothing from the bucket.
        pacer.written(7);
        let rest = &slices[2..];
        let admitted = std::future::poll_fn(|cx| pacer.poll_admit(cx, rest)).await;
        assert_eq!(admitted, 7);
        pacer.written(7);
        let began = Instant::now();
        let admitted = std::future::poll_fn(|cx| pacer.poll_admit(cx, &slices[4..])).await;
        assert_eq!(admitted, 7);
        let waited = began.elapsed();
        assert!(waited >= Duration::from_secs(1) / 6, "{waited:?}");
    }
}
