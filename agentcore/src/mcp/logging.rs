//! Messages of tools to their clients: `notifications/message`.

#![expect(
    deprecated,
    reason = "the protocol advises against such messages since 2026-07-28, and clients of earlier revisions read them"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use rmcp::model::{LoggingLevel, LoggingMessageNotificationParam};
use rmcp::service::{Peer, RequestContext, RoleServer};

use crate::tools::LogLevel;

/// The level that a session has asked for, from which on its client gets messages.
#[derive(Clone, Debug, Default)]
pub(super) struct SessionLevel(Arc<AtomicU8>);

impl SessionLevel {
    pub(super) fn set(&self, level: LoggingLevel) {
        self.0.store(rank(level), Ordering::Relaxed);
    }
}

/// Sends the messages of one call.
pub(super) struct Logging<'a> {
    peer: &'a Peer<RoleServer>,
    logger: &'static str,
    /// The lowest rank that the client wants; `None` if it wants no messages.
    from: Option<u8>,
}

impl<'a> Logging<'a> {
    /// Since 2026-07-28 each request says which messages it wants, and none by default. Before, the session says it, and all of them
    /// come by default. `of_session` is `None` if the client reads no messages.
    pub(super) fn new(
        context: &'a RequestContext<RoleServer>,
        is_modern: bool,
        of_session: Option<&SessionLevel>,
        logger: &'static str,
    ) -> Self {
        let from = of_session.and_then(|level| match is_modern {
            true => context.meta.log_level().map(rank),
            false => Some(level.0.load(Ordering::Relaxed)),
        });
        Self {
            peer: &context.peer,
            logger,
            from,
        }
    }

    pub(super) async fn tell(&self, level: LogLevel, message: String) {
        let level = match level {
            LogLevel::Debug => LoggingLevel::Debug,
            LogLevel::Info => LoggingLevel::Info,
            LogLevel::Warning => LoggingLevel::Warning,
            LogLevel::Error => LoggingLevel::Error,
        };
        if self.from.is_some_and(|from| from <= rank(level)) {
            let told = LoggingMessageNotificationParam::new(level, message.into());
            // A client that has left needs none.
            let _ = self
                .peer
                .notify_logging_message(told.with_logger(self.logger))
                .await;
        }
    }
}

fn rank(level: LoggingLevel) -> u8 {
    match level {
        LoggingLevel::Debug => 0,
        LoggingLevel::Info => 1,
        LoggingLevel::Notice => 2,
        LoggingLevel::Warning => 3,
        LoggingLevel::Error => 4,
        LoggingLevel::Critical => 5,
        LoggingLevel::Alert => 6,
        LoggingLevel::Emergency => 7,
    }
}
