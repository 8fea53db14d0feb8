//! Requests that could be read in two ways.
//!
//! A proxy that sees a request end elsewhere than this server does lets one client's bytes become the beginning of
//! another's request ("smuggling"). hyper is lenient in three places where proxies have been found to differ: a line may
//! end with a bare LF, `transfer-encoding` wins over a `content-length` beside it, and RFC 9112 allows both. Whoever reads
//! more strictly than any proxy cannot disagree with one.
//!
//! So a second, smaller reader follows the bytes on their way to hyper. It changes nothing; it counts the heads and
//! remembers the first one that is ambiguous. The service refuses that request and closes the connection. What hyper
//! itself refuses, such as folded lines or lengths that are no numbers, needs no care here: there is no request then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memchr::memchr;

/// The longest line that is followed. hyper refuses longer ones before they end.
const LONGEST_LINE: usize = 128 * 1024;

/// Which request of a connection is the first that must not be answered; shared between the reader and the service.
#[derive(Clone, Debug)]
pub(super) struct Verdict(Arc<AtomicU64>);

impl Default for Verdict {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(u64::MAX)))
    }
}

impl Verdict {
    /// Whether the request of this number, counted from 1, could be read in two ways, or comes behind one that could.
    pub(super) fn is_against(&self, request: u64) -> bool {
        request >= self.0.load(Ordering::Relaxed)
    }

    fn condemn(&self, request: u64) {
        self.0.fetch_min(request, Ordering::Relaxed);
    }
}

/// Follows what one connection's client sends.
#[derive(Debug, Default)]
pub(super) struct Framing {
    at: At,
    /// Heads that have begun.
    heads: u64,
    head: Head,
    /// The beginning of a line whose rest has not come.
    line: Vec<u8>,
    verdict: Verdict,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default)]
enum At {
    #[default]
    RequestLine,
    Header,
    /// So many bytes of a body, or of one chunk; and whether it is a chunk.
    Data(u64, Chunked),
    ChunkSize,
    /// The line break behind a chunk.
    ChunkEnd,
    Trailer,
    /// Nothing is known any more, and so nothing is let through.
    Lost,
}

type Chunked = bool;

/// What a head has said so far about its body.
#[derive(Debug, Default)]
struct Head {
    length: Option<u64>,
    chunked: bool,
}

impl Framing {
    pub(super) fn verdict(&self) -> Verdict {
        self.verdict.clone()
    }

    /// The next bytes that the client has sent.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.at {
                At::Lost => return,
                At::Data(left, chunked) => {
                    let here = left.min(bytes.len() as u64);
                    bytes = &bytes[here as usize..];
                    self.at = match (left - here, chunked) {
                        (0, true) => At::ChunkEnd,
                        (0, false) => At::RequestLine,
                        (more, _) => At::Data(more, chunked),
                    };
                }
                _ => bytes = self.follow_line(bytes),
            }
        }
    }

    /// Takes what belongs to the current line, and returns the rest.
    fn follow_line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some(end) = memchr(b'\n', bytes) else {
            self.line.extend_from_slice(bytes);
            if self.line.len() > LONGEST_LINE {
                self.lose_track();
            }
            return &[];
        };
        let (line, rest) = bytes.split_at(end + 1);
        // Most heads arrive whole, and are read where they are.
        if self.line.is_empty() {
            self.read_line(line);
        } else {
            self.line.extend_from_slice(line);
            let mut whole = std::mem::take(&mut self.line);
            self.read_line(&whole);
            whole.clear();
            self.line = whole;
        }
        rest
    }

    /// Reads one line, its line break included.
    fn read_line(&mut self, line: &[u8]) {
        let Some(line) = line.strip_suffix(b"\r\n") else {
            return self.lose_track();
        };
        let at = self.at;
        self.at = match at {
            // Behind trailers, a blank line ends the request; before a request it is allowed, and means nothing.
            At::RequestLine | At::Trailer if line.is_empty() => At::RequestLine,
            At::Trailer => At::Trailer,
            At::RequestLine => {
                self.heads += 1;
                self.head = Head::default();
                At::Header
            }
            At::Header if line.is_empty() => self.body(),
            At::Header if self.read_header(line) => At::Header,
            At::ChunkSize => match chunk_size(line) {
                Some(0) => At::Trailer,
                Some(size) => At::Data(size, true),
                None => return self.lose_track(),
            },
            At::ChunkEnd if line.is_empty() => At::ChunkSize,
            At::Header | At::ChunkEnd | At::Data(..) | At::Lost => return self.lose_track(),
        };
    }

    /// Whether the header can be understood.
    fn read_header(&mut self, line: &[u8]) -> bool {
        // Most are about something else, and told by their first letter.
        if !matches!(line.first(), Some(b'c' | b'C' | b't' | b'T')) {
            return true;
        }
        let Some(colon) = memchr(b':', line) else {
            return true;
        };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.head.chunked = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let Some(length) = decimal(value.trim_ascii()) else {
                return false;
            };
            if self
                .head
                .length
                .replace(length)
                .is_some_and(|other| other != length)
            {
                return false;
            }
        }
        !(self.head.chunked && self.head.length.is_some())
    }

    /// What follows the head that has just ended.
    fn body(&self) -> At {
        match self.head {
            Head { chunked: true, .. } => At::ChunkSize,
            Head {
                length: None | Some(0),
                ..
            } => At::RequestLine,
            Head {
                length: Some(length),
                ..
            } => At::Data(length, false),
        }
    }

    /// From here on it is not known where requests begin: neither the one that is being read nor a later one counts.
    fn lose_track(&mut self) {
        let current = match self.at {
            At::RequestLine => self.heads + 1,
            _ => self.heads,
        };
        self.verdict.condemn(current);
        self.at = At::Lost;
        self.line = Vec::new();
    }
}

/// The size in a chunk's first line, whatever extensions follow it.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line
        .iter()
        .position(|byte| !byte.is_ascii_hexdigit())
        .unwrap_or(line.len());
    let (digits, rest) = line.split_at(digits);
    if !matches!(rest.first(), None | Some(b';' | b' ' | b'\t')) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn decimal(digits: &[u8]) -> Option<u64> {
    // `parse` would take a sign.
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The first request that is refused, if any is.
    fn condemned(pieces: &[&[u8]]) -> Option<u64> {
        let mut framing = Framing::default();
        for piece in pieces {
            framing.follow(piece);
        }
        let first = framing.verdict.0.load(Ordering::Relaxed);
        (first != u64::MAX).then_some(first)
    }

    const PLAIN: &str = "GET /ping HTTP/1.1\r\nhost: a\r\n\r\n";
    const SIZED: &str = "POST /invocations HTTP/1.1\r\nContent-Length: 4\r\n\r\n{\n\n}";
    const CHUNKED: &str = "POST /invocations HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
        3;name=\"x\"\r\n{\n\n\r\n1\r\n}\r\n0\r\ntrailer: t\r\n\r\n";

    #[test]
    fn honest_requests_pass_whatever_their_bodies_hold() {
        let all = [PLAIN, SIZED, CHUNKED, "\r\n", PLAIN].concat();
        assert_eq!(condemned(&[all.as_bytes()]), None);
        let twice = "POST / HTTP/1.1\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(condemned(&[twice.as_bytes(), PLAIN.as_bytes()]), None);
    }

    #[test]
    fn the_ambiguous_request_is_named_by_its_number() {
        for ambiguous in [
            "GET /ping HTTP/1.1\nhost: a\r\n\r\n",
            "GET /ping HTTP/1.1\r\nhost: a\n\r\n",
            "GET /ping HTTP/1.1\r\nhost: a\r\n\n",
            "\nGET /ping HTTP/1.1\r\nhost: a\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\n{\n\n}",
            "POST / HTTP/1.1\r\ncontent-length: +4\r\n\r\n{\n\n}",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\na: b\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n",
        ] {
            let all = [PLAIN, SIZED, CHUNKED, ambiguous, PLAIN].concat();
            assert_eq!(condemned(&[all.as_bytes()]), Some(4), "{ambiguous:?}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_not_kept_for_ever() {
        let mut framing = Framing::default();
        for _ in 0..100 {
            framing.follow(&[b'x'; 4096]);
        }
        assert!(framing.line.capacity() <= LONGEST_LINE + 4096);
        assert!(framing.verdict.is_against(1));
    }

    proptest! {
        /// Where reads happen to end changes nothing.
        #[test]
        fn pieces_are_read_as_the_whole(
            requests in proptest::collection::vec(
                prop_oneof![Just(PLAIN), Just(SIZED), Just(CHUNKED), Just("a: b\n"), Just("\r\n"), Just("5\r\n")],
                0..6,
            ),
            cuts in proptest::collection::vec(0_usize..400, 0..8),
        ) {
            let all = requests.concat();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(all.len())).collect();
            cuts.extend([0, all.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|cut| &all.as_bytes()[cut[0]..cut[1]]).collect();
            prop_assert_eq!(condemned(&pieces), condemned(&[all.as_bytes()]));
        }
    }
}
