//! The settings for WebSockets.

use std::time::Duration;

use super::{Config, Origins, Reader, table};

/// The values that the program sets for WebSockets.
#[derive(Clone, Debug, Default)]
pub(super) struct WsOptions {
    ping_interval: Option<Duration>,
    max_message_bytes: Option<usize>,
    read_ahead_bytes: Option<usize>,
    read_ahead_total_bytes: Option<usize>,
    frame_bytes: Option<usize>,
    frames_per_second: Option<u32>,
    origins: Option<Vec<String>>,
}

/// The WebSocket settings, complete.
#[derive(Clone, Debug)]
pub(crate) struct WsSettings {
    pub(crate) ping_interval: Duration,
    pub(crate) max_message_bytes: usize,
    pub(crate) read_ahead_bytes: usize,
    pub(crate) read_ahead_total_bytes: usize,
    pub(crate) frame_bytes: usize,
    pub(crate) frames_per_second: u32,
    pub(crate) origins: Origins,
}

impl Config {
    /// How often sockets are pinged. A client that sends nothing for two intervals counts as dead.
    pub fn ws_ping_interval(mut self, interval: Duration) -> Self {
        self.ws.ping_interval = Some(interval);
        self
    }

    /// The largest message that a socket receives, in bytes; a larger one closes it with 1009.
    pub fn ws_max_message_bytes(mut self, bytes: usize) -> Self {
        self.ws.max_message_bytes = Some(bytes);
        self
    }

    /// How many bytes of one socket are read before its handler asks for them; 64 KiB by default.
    ///
    /// At that limit, or at eight messages, the socket is not read until its handler receives again, and its client has to wait.
    /// Pings of the client are not answered meanwhile. A larger message is read whole once the handler asks for it. A handler
    /// that has dropped its receiver asks for nothing: messages are then read and discarded one at a time, and a message above
    /// the limit stops the reading.
    ///
    /// ```
    /// use agentcore::Config;
    ///
    /// let config = Config::new()
    ///     .ws_read_ahead_bytes(16 << 10)
    ///     .ws_read_ahead_total_bytes(8 << 20);
    /// # let _ = config;
    /// ```
    pub fn ws_read_ahead_bytes(mut self, bytes: usize) -> Self {
        self.ws.read_ahead_bytes = Some(bytes);
        self
    }

    /// How many bytes of all sockets together are read before their handlers ask for them; 64 MiB by default. Once they are used
    /// up, a socket is read only when its handler asks, and checked again every [`ws_ping_interval`](Self::ws_ping_interval).
    pub fn ws_read_ahead_total_bytes(mut self, bytes: usize) -> Self {
        self.ws.read_ahead_total_bytes = Some(bytes);
        self
    }

    /// The largest frame that is sent, header included, in bytes from 128 up. Larger messages are split.
    ///
    /// Amazon Bedrock AgentCore Runtime closes a socket on which a larger frame is sent. The limit is 32 KB by one of its
    /// documents and 64 KB by another.
    pub fn ws_frame_bytes(mut self, bytes: usize) -> Self {
        self.ws.frame_bytes = Some(bytes);
        self
    }

    /// The most frames that are sent on one socket within any second, from 4 up. A quarter of them may go at once, so
    /// that a few small messages never wait.
    ///
    /// Amazon Bedrock AgentCore Runtime closes a socket on which more than 250 are sent.
    pub fn ws_frames_per_second(mut self, frames: u32) -> Self {
        self.ws.frames_per_second = Some(frames);
        self
    }

    /// The web pages that may open sockets, such as `https://app.example.com`; any, by default. An empty list or an empty
    /// variable stops the start: it could mean all or none. A browser on another page gets 403. Clients that are no browsers send
    /// no `Origin` and are let in.
    ///
    /// ```
    /// use agentcore::Config;
    ///
    /// let config = Config::new().ws_origins(["https://app.example.com", "http://localhost:3000"]);
    /// # let _ = config;
    /// ```
    pub fn ws_origins<O: Into<String>>(mut self, origins: impl IntoIterator<Item = O>) -> Self {
        self.ws.origins = Some(origins.into_iter().map(Into::into).collect());
        self
    }
}

impl WsOptions {
    /// Fills in the environment and the defaults.
    pub(super) fn read(&self, env: &mut Reader<'_>) -> WsSettings {
        env.refuse_empty(&table::WS_ORIGINS);
        let origins = self.origins.as_ref().map(|list| list.join(","));
        WsSettings {
            ping_interval: env.value(&table::WS_PING_INTERVAL, self.ping_interval),
            max_message_bytes: env.value(&table::WS_MAX_MESSAGE_BYTES, self.max_message_bytes),
            read_ahead_bytes: env.value(&table::WS_READ_AHEAD_BYTES, self.read_ahead_bytes),
            read_ahead_total_bytes: env.value(
                &table::WS_READ_AHEAD_TOTAL_BYTES,
                self.read_ahead_total_bytes,
            ),
            frame_bytes: env.value(&table::WS_FRAME_BYTES, self.frame_bytes),
            frames_per_second: env.value(&table::WS_FRAMES_PER_SECOND, self.frames_per_second),
            origins: {
                let written = env.written(&table::WS_ORIGINS, origins.as_deref());
                env.value(&table::WS_ORIGINS, written)
            },
        }
    }
}
