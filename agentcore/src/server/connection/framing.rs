//! A strict reader of request framing: finds requests that could be read in two ways, or that hyper cannot refuse properly.
//!
//! If a proxy and this server disagree about where a request ends, one client's bytes become the beginning of another
//! client's request ("request smuggling"). hyper is lenient where proxies have been found to differ: a line may end with a
//! bare LF, `transfer-encoding` wins over a `content-length` beside it and may name codings that hyper does not decode, and a
//! request may have no `host` or several. A server that reads more strictly than any proxy cannot disagree with one.
//!
//! So a second, smaller reader follows the bytes on their way to hyper. It counts the heads and records the first request
//! that must be refused, and why. The service refuses that request and closes the connection. Requests that hyper itself
//! refuses, such as folded lines or lengths that are no numbers, need no check here: they never reach the service.
//!
//! The reader changes bytes in two places, where hyper's answer would be none or wrong: the beginning of HTTP/2 becomes an
//! HTTP/1.0 request, and a length that does not fit into hyper's number becomes 0. Both requests are refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderValue, StatusCode, header};
use memchr::memchr;

use crate::handler::response::Response;

/// The capacity, in bytes, that the line buffer keeps from one line to the next.
const KEPT_LINE: usize = 4 * 1024;

/// The longest line that the reader follows, in bytes. hyper refuses longer lines before they end.
const LONGEST_LINE: usize = 128 * 1024;

/// The first line of HTTP/2, and the line that hyper gets instead. Both have the same length.
const HTTP_2: &[u8; 16] = b"PRI * HTTP/2.0\r\n";
const IN_PLACE_OF_HTTP_2: &[u8; 16] = b"GET / HTTP/1.0\r\n";

/// The greatest `content-length` that hyper can count. It answers a greater one as if the head were too large.
const GREATEST_LENGTH: u64 = u64::MAX - 2;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A proxy may see the request end elsewhere.
    Ambiguous,
    /// An HTTP/1.1 request without `host`, or with several.
    Host,
    /// A length that no body can have.
    Length,
    /// The beginning of HTTP/2.
    Http2,
}

impl Fault {
    const ALL: [Self; 4] = [Self::Ambiguous, Self::Host, Self::Length, Self::Http2];

    /// The reply to the request. It closes the connection.
    pub(crate) fn to_response(self, max_body_bytes: usize) -> Response {
        let response = |status, error, details: &str| {
            Response::rejection(status, error, details, None)
                .with_header(header::CONNECTION, HeaderValue::from_static("close"))
        };
        match self {
            Self::Ambiguous => response(
                StatusCode::BAD_REQUEST,
                "Bad Request",
                "it is not clear where the request ends: lines end with CR LF, a length is given once, and the only transfer \
                 coding is one `chunked`",
            ),
            Self::Host => response(
                StatusCode::BAD_REQUEST,
                "Bad Request",
                "a request in HTTP/1.1 has one Host header",
            ),
            Self::Length => response(
                StatusCode::PAYLOAD_TOO_LARGE,
                "Payload Too Large",
                &format!("the body is larger than {max_body_bytes} bytes"),
            ),
            Self::Http2 => response(
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "HTTP Version Not Supported",
                "the server speaks HTTP/1.1, not HTTP/2",
            ),
        }
    }
}

/// The first request of a connection that must be refused, and why. The reader and the service share it.
///
/// The upper 56 bits hold the number of the request, the lower 8 the fault. All bits are ones while there is no fault.
#[derive(Clone, Debug)]
pub(crate) struct FirstFault(Arc<AtomicU64>);

impl Default for FirstFault {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(u64::MAX)))
    }
}

impl FirstFault {
    /// The fault of this request or of an earlier one. Requests are counted from 1.
    pub(crate) fn for_request(&self, request: u64) -> Option<Fault> {
        let word = self.0.load(Ordering::Relaxed);
        let is_meant = word != u64::MAX && request >= word >> 8;
        is_meant
            .then(|| Fault::ALL.get((word & 0xff) as usize).copied())
            .flatten()
    }

    fn record(&self, request: u64, fault: Fault) {
        self.0
            .fetch_min(request << 8 | fault as u64, Ordering::Relaxed);
    }
}

/// Follows the bytes that the client of one connection sends.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    at: At,
    /// How many heads have begun.
    heads: u64,
    head: Head,
    /// The beginning of a line whose rest has not arrived.
    line: Vec<u8>,
    first_fault: FirstFault,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default)]
enum At {
    #[default]
    RequestLine,
    Header,
    /// The number of bytes left of a body or of one chunk, and whether it is a chunk.
    Data(u64, Chunked),
    ChunkSize,
    /// The line break after a chunk.
    ChunkEnd,
    Trailer,
    /// A fault was found. It is not known where requests begin, so all later ones are refused.
    Lost,
}

type Chunked = bool;

/// What the lines of a head have said so far.
#[derive(Debug, Default)]
struct Head {
    length: Option<u64>,
    chunked: bool,
    hosts: u32,
    /// Whether the request is HTTP/1.0, which needs no host.
    is_old: bool,
}

impl Framing {
    pub(crate) fn first_fault(&self) -> FirstFault {
        self.first_fault.clone()
    }

    /// Reads the next bytes that the client has sent.
    pub(crate) fn follow(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            match self.at {
                At::Lost => return,
                At::Data(left, chunked) => {
                    let here = left.min(bytes.len() as u64);
                    bytes = &mut bytes[here as usize..];
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

    /// Reads the bytes that belong to the current line, and returns the rest.
    fn follow_line<'a>(&mut self, bytes: &'a mut [u8]) -> &'a mut [u8] {
        let Some(end) = memchr(b'\n', bytes) else {
            self.line.extend_from_slice(bytes);
            if self.line.len() > LONGEST_LINE {
                self.lose_track(Fault::Ambiguous);
            }
            return &mut [];
        };
        let (line, rest) = bytes.split_at_mut(end + 1);
        // Most heads arrive whole and are read in place.
        if self.line.is_empty() {
            self.read_line(line);
        } else {
            self.line.extend_from_slice(line);
            let mut whole = std::mem::take(&mut self.line);
            // hyper does not see what this changes in the copy: it has the beginning already.
            self.read_line(&mut whole);
            // A connection that lives long must not keep the buffer of one long line.
            if whole.capacity() <= KEPT_LINE && self.line.is_empty() {
                whole.clear();
                self.line = whole;
            }
        }
        rest
    }

    /// Reads one line, its line break included.
    fn read_line(&mut self, line: &mut [u8]) {
        if !line.ends_with(b"\r\n") {
            return self.lose_track(Fault::Ambiguous);
        }
        if line == HTTP_2 && self.heads == 0 {
            line.copy_from_slice(IN_PLACE_OF_HTTP_2);
            return self.lose_track(Fault::Http2);
        }
        let end = line.len() - 2;
        let line = &mut line[..end];
        let at = self.at;
        self.at = match at {
            // After trailers, a blank line ends the request. Before a request, it is allowed and has no meaning.
            At::RequestLine | At::Trailer if line.is_empty() => At::RequestLine,
            At::Trailer => At::Trailer,
            At::RequestLine => {
                self.heads += 1;
                self.head = Head {
                    is_old: line.ends_with(b" HTTP/1.0"),
                    ..Head::default()
                };
                At::Header
            }
            At::Header if line.is_empty() => {
                if self.head.hosts != 1 && !(self.head.is_old && self.head.hosts == 0) {
                    return self.lose_track(Fault::Host);
                }
                self.body()
            }
            At::Header => match self.read_header(line) {
                Ok(()) => At::Header,
                Err(fault) => return self.lose_track(fault),
            },
            At::ChunkSize => match chunk_size(line) {
                Some(0) => At::Trailer,
                Some(size) => At::Data(size, true),
                None => return self.lose_track(Fault::Ambiguous),
            },
            At::ChunkEnd if line.is_empty() => At::ChunkSize,
            At::ChunkEnd | At::Data(..) | At::Lost => return self.lose_track(Fault::Ambiguous),
        };
    }

    /// Reads one line of a head.
    fn read_header(&mut self, line: &mut [u8]) -> Result<(), Fault> {
        // The first letter rules out most headers.
        if !matches!(line.first(), Some(b'c' | b'C' | b'h' | b'H' | b't' | b'T')) {
            return Ok(());
        }
        let Some(colon) = memchr(b':', line) else {
            return Ok(());
        };
        let (name, value) = line.split_at_mut(colon);
        let value = &mut value[1..];
        if name.eq_ignore_ascii_case(b"host") {
            self.head.hosts += 1;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            // hyper decodes no other coding, and not `chunked` twice.
            let is_chunked = value.trim_ascii().eq_ignore_ascii_case(b"chunked");
            if !is_chunked || self.head.chunked {
                return Err(Fault::Ambiguous);
            }
            self.head.chunked = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let length = decimal(value.trim_ascii()).ok_or(Fault::Ambiguous)?;
            if length > GREATEST_LENGTH {
                let digits = value.iter_mut().filter(|byte| byte.is_ascii_digit());
                digits.for_each(|digit| *digit = b'0');
                return Err(Fault::Length);
            }
            let other = self.head.length.replace(length);
            if other.is_some_and(|other| other != length) {
                return Err(Fault::Ambiguous);
            }
        }
        if self.head.chunked && self.head.length.is_some() {
            return Err(Fault::Ambiguous);
        }
        Ok(())
    }

    /// What follows the head that has ended.
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

    /// Records a fault of the current request. From here on it is not known where requests begin, so all later ones are refused.
    fn lose_track(&mut self, fault: Fault) {
        let current = match self.at {
            At::RequestLine => self.heads + 1,
            _ => self.heads,
        };
        self.first_fault.record(current, fault);
        self.at = At::Lost;
        self.line = Vec::new();
    }
}

/// The size in a chunk's first line, without the extensions that may follow it.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let end = line.iter().position(|byte| !byte.is_ascii_hexdigit());
    let (digits, rest) = line.split_at(end.unwrap_or(line.len()));
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

    /// The first request that is refused, if any, with its fault; and the bytes that hyper gets.
    fn followed(pieces: &[&[u8]]) -> (Option<(u64, Fault)>, Vec<u8>) {
        let mut framing = Framing::default();
        let mut given = Vec::new();
        for piece in pieces {
            let mut piece = piece.to_vec();
            framing.follow(&mut piece);
            given.extend(piece);
        }
        let first = framing.first_fault.0.load(Ordering::Relaxed) >> 8;
        let fault = framing.first_fault.for_request(first);
        (fault.map(|fault| (first, fault)), given)
    }

    fn refused(pieces: &[&[u8]]) -> Option<(u64, Fault)> {
        let (refused, given) = followed(pieces);
        assert_eq!(given, pieces.concat(), "nothing is changed");
        refused
    }

    const PLAIN: &str = "GET /ping HTTP/1.1\r\nhost: a\r\n\r\n";
    const SIZED: &str = "POST /invocations HTTP/1.1\r\nhost: a\r\nContent-Length: 4\r\n\r\n{\n\n}";
    const CHUNKED: &str = "POST /invocations HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        3;name=\"x\"\r\n{\n\n\r\n1\r\n}\r\n0\r\ntrailer: t\r\n\r\n";

    #[test]
    fn honest_requests_pass_whatever_their_bodies_hold() {
        let all = [PLAIN, SIZED, CHUNKED, "\r\n", PLAIN].concat();
        assert_eq!(refused(&[all.as_bytes()]), None);
        let twice =
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(refused(&[twice.as_bytes(), PLAIN.as_bytes()]), None);
    }

    #[test]
    fn the_ambiguous_request_is_named_by_its_number() {
        for ambiguous in [
            "GET /ping HTTP/1.1\nhost: a\r\n\r\n",
            "GET /ping HTTP/1.1\r\nhost: a\n\r\n",
            "GET /ping HTTP/1.1\r\nhost: a\r\n\n",
            "\nGET /ping HTTP/1.1\r\nhost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\n{\n\n}",
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +4\r\n\r\n{\n\n}",
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding:\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\na: b\n\r\n",
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n",
        ] {
            let all = [PLAIN, SIZED, CHUNKED, ambiguous, PLAIN].concat();
            let expected = Some((4, Fault::Ambiguous));
            assert_eq!(refused(&[all.as_bytes()]), expected, "{ambiguous:?}");
        }
    }

    #[test]
    fn a_request_names_one_host() {
        for (head, fault) in [
            ("GET /ping HTTP/1.1\r\n\r\n", Some(Fault::Host)),
            (
                "GET /ping HTTP/1.1\r\nhost: a\r\nHOST: a\r\n\r\n",
                Some(Fault::Host),
            ),
            (
                "GET /ping HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n",
                Some(Fault::Host),
            ),
            (
                "GET /ping HTTP/1.1\r\nhostess: a\r\n\r\n",
                Some(Fault::Host),
            ),
            ("GET /ping HTTP/1.1\r\nhost:\r\n\r\n", None),
            ("GET /ping HTTP/1.0\r\n\r\n", None),
            ("GET /ping HTTP/1.0\r\nHost: a\r\n\r\n", None),
        ] {
            let expected = fault.map(|fault| (2, fault));
            let all = [PLAIN, head, PLAIN].concat();
            assert_eq!(refused(&[all.as_bytes()]), expected, "{head:?}");
        }
    }

    /// hyper would close without a reply, or answer that the head is too large.
    #[test]
    fn what_hyper_cannot_refuse_is_given_to_it_as_something_that_can_be() {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let (refused, given) = followed(&[preface]);
        assert_eq!(refused, Some((1, Fault::Http2)));
        assert_eq!(given, b"GET / HTTP/1.0\r\n\r\nSM\r\n\r\n");
        let length = |length: &str| {
            format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n")
        };
        for absurd in ["18446744073709551614", "18446744073709551615"] {
            let (refused, given) = followed(&[length(absurd).as_bytes()]);
            assert_eq!(refused, Some((1, Fault::Length)), "{absurd}");
            assert_eq!(given, length("00000000000000000000").as_bytes());
        }
        let (refused, _) = followed(&[length("18446744073709551613").as_bytes()]);
        assert_eq!(refused, None);
    }

    #[test]
    fn a_line_without_an_end_is_not_kept_for_ever() {
        let mut framing = Framing::default();
        for _ in 0..100 {
            framing.follow(&mut [b'x'; 4096]);
        }
        assert!(framing.line.capacity() <= LONGEST_LINE + 4096);
        assert!(framing.first_fault.for_request(1).is_some());
    }

    proptest! {
        /// The result does not depend on where reads end.
        #[test]
        fn pieces_are_read_as_the_whole(
            requests in proptest::collection::vec(
                prop_oneof![Just(PLAIN), Just(SIZED), Just(CHUNKED), Just("a: b\n"), Just("\r\n"), Just("5\r\n"), Just("\r\nPRI * HTTP/2.0\r\n")],
                0..6,
            ),
            cuts in proptest::collection::vec(0_usize..400, 0..8),
        ) {
            let all = requests.concat();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(all.len())).collect();
            cuts.extend([0, all.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|cut| &all.as_bytes()[cut[0]..cut[1]]).collect();
            prop_assert_eq!(followed(&pieces).0, followed(&[all.as_bytes()]).0);
        }
    }
}
