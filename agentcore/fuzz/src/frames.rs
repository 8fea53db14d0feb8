//! RFC 6455 once more, from the client's side: what its bytes mean, and whether what it gets is allowed.

pub const CONTINUATION: u8 = 0x0;
pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xA;

/// A message or a control frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub opcode: u8,
    pub payload: Vec<u8>,
}

/// How a side's bytes end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a close frame, and its code if it has one.
    Close(Option<u16>),
    /// In the middle, or at least without one.
    Open,
    /// With something that is not allowed, or a message that is too long.
    Violation,
}

struct Frame<'a> {
    is_last: bool,
    reserved: u8,
    opcode: u8,
    mask: Option<[u8; 4]>,
    is_minimal: bool,
    payload: &'a [u8],
    length: usize,
}

/// The first frame, and what is behind it; `None` if it is not all there, and its length so far as its head says it.
fn frame(bytes: &[u8]) -> Result<(Frame<'_>, &[u8]), Option<u64>> {
    let &[first, second, ref rest @ ..] = bytes else {
        return Err(None);
    };
    let (length, rest) = match (second & 0x7F, rest) {
        (126, [a, b, rest @ ..]) => (u64::from(u16::from_be_bytes([*a, *b])), rest),
        (127, [a, b, c, d, e, f, g, h, rest @ ..]) => {
            let length = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
            (length, rest)
        }
        (126 | 127, _) => return Err(None),
        (small, rest) => (u64::from(small), rest),
    };
    let is_minimal = match second & 0x7F {
        126 => length > 125,
        127 => length > 0xFFFF,
        _ => true,
    };
    let (mask, rest) = match (second & 0x80 != 0, rest) {
        (false, rest) => (None, rest),
        (true, [a, b, c, d, rest @ ..]) => (Some([*a, *b, *c, *d]), rest),
        (true, _) => return Err(Some(length)),
    };
    let Some(payload) = usize::try_from(length)
        .ok()
        .and_then(|length| rest.get(..length))
    else {
        return Err(Some(length));
    };
    let rest = &rest[payload.len()..];
    let frame = Frame {
        is_last: first & 0x80 != 0,
        reserved: first & 0x70,
        opcode: first & 0x0F,
        mask,
        is_minimal,
        payload,
        length: bytes.len() - rest.len(),
    };
    Ok((frame, rest))
}

fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// What a close frame says; `None` if it says what it may not.
fn close(payload: &[u8]) -> Option<Option<u16>> {
    match payload {
        [] => Some(None),
        [a, b, reason @ ..] => {
            let code = u16::from_be_bytes([*a, *b]);
            (may_be_sent(code) && std::str::from_utf8(reason).is_ok()).then_some(Some(code))
        }
        _ => None,
    }
}

/// What the client's `bytes` mean, up to where they mean nothing any more.
#[must_use]
pub fn of_client(mut bytes: &[u8], longest: usize) -> (Vec<Item>, End) {
    let mut items = Vec::new();
    let mut message: Option<Item> = None;
    loop {
        let (frame, rest) = match frame(bytes) {
            Ok(found) => found,
            Err(_) => return (items, End::Open),
        };
        bytes = rest;
        let Some(mask) = frame.mask else {
            return (items, End::Violation);
        };
        if frame.reserved != 0 || !frame.is_minimal {
            return (items, End::Violation);
        }
        let payload: Vec<u8> = (frame.payload.iter().zip(mask.iter().cycle()))
            .map(|(byte, mask)| byte ^ mask)
            .collect();
        if frame.opcode & 0x8 != 0 {
            if !frame.is_last || payload.len() > 125 {
                return (items, End::Violation);
            }
            match frame.opcode {
                CLOSE => {
                    let end = close(&payload).map_or(End::Violation, End::Close);
                    return (items, end);
                }
                PING | PONG => items.push(Item {
                    opcode: frame.opcode,
                    payload,
                }),
                _ => return (items, End::Violation),
            }
            continue;
        }
        match (frame.opcode, &mut message) {
            (TEXT | BINARY, None) => {
                message = Some(Item {
                    opcode: frame.opcode,
                    payload,
                });
            }
            (CONTINUATION, Some(message)) => message.payload.extend(payload),
            _ => return (items, End::Violation),
        }
        let so_far = message.as_ref().map_or(0, |message| message.payload.len());
        if so_far > longest
            || message
                .as_ref()
                .is_some_and(|text| is_broken(text, frame.is_last))
        {
            return (items, End::Violation);
        }
        if frame.is_last {
            items.extend(message.take());
        }
    }
}

/// Whether the text is not UTF-8, or cannot become any more: that is told as soon as it can be.
fn is_broken(message: &Item, is_whole: bool) -> bool {
    message.opcode == TEXT
        && std::str::from_utf8(&message.payload)
            .is_err_and(|error| is_whole || error.error_len().is_some())
}

/// What the server has sent, which has to be without fault: frames of at most `longest` bytes.
///
/// # Panics
///
/// When it is not. A last frame that is cut off is accepted if `can_be_cut`.
#[must_use]
pub fn of_server(mut bytes: &[u8], longest: usize, can_be_cut: bool) -> (Vec<Item>, End) {
    let mut items = Vec::new();
    let mut message: Option<Item> = None;
    while !bytes.is_empty() {
        let Ok((frame, rest)) = frame(bytes) else {
            assert!(can_be_cut, "a frame was cut short: {bytes:?}");
            return (items, End::Open);
        };
        bytes = rest;
        assert_eq!(frame.mask, None, "servers do not mask");
        assert_eq!(frame.reserved, 0, "reserved bits");
        assert!(frame.is_minimal, "a length in more bytes than it takes");
        assert!(frame.length <= longest, "a frame of {}", frame.length);
        let payload = frame.payload.to_vec();
        if frame.opcode & 0x8 != 0 {
            assert!(frame.is_last && payload.len() <= 125, "a control frame");
            if frame.opcode == CLOSE {
                let code = close(&payload).expect("a close that may be sent");
                assert_eq!(bytes, [], "something behind the close");
                return (items, End::Close(code));
            }
            assert!(matches!(frame.opcode, PING | PONG), "{}", frame.opcode);
            items.push(Item {
                opcode: frame.opcode,
                payload,
            });
            continue;
        }
        match (frame.opcode, &mut message) {
            (TEXT | BINARY, None) => {
                message = Some(Item {
                    opcode: frame.opcode,
                    payload,
                });
            }
            (CONTINUATION, Some(message)) => message.payload.extend(payload),
            (opcode, message) => panic!("opcode {opcode} within {message:?}"),
        }
        if frame.is_last
            && let Some(message) = message.take()
        {
            if message.opcode == TEXT {
                std::str::from_utf8(&message.payload).expect("text in UTF-8");
            }
            items.push(message);
        }
    }
    assert!(message.is_none() || can_be_cut, "a message has no end");
    (items, End::Open)
}
