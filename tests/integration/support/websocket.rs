//! The client's side of RFC 6455, frame by frame, so that it can also break the rules.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::{Agent, Client, Reply};

pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;

/// The flag of the last, or only, frame of a message.
pub(crate) const FINAL: u8 = 0x80;

const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

/// A valid handshake, with the additional lines `more`.
pub(crate) fn handshake(more: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nhost: agent\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

/// A frame as clients send it. `first` is its first byte: flags and opcode.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, payload.len(), true);
    frame.extend_from_slice(&MASK);
    let mask = MASK.iter().cycle();
    frame.extend(payload.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A frame as only servers send it.
pub(crate) fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, payload.len(), false);
    frame.extend_from_slice(payload);
    frame
}

/// The beginning of a frame, up to the mask, in the shortest form.
pub(crate) fn header(first: u8, length: usize, is_masked: bool) -> Vec<u8> {
    let flag = if is_masked { 0x80 } else { 0 };
    let mut header = vec![first];
    if let Ok(length @ 0..=125) = u8::try_from(length) {
        header.push(flag | length);
    } else if let Ok(length) = u16::try_from(length) {
        header.push(flag | 126);
        header.extend_from_slice(&length.to_be_bytes());
    } else {
        header.push(flag | 127);
        header.extend_from_slice(&(length as u64).to_be_bytes());
    }
    header
}

/// The payload of a close frame.
pub(crate) fn close(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// A frame from the server.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) first: u8,
    pub(crate) payload: Vec<u8>,
    /// Header and payload, in bytes.
    pub(crate) length: usize,
}

impl Frame {
    pub(crate) fn opcode(&self) -> u8 {
        self.first & 0x0f
    }

    pub(crate) fn is_final(&self) -> bool {
        self.first & FINAL != 0
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).expect("UTF-8")
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = String::from_utf8_lossy(&self.payload[..self.payload.len().min(80)]);
        write!(f, "{:#04x} {shown:?} ({} bytes)", self.first, self.length)
    }
}

/// One end of an open socket.
pub(crate) struct Peer(Client);

impl Peer {
    pub(crate) fn open(agent: &Agent) -> Self {
        Self::open_with(agent, "")
    }

    pub(crate) fn open_with(agent: &Agent, headers: &str) -> Self {
        let mut client = agent.connect().send(handshake(headers).as_bytes());
        let reply = client.next_reply();
        assert_eq!(reply.status, 101, "{reply:?}");
        assert_accepted(&reply);
        Self(client)
    }

    /// A socket on a connection whose handshake the caller has read.
    pub(crate) fn upgraded(client: Client) -> Self {
        Self(client)
    }

    /// The connection itself, for another thread.
    pub(crate) fn stream(&self) -> TcpStream {
        let stream = self.0.stream.get_ref().try_clone();
        stream.expect("another handle")
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        let sent = self.0.stream.get_mut().write_all(bytes);
        sent.expect("the bytes are sent");
    }

    /// Sends as much as the other side takes.
    pub(crate) fn try_send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.0.stream.get_mut().write_all(bytes);
    }

    pub(crate) fn send(&mut self, first: u8, payload: impl AsRef<[u8]>) {
        self.send_bytes(&masked(first, payload.as_ref()));
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.send(FINAL | TEXT, text);
    }

    pub(crate) fn next(&mut self) -> Frame {
        self.try_next().expect("a frame before the end")
    }

    /// The next frame; `None` at the end.
    pub(crate) fn try_next(&mut self) -> Option<Frame> {
        let mut start = [0; 2];
        let stream = &mut self.0.stream;
        // This read also shows the end, and continues after a signal, which a plain `read` would not.
        let mut first = Vec::with_capacity(1);
        let mut one = stream.take(1);
        if one.read_to_end(&mut first).expect("a frame in time") == 0 {
            return None;
        }
        start[0] = first[0];
        let mut exact = |buffer: &mut [u8]| stream.read_exact(buffer).expect("a whole frame");
        exact(&mut start[1..]);
        let [first, length] = start;
        assert_eq!(first & 0x70, 0, "reserved bits");
        let (header, length) = match length {
            126 => {
                let mut length = [0; 2];
                exact(&mut length);
                (4, usize::from(u16::from_be_bytes(length)))
            }
            127 => {
                let mut length = [0; 8];
                exact(&mut length);
                (10, u64::from_be_bytes(length) as usize)
            }
            length => {
                assert!(length < 126, "servers do not mask");
                (2, usize::from(length))
            }
        };
        let mut payload = vec![0; length];
        exact(&mut payload);
        Some(Frame {
            first,
            payload,
            length: header + length,
        })
    }

    /// The next message, joined, and its frames.
    pub(crate) fn message(&mut self) -> (Vec<u8>, Vec<Frame>) {
        let mut frames = vec![self.next()];
        while !frames[frames.len() - 1].is_final() {
            let next = self.next();
            assert_eq!(next.opcode(), CONTINUATION, "{next:?}");
            frames.push(next);
        }
        let payloads = frames.iter().flat_map(|frame| &frame.payload);
        (payloads.copied().collect(), frames)
    }

    /// Reads the next frame, which has to be a text message. Returns the text.
    pub(crate) fn next_text(&mut self) -> String {
        let frame = self.next();
        assert_eq!(frame.first, FINAL | TEXT, "{frame:?}");
        frame.text().to_owned()
    }

    pub(crate) fn echoes(&mut self, text: &str) {
        self.text(text);
        assert_eq!(self.next_text(), text);
    }

    /// Reads the next frame, which has to close the socket. Returns code and reason.
    pub(crate) fn next_close(&mut self) -> (u16, String) {
        let frame = self.next();
        assert_eq!(frame.first, FINAL | CLOSE, "{frame:?}");
        let (code, reason) = frame.payload.split_at(2);
        let code = u16::from_be_bytes([code[0], code[1]]);
        (code, String::from_utf8(reason.to_vec()).expect("UTF-8"))
    }

    /// Checks that the server closes with `code`, answers it, and waits for the end of the connection. Returns the reason.
    pub(crate) fn expect_close(mut self, code: u16) -> String {
        let (closed, reason) = self.next_close();
        assert_eq!(closed, code, "{reason}");
        self.try_send_bytes(&masked(FINAL | CLOSE, &close(code, "")));
        self.ends();
        reason
    }

    /// Checks that nothing more comes.
    pub(crate) fn ends(mut self) {
        let rest = self.try_next();
        assert_eq!(rest, None);
    }

    pub(crate) fn finish_sending(self) -> Self {
        Self(self.0.finish_sending())
    }
}

pub(crate) fn assert_accepted(reply: &Reply) {
    assert_eq!(reply.header("upgrade"), Some("websocket"), "{reply:?}");
    assert_eq!(
        reply.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        "the RFC's answer to the RFC's key"
    );
}
