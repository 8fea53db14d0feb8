//! The part of the configuration that is about WebSockets.

use std::sync::Arc;
use std::time::Duration;

use super::Config;
use super::environment::{DURATION, Reader, more_than_nothing, parse};
use crate::ws::{Origins, WsSettings};

/// The shortest frame that the split may be asked for: a header, and enough behind it to be worth one.
const SMALLEST_FRAME: usize = 128;

/// The lowest rate: a quarter of it goes at once, and that has to be something.
const LOWEST_RATE: u32 = 4;

/// What the program says about WebSockets.
#[derive(Clone, Debug, Default)]
pub(super) struct WsOptions {
    ping_interval: Option<Duration>,
    max_message_bytes: Option<usize>,
    frame_bytes: Option<usize>,
    frames_per_second: Option<u32>,
    origins: Option<Vec<String>>,
}

impl Config {
    /// How often sockets are pinged. A client from which nothing is heard for two intervals is taken for dead.
    pub fn ws_ping_interval(mut self, interval: Duration) -> Self {
        self.ws.ping_interval = Some(interval);
        self
    }

    /// The largest message that a socket receives, in bytes; a larger one closes it with 1009.
    pub fn ws_max_message_bytes(mut self, bytes: usize) -> Self {
        self.ws.max_message_bytes = Some(bytes);
        self
    }

    /// The largest frame that is sent, header included, in bytes from 128 up. Larger messages are split.
    ///
    /// Amazon Bedrock AgentCore Runtime closes sockets over larger frames, at 32 KB by one of its documents and 64 KB by
    /// another.
    pub fn ws_frame_bytes(mut self, bytes: usize) -> Self {
        self.ws.frame_bytes = Some(bytes);
        self
    }

    /// The most frames that are sent on one socket within any second, from 4 up. A quarter of them may go at once, so
    /// that a few small messages never wait.
    ///
    /// Amazon Bedrock AgentCore Runtime closes sockets over more than 250.
    pub fn ws_frames_per_second(mut self, frames: u32) -> Self {
        self.ws.frames_per_second = Some(frames);
        self
    }

    /// The web pages that may open sockets, such as `https://app.example.com`; any, by default. A browser on a page
    /// from elsewhere gets 403. What is no browser sends no `Origin` and is let in.
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
    pub(super) fn resolve(
        &self,
        env: &mut Reader<'_>,
        shutdown_grace: Duration,
    ) -> Arc<WsSettings> {
        let interval = env.value("AGENTCORE_WS_PING_INTERVAL", DURATION, more_than_nothing);
        let message = env.value("AGENTCORE_WS_MAX_MESSAGE_BYTES", "a number of bytes", parse);
        let frame = env.value(
            "AGENTCORE_WS_FRAME_BYTES",
            "a number of bytes from 128 up",
            |text| parse(text).filter(|&bytes: &usize| bytes >= SMALLEST_FRAME),
        );
        let rate = env.value(
            "AGENTCORE_WS_FRAMES_PER_SECOND",
            "a number from 4 up",
            |text| parse(text).filter(|&frames: &u32| frames >= LOWEST_RATE),
        );
        let origins = env.value(
            "AGENTCORE_WS_ORIGINS",
            "* or origins with commas between them, such as https://app.example.com,http://localhost:3000",
            |text| Origins::parse(text.split(',')),
        );
        let mut check = |right: bool, problem: String| {
            if !right {
                env.problems.push(problem);
            }
        };
        check(
            self.ping_interval
                .is_none_or(|interval| !interval.is_zero()),
            "ws_ping_interval is 0; it takes a longer time".to_owned(),
        );
        if let Some(bytes) = self.frame_bytes {
            check(
                bytes >= SMALLEST_FRAME,
                format!("ws_frame_bytes is {bytes}; it takes a number of bytes from 128 up"),
            );
        }
        if let Some(frames) = self.frames_per_second {
            check(
                frames >= LOWEST_RATE,
                format!("ws_frames_per_second is {frames}; it takes a number from 4 up"),
            );
        }
        let own_origins = self.origins.as_ref().map(|list| {
            let parsed = Origins::parse(list.iter().map(String::as_str));
            check(
                parsed.is_some(),
                format!("ws_origins is {list:?}; it takes origins such as https://app.example.com"),
            );
            parsed.unwrap_or_default()
        });
        Arc::new(WsSettings {
            ping_interval: self
                .ping_interval
                .or(interval)
                .unwrap_or(Duration::from_secs(25)),
            max_message_bytes: self.max_message_bytes.or(message).unwrap_or(16 << 20),
            frame_bytes: self.frame_bytes.or(frame).unwrap_or(32 << 10),
            frames_per_second: self.frames_per_second.or(rate).unwrap_or(240),
            origins: own_origins.or(origins).unwrap_or_default(),
            shutdown_grace,
        })
    }
}
