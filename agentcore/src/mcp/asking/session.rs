//! [`InSession`]: questions of a call before revision 2026-07-28, which goes on.

use std::collections::VecDeque;
use std::future::pending;
use std::pin::pin;

use rmcp::model::{ClientResult, InputRequest, ServerRequest};
use rmcp::service::{Peer, PeerRequestOptions, RoleServer, ServiceError};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::questions::{misfit, request_of};
use crate::mcp::caller::SessionTokens;
use crate::tools::Question;
use crate::util::BoxFuture;

/// Questions that are requests in the session of a client, one after the other.
pub(super) struct InSession {
    peer: Peer<RoleServer>,
    session: SessionTokens,
    waiting: VecDeque<Question>,
    current: Option<Current>,
}

/// A question that the client has got.
struct Current {
    reply: oneshot::Sender<Result<Value, String>>,
    check: fn(&Value) -> Result<(), String>,
    /// Takes the question back.
    stop: CancellationToken,
    answer: BoxFuture<Result<ClientResult, ServiceError>>,
}

impl Current {
    /// The answer. The question is taken back once `over` is cancelled, or the function waits no more. Cancel safe.
    async fn answered(&mut self, over: &CancellationToken) -> Result<ClientResult, ServiceError> {
        let Self {
            reply,
            stop,
            answer,
            ..
        } = self;
        let mut over = pin!(over.cancelled());
        let mut dropped = pin!(reply.closed());
        loop {
            tokio::select! {
                answer = &mut *answer => return answer,
                () = &mut over, if !stop.is_cancelled() => stop.cancel(),
                () = &mut dropped, if !stop.is_cancelled() => stop.cancel(),
            }
        }
    }
}

impl InSession {
    pub(super) fn new(peer: Peer<RoleServer>, session: SessionTokens) -> Self {
        Self {
            peer,
            session,
            waiting: VecDeque::new(),
            current: None,
        }
    }

    pub(super) fn take(&mut self, question: Question) {
        self.waiting.push_back(question);
    }

    /// Makes progress with the questions that have been taken. Cancel safe.
    pub(super) async fn turn(&mut self) {
        if self.current.is_none() {
            match self.waiting.pop_front() {
                Some(question) => self.begin(question),
                None => pending().await,
            }
        }
        let Some(current) = &mut self.current else {
            return;
        };
        let answer = current.answered(&self.session.over).await;
        if self.session.ended.is_cancelled() {
            // The session has ended. Its end cancels the call too, which drops the function. The question stays open until then.
            current.answer = Box::pin(pending());
            return pending().await;
        }
        let Some(Current { reply, check, .. }) = self.current.take() else {
            return;
        };
        let answer = match answer {
            Ok(answer) => serde_json::to_value(answer).map_err(|error| error.to_string()),
            Err(ServiceError::McpError(error)) => Err(error.message.into_owned()),
            Err(_) => Err("it has left, or its session or the agent has ended".to_owned()),
        };
        let _ = reply.send(answer.and_then(|answer| match misfit(check, &answer) {
            None => Ok(answer),
            Some(why) => Err(why),
        }));
    }

    fn begin(&mut self, question: Question) {
        match request_of(&question) {
            Ok(request) => {
                let (peer, request) = (self.peer.clone(), to_server_request(request));
                let stop = CancellationToken::new();
                self.current = Some(Current {
                    reply: question.reply,
                    check: question.check,
                    stop: stop.clone(),
                    // It is polled by the task that serves the call: from another one `rmcp` would not send it on the call's stream.
                    answer: Box::pin(ask(peer, request, stop)),
                });
            }
            Err(why) => {
                let _ = question.reply.send(Err(why));
            }
        }
    }
}

/// Sends a request to the client, and takes it back when `stop` is cancelled.
async fn ask(
    peer: Peer<RoleServer>,
    request: ServerRequest,
    stop: CancellationToken,
) -> Result<ClientResult, ServiceError> {
    let options = PeerRequestOptions::no_options();
    let mut asked = peer.send_cancellable_request(request, options).await?;
    tokio::select! {
        biased;
        answer = &mut asked.rx => answer.unwrap_or(Err(ServiceError::TransportClosed)),
        () = stop.cancelled() => {
            // A client that has left needs no message.
            let _ = asked.cancel(None).await;
            Err(ServiceError::TransportClosed)
        }
    }
}

fn to_server_request(request: InputRequest) -> ServerRequest {
    match request {
        InputRequest::CreateMessage(request) => ServerRequest::CreateMessageRequest(request),
        InputRequest::ListRoots(request) => ServerRequest::ListRootsRequest(request),
        InputRequest::Elicitation(request) => ServerRequest::ElicitRequest(request),
        _ => unreachable!("`rmcp` reads no others"),
    }
}
