//! Keeping outgoing frames under the platform's rate.
//!
//! The platform closes a socket (1008) whose server sends more than 250 frames in a second. A large message is many
//! frames, and the library below splits it but cannot wait between the pieces. So this looks at the bytes on their way
//! out, where every frame passes, whoever made it, and lets each begin only when its time has come.

use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep_until};

/// Which frames may go now.
#[derive(Debug)]
pub(super) struct Pacer {
    bucket: Bucket,
    /// Bytes from the front of what is being written that belong to frames which may go.
    admitted: usize,
    /// Wakes when the next frame may go. Made when a frame first has to wait, which most sockets never see.
    wait: Option<Pin<Box<Sleep>>>,
    /// Whose clock that is. A message may be sent from a thread that belongs to no runtime.
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
    /// `slices` begins with what has not been [written](Self::written) yet, and holds the headers of frames in one
    /// piece.
    pub(super) fn poll_admit(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<usize> {
        let mut before = 0;
        for slice in slices {
            // While the last admitted frame ends in this slice, another one begins there.
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

    /// The first `bytes` have gone.
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

/// A token bucket, kept as the one moment from which it is full again (the "generic cell rate algorithm").
#[derive(Debug)]
struct Bucket {
    full_at: Instant,
    /// Between two tokens.
    every: Duration,
    /// What a full bucket holds, in time.
    depth: Duration,
}

impl Bucket {
    /// A quarter may go at once, the others come one by one: together at most `per_second` within any second.
    fn new(per_second: u32) -> Self {
        let burst = (per_second / 4).max(1);
        let every = Duration::from_secs(1) / per_second.saturating_sub(burst).max(1);
        Self {
            full_at: Instant::now(),
            every,
            depth: every * burst,
        }
    }

    /// Takes a token, or says when there will be one.
    fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let full_at = self.full_at.max(now) + self.every;
        if full_at > now + self.depth {
            return Err(full_at - self.depth);
        }
        self.full_at = full_at;
        Ok(())
    }
}

/// The length of a whole frame, by its header. Ours are not masked.
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

    /// The moments at which `count` frames go that are all there from the beginning.
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
        // Frames of seven bytes, header and payload apart, as the library hands them over.
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
