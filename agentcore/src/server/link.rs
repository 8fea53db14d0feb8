//! What the requests of one connection share, and what each of them has for itself.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderValue, header};

use super::accept::Place;
use super::connections::Waiting;
use super::framing::Verdict;
use super::front::Front;
use super::service::ReplyBody;
use super::socket::{End, Socket};

/// What a connection may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Full,
    /// One too many: it may ping, is told to come back for the rest, and is closed after one request.
    Crowded,
    /// To the admin port: what operators ask, and nothing else.
    Operators,
    /// From elsewhere, where only this machine is answered: nothing.
    #[cfg(feature = "dev-page")]
    Foreign,
}

/// One connection, as its requests see it.
pub(crate) struct Link {
    pub(super) front: Arc<Front>,
    pub(super) admission: Admission,
    pub(super) end: Arc<End>,
    pub(super) waiting: Arc<Waiting>,
    verdict: Verdict,
    /// That have been made so far.
    requests: AtomicU64,
    /// Among the open connections, as long as anything is left of this one; none in a test.
    _place: Option<Place>,
}

impl Link {
    pub(super) fn new<T>(
        front: Arc<Front>,
        admission: Admission,
        socket: &Socket<T>,
        place: Option<Place>,
    ) -> Self {
        Self {
            end: socket.end(),
            verdict: socket.verdict(),
            admission,
            _place: place,
            ..Self::without_socket(front)
        }
    }

    /// For requests that come as values.
    pub(super) fn without_socket(front: Arc<Front>) -> Self {
        Self {
            waiting: front.connections.waiting(),
            front,
            admission: Admission::Full,
            end: Arc::default(),
            verdict: Verdict::default(),
            requests: AtomicU64::new(0),
            _place: None,
        }
    }

    /// The next request has come. Said when hyper hands it over, and not when its answer is first polled: by then hyper has
    /// read on.
    pub(super) fn begin(self: &Arc<Self>) -> Exchange {
        self.waiting.end();
        self.end.hide();
        Exchange {
            is_ambiguous: {
                let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
                self.verdict.is_against(number)
            },
            link: Arc::clone(self),
            hides: true,
        }
    }
}

/// One request, and the reply to it, until that has been handed over. Until then the end of the connection stays hidden,
/// unless it is [shown](Self::show_end), and no other request is waited for.
pub(crate) struct Exchange {
    link: Arc<Link>,
    /// Whether the request could be read in two ways.
    pub(super) is_ambiguous: bool,
    hides: bool,
}

impl Exchange {
    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// A reply of the server's own, on its way out.
    pub(super) fn reply(
        self,
        reply: impl Into<http::Response<ReplyBody>>,
    ) -> http::Response<ReplyBody> {
        let mut reply = reply.into();
        if self.admission == Admission::Crowded {
            let close = HeaderValue::from_static("close");
            reply.headers_mut().insert(header::CONNECTION, close);
        }
        reply.body_mut().exchange = Some(self);
        reply
    }

    /// Shows the end from now on, if whoever has left needs no answer: the rest of the reply is not sent any more.
    pub(super) fn show_end(&mut self) {
        if std::mem::take(&mut self.hides) {
            self.link.end.watch();
        }
    }
}

impl Deref for Exchange {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.link
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.hides {
            self.link.end.show();
        } else {
            self.link.end.unwatch();
        }
        self.link.waiting.begin();
    }
}
