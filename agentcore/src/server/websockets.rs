//! `GET /ws`, on the front: answer the handshake, then hand the connection to the workers.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::accept::Place;
use super::front::{AbortOnDrop, Front};
use super::lifecycle::Phase;
use super::service::{ReplyBody, method_not_allowed, not_found, refuse, unavailable};
use crate::config::BusyWhile;
use crate::context::{self, Activity};
use crate::invoke::internal_error;
use crate::response::Response;
use crate::ws::{self, Session};

/// Whatever the mode of errors: a client of `/ws` reads statuses, and has no use for a 200.
pub(super) async fn answer(
    front: &Arc<Front>,
    place: Arc<Place>,
    mut request: Request<Incoming>,
) -> http::Response<ReplyBody> {
    let Some(handler) = &front.agent.websocket else {
        return refuse(request, not_found());
    };
    if let Some(refusal) = refusal(front, &place, &request) {
        return refuse(request, refusal);
    }
    let origins = &front.settings.ws.origins;
    let accepted = match ws::accept(request.version(), request.headers(), origins) {
        Ok(accepted) => accepted,
        Err(rejection) => return refuse(request, rejection),
    };

    let upgrade = hyper::upgrade::on(&mut request);
    let (head, _) = request.into_parts();
    let counts = front.settings.busy_while == BusyWhile::Activity;
    let activity = Activity::begin(Arc::clone(&front.instance), counts, head.headers);
    let scope = Arc::clone(activity.scope());
    let open = Arc::clone(&handler.open);
    let settings = Arc::clone(&front.settings.ws);
    let opening = Session::open(
        handler.meta.name(),
        move |opening| open(opening),
        settings,
        activity,
    );
    let opening = front.workers.spawn(context::within(scope, opening));
    match front.wakes.batch(AbortOnDrop(opening)).await {
        Ok(Ok(session)) => {
            let workers = front.workers.clone();
            tokio::spawn(async move {
                match connection(upgrade).await {
                    Ok((stream, ahead)) => workers.spawn(serve(session, stream, ahead, place)),
                    // The client left before it was answered; the handler has not been called.
                    Err(error) => return tracing::debug!("a websocket was not opened: {error}"),
                };
            });
            accepted.into()
        }
        Ok(Err(rejection)) => rejection.into(),
        // The runtime is being shut down.
        Err(_) => internal_error().into(),
    }
}

/// Why there is no socket to be had, whatever the handshake says.
fn refusal(front: &Front, place: &Place, request: &Request<Incoming>) -> Option<Response> {
    if request.method() != Method::GET {
        return Some(method_not_allowed("GET"));
    }
    if place.is_beyond(front.settings.max_connections) {
        return Some(unavailable("Too many connections"));
    }
    match front.phase.get() {
        Phase::Starting => return Some(unavailable("Starting")),
        Phase::Serving => {}
        Phase::Draining => return Some(unavailable("Shutting down")),
    }
    if !request.body().is_end_stream() {
        // Its bytes could be taken for frames, or the other way round.
        let response = Response::error("a WebSocket handshake has no body").with_status(400);
        return Some(response.with_header(header::CONNECTION, "close"));
    }
    None
}

/// The connection itself, let go of by the front's event loop, and what had been read from it.
async fn connection(
    upgrade: OnUpgrade,
) -> Result<(std::net::TcpStream, Bytes), Box<dyn std::error::Error>> {
    let parts = upgrade
        .await?
        .downcast::<TokioIo<TcpStream>>()
        .map_err(|_| "not a connection of ours")?;
    Ok((parts.io.into_inner().into_std()?, parts.read_buf))
}

/// On the workers. The socket keeps its place among the open connections.
async fn serve(
    session: Session,
    stream: std::net::TcpStream,
    ahead: Bytes,
    place: Arc<Place>,
) {
    match TcpStream::from_std(stream) {
        Ok(stream) => session.run(stream, ahead).await,
        Err(error) => tracing::error!("cannot serve a websocket: {error}"),
    }
    drop(place);
}
