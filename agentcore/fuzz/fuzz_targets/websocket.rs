//! A socket after its handshake: frames in, frames out, and a handler that echoes.
//!
//! The first three bytes of the input choose the handler and the limits, the client, and how many bytes had been read
//! with the handshake; see [`socket`]. The others are a [`script`] of raw frames or, if bit 1 of the first byte is set,
//! of shorter ones: a first byte, a length of one byte, and the payload, which are sent as frames that are well formed in
//! all that these do not decide.

#![no_main]

use std::collections::VecDeque;
use std::time::Duration;

use agentcore::__fuzz::Server;
use agentcore::{App, BoxError, CloseCode, Config, WebSocket};
use agentcore_fuzz::frames::{self, BINARY, End, Item, PING, PONG, TEXT};
use agentcore_fuzz::rt::{run, soon};
use agentcore_fuzz::script::{self, Reading, Step, Wire};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let &[server, client, ahead, ref input @ ..] = input else {
        return;
    };
    run(socket(server, client, ahead, input));
});

/// The longest message that is received, and the longest frame that is sent.
struct Limits {
    message: usize,
    frame: usize,
}

/// Bits of `server`: shorthand (1), small frames (2), small messages (4), a low rate (8), and two for the handler.
async fn socket(server: u8, client: u8, ahead: u8, input: &[u8]) {
    let has = |bit: u8| server & bit != 0;
    let limits = Limits {
        message: if has(0x04) { 256 } else { 1 << 20 },
        frame: if has(0x02) { 128 } else { 32 << 10 },
    };
    let handler = server >> 4 & 0b11;
    let config = Config::new()
        .ws_max_message_bytes(limits.message)
        .ws_frame_bytes(limits.frame)
        .ws_frames_per_second(if has(0x08) { 4 } else { 240 });
    let app = App::new()
        .config(config)
        .websocket("echo", move |socket: WebSocket| echo(socket, handler));
    let server = Server::start(app).await.expect("an app that starts");

    let mut steps = script::parse(input);
    if has(0x01) {
        steps = spelled_out(steps);
    }
    let sent = script::sent(&steps);
    let stops = steps.contains(&Step::Stop);
    let hangs = steps.contains(&Step::Hang) || pauses(&steps) >= Duration::from_secs(50);
    let ahead = read_ahead(&mut steps, ahead.into());
    let (wire, client) = Wire::new(steps, Reading::of(client));
    let session = server.open_session(wire, ahead).await;
    let mut session = session.expect("a handler without arguments");
    let stop = client.stop();
    let served = async {
        tokio::select! {
            ended = &mut session => return ended,
            () = stop => server.stop().await,
        }
        session.await
    };
    soon("the session", served).await.expect("no panic");
    soon("the work", server.idle()).await;
    assert_eq!(server.in_progress(), 0);
    assert_eq!(server.is_busy(), Some(false));

    let (asked, client_end) = frames::of_client(&sent, limits.message);
    let gone = client.has_vanished();
    // Who says nothing for two intervals, or leaves without a close frame, is left without one.
    // At a low rate the rest of a long message takes longer than a closing handshake may.
    let can_be_cut = gone || hangs || client_end == End::Open || has(0x08);
    let (said, server_end) = frames::of_server(&client.received(), limits.frame, can_be_cut);
    let echoed = of_kind(&said, &[TEXT, BINARY]);
    is_prefix(&echoed, &of_kind(&asked, &[TEXT, BINARY]), "messages");
    let pongs = payloads(&said, PONG);
    is_prefix(&pongs, &payloads(&asked, PING), "answers to pings");
    let End::Close(code) = server_end else {
        assert!(can_be_cut, "no close frame, though the client is there");
        return;
    };
    if handler == 0 && !stops {
        match client_end {
            End::Close(theirs) => {
                assert!(code == theirs || code.is_none(), "{code:?} for {theirs:?}")
            }
            End::Violation => assert!(matches!(code, Some(1002 | 1007 | 1009)), "{code:?}"),
            // It broke the protocol in a frame that did not arrive whole.
            End::Open => assert!(matches!(code, Some(1002 | 1007 | 1009)), "{code:?}"),
        }
    }
}

/// Handlers: 0 echoes to the end, 1 closes after three messages, 2 fails at the second, 3 returns after one and does
/// nothing for a while between two.
async fn echo(mut socket: WebSocket, handler: u8) -> Result<(), BoxError> {
    let mut count = 0;
    while let Some(message) = socket.recv().await {
        let message = message?;
        if matches!(message, agentcore::Message::Close(_)) {
            break;
        }
        count += 1;
        match (handler, count) {
            (2, 2) => return Err("not that one".into()),
            (3, _) => tokio::time::sleep(Duration::from_secs(1)).await,
            _ => {}
        }
        socket.send(message).await?;
        match (handler, count) {
            (1, 3) => {
                let code = CloseCode::new(4001).expect("a code");
                socket.close(code, "enough").await?;
            }
            (3, 5) => return Ok(()),
            _ => {}
        }
    }
    Ok(())
}

/// How long the client says nothing, in all.
fn pauses(steps: &VecDeque<Step>) -> Duration {
    let pause = |step: &Step| match step {
        Step::Wait(time) => *time,
        _ => Duration::ZERO,
    };
    steps.iter().map(pause).sum()
}

/// Takes up to `length` bytes off the first piece.
fn read_ahead(steps: &mut VecDeque<Step>, length: usize) -> Bytes {
    let Some(Step::Send(piece)) = steps.front_mut() else {
        return Bytes::new();
    };
    let ahead: Vec<u8> = piece.drain(..length.min(piece.len())).collect();
    if piece.is_empty() {
        steps.pop_front();
    }
    ahead.into()
}

/// Frames for shorthands: `first byte, length, payload`. Those that end early are as short as they are; a length of 254
/// stands for 70 000 bytes, all as the one that follows.
fn spelled_out(steps: VecDeque<Step>) -> VecDeque<Step> {
    let spell = |step| match step {
        Step::Send(piece) => {
            let mut frames = Vec::new();
            let mut rest = &piece[..];
            while let &[first, length, ref after @ ..] = rest {
                let payload = match (length, after) {
                    (254, [byte, after @ ..]) => {
                        rest = after;
                        vec![*byte; 70_000]
                    }
                    _ => {
                        let payload;
                        (payload, rest) = after.split_at(after.len().min(length.into()));
                        payload.to_vec()
                    }
                };
                append_frame(&mut frames, first, &payload);
            }
            Step::Send(frames)
        }
        other => other,
    };
    steps.into_iter().map(spell).collect()
}

fn append_frame(frames: &mut Vec<u8>, first: u8, payload: &[u8]) {
    frames.push(first);
    match payload.len() {
        length @ 0..=125 => frames.push(0x80 | length as u8),
        length @ 126..=0xFFFF => {
            frames.push(0x80 | 126);
            frames.extend((length as u16).to_be_bytes());
        }
        length => {
            frames.push(0x80 | 127);
            frames.extend((length as u64).to_be_bytes());
        }
    }
    let mask = [first, 0xC3, 0x5A, 0xA5];
    frames.extend(mask);
    frames.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
}

fn of_kind(items: &[Item], opcodes: &[u8]) -> Vec<Item> {
    let wanted = |item: &&Item| opcodes.contains(&item.opcode);
    items.iter().filter(wanted).cloned().collect()
}

fn payloads(items: &[Item], opcode: u8) -> Vec<Vec<u8>> {
    let items = of_kind(items, &[opcode]);
    items.into_iter().map(|item| item.payload).collect()
}

fn is_prefix<T: PartialEq + std::fmt::Debug>(some: &[T], all: &[T], what: &str) {
    assert!(all.starts_with(some), "{what}: {some:?} for {all:?}");
}
