//! [`Known`]: which sessions there are and have been, and when their clients were last heard of.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::request::Scope;

/// How many ids are known as those of sessions that there have been. A client has to begin another one when it gets a 404 for its own.
const MOST_IDS: usize = 10_000;

/// A session ends when its client has had no request open for so long.
const IDLE: Duration = Duration::from_secs(3600);

/// How often idle sessions are looked for.
const LOOKED_FOR: Duration = Duration::from_secs(60);

/// All sessions.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) live: HashMap<Bytes, Session>,
    /// The ids of sessions that have ended.
    pub(super) past: HashSet<Bytes>,
    /// Those ids, the oldest first.
    past_in_order: VecDeque<Bytes>,
    looked_at: Instant,
}

#[derive(Debug)]
pub(super) struct Session {
    /// The session of the platform.
    pub(super) of_platform: Option<String>,
    /// When its client has last sent something, or a reply to it has ended.
    pub(super) seen: Instant,
    /// The number of its requests with a reply that has not ended.
    pub(super) open: usize,
    /// Those that have ids, by their ids as JSON.
    pub(super) calls: HashMap<String, Arc<Scope>>,
    /// Cancelled when the session has ended.
    pub(super) ended: CancellationToken,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            live: HashMap::new(),
            past: HashSet::new(),
            past_in_order: VecDeque::new(),
            looked_at: Instant::now(),
        }
    }
}

impl Session {
    pub(super) fn new(of_platform: Option<&str>) -> Self {
        Self {
            of_platform: of_platform.map(ToOwned::to_owned),
            seen: Instant::now(),
            open: 0,
            calls: HashMap::new(),
            ended: CancellationToken::new(),
        }
    }
}

impl Known {
    /// Takes a session out, and remembers that there has been one.
    pub(super) fn end(&mut self, id: &Bytes) -> Option<Session> {
        let session = self.live.remove(id)?;
        if self.past_in_order.len() >= MOST_IDS
            && let Some(oldest) = self.past_in_order.pop_front()
        {
            self.past.remove(&oldest);
        }
        self.past_in_order.push_back(id.clone());
        self.past.insert(id.clone());
        Some(session)
    }

    /// The sessions that have been silent for too long, from time to time.
    pub(super) fn idle(&mut self, now: Instant) -> Vec<Bytes> {
        if now.duration_since(self.looked_at) < LOOKED_FOR {
            return Vec::new();
        }
        self.looked_at = now;
        let is_idle =
            |session: &Session| session.open == 0 && now.duration_since(session.seen) >= IDLE;
        let idle = self.live.iter().filter(|(_, session)| is_idle(session));
        idle.map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn longest_silent(&self) -> Option<Bytes> {
        let silent = self.live.iter().filter(|(_, session)| session.open == 0);
        silent
            .min_by_key(|(_, session)| session.seen)
            .map(|(id, _)| id.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(seen: Instant, open: usize) -> Session {
        Session {
            seen,
            open,
            ..Session::new(None)
        }
    }

    #[test]
    fn sessions_end_that_have_been_silent_and_have_no_request_open() {
        let begun = Instant::now();
        let now = begun + IDLE + LOOKED_FOR;
        let id = |name: &'static str| Bytes::from_static(name.as_bytes());
        let mut known = Known {
            live: HashMap::from([
                (id("silent"), session(begun, 0)),
                (id("calls"), session(begun, 1)),
                (id("alive"), session(now, 0)),
            ]),
            looked_at: begun,
            ..Known::default()
        };
        assert_eq!(known.idle(begun), Vec::<Bytes>::new());
        assert_eq!(known.longest_silent(), Some(id("silent")));
        assert_eq!(known.idle(now), [id("silent")]);
        let ended = known.end(&id("silent")).expect("a session");
        assert!(!ended.ended.is_cancelled() && known.past.contains(&id("silent")));
        assert_eq!(known.longest_silent(), Some(id("alive")));
        assert!(known.end(&id("silent")).is_none());
    }
}
