//! Reading HTTP/1 replies, and refusing every freedom that they need not take.

use std::fmt;

/// One reply.
#[derive(Clone)]
pub struct Reply {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Nothing of it is missing.
    pub whole: bool,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = &self.body[..self.body.len().min(200)];
        f.debug_struct("Reply")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .field("body", &String::from_utf8_lossy(start))
            .field("length", &self.body.len())
            .field("whole", &self.whole)
            .finish()
    }
}

impl Reply {
    /// The values of a header.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The value of a header that may be there once.
    ///
    /// # Panics
    ///
    /// When it is there twice.
    #[must_use]
    pub fn header<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        let mut values = self.all(name);
        let value = values.next();
        assert_eq!(values.next(), None, "a second {name}");
        value
    }

    /// Whether the body is a stream of events.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.header("content-type") == Some("text/event-stream")
    }
}

/// Reads all of `bytes`. `is_head` says of the reply with that number, without interim ones, whether it answers `HEAD`.
///
/// # Panics
///
/// When something is no reply.
pub fn parse(mut bytes: &[u8], is_head: impl Fn(usize) -> bool) -> Vec<Reply> {
    let mut replies: Vec<Reply> = Vec::new();
    while !bytes.is_empty() {
        assert!(
            replies.last().is_none_or(|last| last.whole),
            "something behind a reply that has no end: {:?}",
            String::from_utf8_lossy(bytes)
        );
        let Some(end) = find(bytes, b"\r\n\r\n") else {
            replies.push(Reply {
                status: 0,
                headers: Vec::new(),
                body: Vec::new(),
                whole: false,
            });
            return replies;
        };
        let (status, headers, is_old) = head(&bytes[..end]);
        bytes = &bytes[end + 4..];
        if status == 100 {
            assert!(headers.is_empty(), "an interim reply with headers");
            continue;
        }
        let mut reply = Reply {
            status,
            headers,
            body: Vec::new(),
            whole: true,
        };
        let length = reply.header("content-length").map(|text| {
            assert!(text.bytes().all(|byte| byte.is_ascii_digit()), "{text}");
            text.parse::<usize>().expect("a length")
        });
        let coding = reply.header("transfer-encoding");
        assert!(length.is_none() || coding.is_none(), "framed twice");
        assert!(
            coding.is_none_or(|coding| coding == "chunked"),
            "{coding:?}"
        );
        if status == 101 || status == 204 {
            assert_eq!((length, coding), (None, None), "a length for no body");
        } else if status == 304 || is_head(replies.len()) {
            // The length of what is left out.
        } else if let Some(length) = length {
            reply.whole = length <= bytes.len();
            let body;
            (body, bytes) = bytes.split_at(length.min(bytes.len()));
            reply.body = body.to_vec();
        } else if coding.is_some() {
            assert!(!is_old, "chunks for an old client");
            (reply.whole, bytes) = chunks(bytes, &mut reply.body);
        } else {
            let closes = reply.header("connection") == Some("close");
            assert!(is_old || closes, "no length, and no end");
            reply.body = bytes.to_vec();
            bytes = &[];
        }
        replies.push(reply);
    }
    replies
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

type Head = (u16, Vec<(String, String)>, bool);

fn head(bytes: &[u8]) -> Head {
    let text = std::str::from_utf8(bytes).expect("a head in ASCII");
    let mut lines = text.split("\r\n");
    let status = lines.next().expect("a status line");
    let is_old = status.starts_with("HTTP/1.0 ");
    assert!(is_old || status.starts_with("HTTP/1.1 "), "{status}");
    let number = status[9..].split(' ').next().unwrap_or_default();
    assert_eq!(number.len(), 3, "{status}");
    let headers = lines.map(|line| {
        assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
        let (name, value) = line.split_once(": ").expect("a header");
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        assert!(!name.is_empty() && name.bytes().all(is_token), "{line:?}");
        (name.to_ascii_lowercase(), value.to_owned())
    });
    (number.parse().expect("a status"), headers.collect(), is_old)
}

/// Reads chunks into `body`. Whether the last one is among them, and what is behind it.
fn chunks<'a>(mut bytes: &'a [u8], body: &mut Vec<u8>) -> (bool, &'a [u8]) {
    loop {
        let Some(end) = find(bytes, b"\r\n") else {
            return (false, &[]);
        };
        let size = std::str::from_utf8(&bytes[..end]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size without extensions");
        bytes = &bytes[end + 2..];
        if bytes.len() < size + 2 {
            body.extend_from_slice(&bytes[..size.min(bytes.len())]);
            return (false, &[]);
        }
        body.extend_from_slice(&bytes[..size]);
        assert_eq!(&bytes[size..size + 2], b"\r\n", "the end of a chunk");
        bytes = &bytes[size + 2..];
        if size == 0 {
            return (true, bytes);
        }
    }
}
