//! One socket from its upgrade to its end: the connection and the handler side by side.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use super::close::{CloseCode, CloseFrame};
use super::error;
use super::handshake::Origins;
use super::link::Link;
use super::socket::{Ends, WebSocket};
use super::transport::Transport;
use crate::context::{self, Activity};
use crate::error::{BoxError, with_causes};
use crate::extract::Invocation;
use crate::invoke::internal_error;
use crate::panics;
use crate::registry::BoxFuture;
use crate::response::Response;

/// How a socket is served; see [`Config`](crate::Config).
#[derive(Clone, Debug)]
pub(crate) struct WsSettings {
    pub(crate) ping_interval: Duration,
    pub(crate) max_message_bytes: usize,
    pub(crate) frame_bytes: usize,
    pub(crate) frames_per_second: u32,
    pub(crate) origins: Origins,
    pub(crate) shutdown_grace: Duration,
}
