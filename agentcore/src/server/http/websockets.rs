//! `GET /ws`: the front answers the handshake and then hands the connection to the workers.

use std::sync::Arc;

use http::{HeaderMap, Method, Request, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use tokio::net::TcpStream;
use tracing::level_filters::LevelFilter;

use super::exchange::{Admission, Connection};
use super::front::{Front, come_back};
use super::phase::Phase;
use super::request_body::RequestBody;
use super::router::{ReplyBody, method_not_allowed, not_found, refuse};
use super::upgraded::into_tcp;
use crate::config::BusyWhile;
use crate::handler::response::internal_error;
use crate::handler::response::{Outgoing, Response};
use crate::metrics::Refused;
use crate::report::Kind;
use crate::request::{self, Activity, Arrival};
use crate::server::threads::AbortOnDrop;
use crate::util::spawn;
use crate::ws::{self, Session};

/// A valid handshake.
pub(crate) struct Accepted {
    headers: HeaderMap,
    upgrade: OnUpgrade,
    switching: Response,
}

/// Checks a handshake. The error mode does not apply: a client of `/ws` reads statuses, and a 200 would be of no use to it.
pub(crate) fn accept<B: RequestBody>(
    connection: &Connection,
    mut request: Request<B>,
) -> Result<Accepted, Response> {
    let front = &connection.front;
    if front.agent.websocket.is_none() {
        return Err(refuse(connection, request, not_found()));
    }
    if let Some(refusal) = refusal(connection, &request) {
        return Err(refuse(connection, request, refusal));
    }
    let origins = &front.settings.ws.origins;
    match ws::accept(request.version(), request.headers(), origins) {
        Ok(switching) => {
            let upgrade = hyper::upgrade::on(&mut request);
            let (head, _) = request.into_parts();
            Ok(Accepted {
                headers: head.headers,
                upgrade,
                switching,
            })
        }
        Err(rejection) => Err(refuse(connection, request, rejection)),
    }
}

/// Opens a socket, unless the extractor of an argument refuses.
pub(crate) async fn answer(
    connection: &Arc<Connection>,
    accepted: Accepted,
) -> http::Response<ReplyBody> {
    let Accepted {
        headers,
        upgrade,
        switching,
    } = accepted;
    match open(&connection.front, headers).await {
        Ok(session) => {
            spawn::boxed(hand_over(Arc::clone(connection), upgrade, session));
            switching.into()
        }
        Err(rejection) => {
            rejection.map(|body| ReplyBody::new(connection.front.workers.batch(body), None, None))
        }
    }
}

/// Makes the handler's arguments on the workers, after the restore hooks. From then on the socket is in flight.
pub(crate) async fn open(front: &Front, headers: HeaderMap) -> Result<Session, Box<Outgoing>> {
    let Some(handler) = &front.agent.websocket else {
        return Err(Box::new(not_found().into_outgoing()));
    };
    if let Some(restored) = front.until_restored() {
        if !restored.await {
            return Err(Box::new(front.not_restored().into_outgoing()));
        }
    }
    let at = front.time_of_arrival();
    let name = handler.meta.name();
    let arrival = Arrival {
        at,
        kind: Kind::Socket,
        name,
        counts: front.settings.busy_while == BusyWhile::Activity,
        headers,
        permit: None,
        route: None,
    };
    let activity = Activity::begin(Arc::clone(&front.instance), arrival);
    let scope = Arc::clone(activity.scope());
    let open = Arc::clone(&handler.open);
    let sockets = Arc::clone(&front.sockets);
    let opening = Session::open(name, move |opening| open(opening), sockets, activity);
    let opening = request::spawn_boxed(front.workers.runtime(), scope, opening);
    // Without a result, the runtime is being shut down.
    front
        .workers
        .batch(AbortOnDrop(opening))
        .await
        .unwrap_or_else(|_| Err(Box::new(internal_error().into_outgoing())))
}

/// The refusal of a request for `/ws` that does not depend on the headers of the handshake; `None` if there is none.
fn refusal<B: RequestBody>(connection: &Connection, request: &Request<B>) -> Option<Response> {
    let unavailable = |why, reason| {
        connection.front.count_refused(reason);
        let response = Response::error(why).with_status(StatusCode::SERVICE_UNAVAILABLE);
        Some(come_back(response))
    };
    if request.method() != Method::GET {
        return Some(method_not_allowed("GET"));
    }
    if connection.admission == Admission::Crowded {
        return unavailable("Too many connections", Refused::Connections);
    }
    match connection.front.phase.get() {
        Phase::Starting => return unavailable("Starting", Refused::NotServing),
        Phase::Serving => {}
        Phase::Draining => return unavailable("Shutting down", Refused::NotServing),
    }
    if !request.body().is_end_stream() {
        // A proxy and this server could disagree about where the body ends and the frames begin.
        let response = Response::error("a WebSocket handshake has no body");
        let response = response.with_status(StatusCode::BAD_REQUEST);
        return Some(response.with_header(header::CONNECTION, "close"));
    }
    None
}

/// Moves the connection to the workers once the handshake has been sent. The socket still counts as an open connection: it
/// holds the guard of `connection`.
async fn hand_over(connection: Arc<Connection>, upgrade: OnUpgrade, session: Session) {
    let (stream, ahead) = match into_tcp(upgrade).await {
        Ok(parts) => parts,
        // The client left before it was answered. The handler has not been called.
        Err(error) => {
            return request::emit_often(LevelFilter::DEBUG, Some(session.scope()), move || {
                tracing::debug!("a websocket was not opened: {error}");
            });
        }
    };
    let scope = Arc::clone(session.scope());
    let workers = connection.front.workers.runtime().clone();
    // The task holds nothing else of the server: a closing handshake may take longer than the server lives.
    let place = connection.place();
    drop(connection);
    request::spawn_boxed(&workers, scope, async move {
        match TcpStream::from_std(stream) {
            Ok(stream) => session.run(stream, ahead).await,
            Err(error) => tracing::error!("cannot serve a websocket: {error}"),
        }
        drop(place);
    });
}
