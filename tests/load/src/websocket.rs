//! The client's side of a WebSocket, as far as the load needs it.

use std::io::{Error, Result};

use crate::client::Connection;

pub(crate) const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;

/// Any key works: masks protect proxies, and there is no proxy.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

pub(crate) const HANDSHAKE: &[u8] = b"GET /ws HTTP/1.1\r\nhost: agent\r\nupgrade: websocket\r\n\
    connection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Opens a socket on `connection`.
pub(crate) async fn open(connection: &mut Connection) -> Result<()> {
    connection.send(HANDSHAKE).await?;
    match connection.head().await? {
        101 => Ok(()),
        status => Err(Error::other(format!("a socket was refused with {status}"))),
    }
}

/// Sends a text, and expects it back.
pub(crate) async fn echo_text(connection: &mut Connection, text: &str) -> Result<()> {
    echo(connection, TEXT, text.as_bytes()).await
}

/// Sends bytes, and expects them back.
pub(crate) async fn echo_bytes(connection: &mut Connection, bytes: &[u8]) -> Result<()> {
    echo(connection, BINARY, bytes).await
}

async fn echo(connection: &mut Connection, first: u8, payload: &[u8]) -> Result<()> {
    connection.send(&masked(first, payload)).await?;
    let back = frame(connection).await?;
    if back == (first, payload.to_vec()) {
        Ok(())
    } else {
        Err(Error::other("an echo that is another message"))
    }
}

/// Closes the socket. Expects a normal close and then the end of the connection.
pub(crate) async fn close(connection: &mut Connection) -> Result<()> {
    let normal = 1000_u16.to_be_bytes();
    connection.send(&masked(CLOSE, &normal)).await?;
    let (first, payload) = frame(connection).await?;
    if first != CLOSE || !payload.starts_with(&normal) {
        return Err(Error::other(format!("a close with {first:#x} {payload:?}")));
    }
    match connection.rest(crate::client::DEADLINE).await {
        Some(rest) if rest.is_empty() => Ok(()),
        _ => Err(Error::other("no end after the close")),
    }
}

pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u16::try_from(payload.len()) {
        Ok(length @ ..126) => frame.push(0x80 | length as u8),
        Ok(length) => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    let masks = MASK.iter().cycle();
    frame.extend(payload.iter().zip(masks).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The next frame: its first byte and its payload.
async fn frame(connection: &mut Connection) -> Result<(u8, Vec<u8>)> {
    let [first, length] = connection.exact().await?;
    let length = match length {
        126 => usize::from(u16::from_be_bytes(connection.exact().await?)),
        127 => u64::from_be_bytes(connection.exact().await?) as usize,
        length => usize::from(length),
    };
    Ok((first, connection.bytes(length).await?))
}
