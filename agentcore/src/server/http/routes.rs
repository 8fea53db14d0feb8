//! Requests to the program's own routes: the front lets them in, hands them over, feeds their bodies, and sends the replies.
//!
//! The body is fed by a task of its own on the front, so that a service may reply before it has read the whole body.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body::Frame;
use hyper::upgrade::OnUpgrade;
use tokio::sync::oneshot;
use tracing::level_filters::LevelFilter;

use super::exchange::{Admission, Connection, Exchange};
use super::front::Front;
use super::invocations::{CancelOnDrop, no_room};
use super::phase::Phase;
use super::request_body::{self, Patience, Problem, RequestBody, stalled};
use super::router::{Answer, ReplyBody, refuse};
use super::upgraded::into_tcp;
use crate::config::{BusyWhile, ErrorMode};
use crate::error::BoxError;
use crate::handler::invoke::{Client, Made, Unwanted};
use crate::handler::response::{Response, internal_error};
use crate::handler::routes::Routed;
use crate::handler::routes::upgrade::{self, Give, Raw};
use crate::handler::routes::upload::{self, Arriving, Feed};
use crate::metrics::Refused;
use crate::report::Kind;
use crate::request::{self, Activity, Arrival, Scope};
use crate::server::threads::handover::{What, Work};
use crate::server::threads::wakeups::Batched;
use crate::util::spawn;
use crate::util::text::boundary;

/// The most bytes of a path in a log line.
const MOST_OF_A_PATH: usize = 200;

/// Answers a request for the router at the place `mount`.
pub(crate) fn answer<B: RequestBody>(
    exchange: Exchange,
    request: Request<B>,
    mount: usize,
) -> Answer<B> {
    match admit(&exchange.connection, request, mount) {
        Ok(admitted) => Answer::later(reply(exchange, admitted)),
        Err(refused) => Answer::now(exchange.reply(refused)),
    }
}

/// A request that has been handed over to the workers.
struct Admitted {
    scope: Arc<Scope>,
    reply: Batched<oneshot::Receiver<Made>>,
    /// The connection, if its client wants to upgrade it.
    upgrade: Option<(OnUpgrade, Give)>,
}

/// Lets a request in and hands it over, or returns the refusal. The error mode does not apply: no platform routes these requests.
fn admit<B: RequestBody>(
    connection: &Arc<Connection>,
    request: Request<B>,
    mount: usize,
) -> Result<Admitted, Response> {
    let front = &connection.front;
    let Some(router) = front.mounts.0.get(mount) else {
        return Err(refuse(connection, request, internal_error()));
    };
    let unavailable = match (front.phase.get(), connection.admission) {
        (_, Admission::Crowded) => Some(("Too many connections", Refused::Connections)),
        (Phase::Starting, _) => Some(("Starting", Refused::NotServing)),
        (Phase::Draining, _) => Some(("Shutting down", Refused::NotServing)),
        (Phase::Serving, _) => None,
    };
    if let Some((why, reason)) = unavailable {
        let refusal = front.unavailable(why, reason);
        return Err(refuse(connection, request, refusal));
    }
    if request.method() == Method::CONNECT {
        // A tunnel is no reply with the status 101, by which connections are upgraded here.
        let refusal = Response::error("CONNECT is not supported").with_status(501);
        return Err(refuse(connection, request, refusal));
    }
    let is_idle = router.idle.has(request.uri().path());
    // One page of a session asks for many things at once, so the policy for sessions is for invocations alone.
    let permit = if is_idle {
        None
    } else {
        match front.instance.concurrency.admit(|| None) {
            Ok(permit) => permit,
            Err(refusal) => return Err(refuse(connection, request, no_room(front, refusal))),
        }
    };
    let route = described(&request);
    let (mut head, body) = request.into_parts();
    if body.size_hint().lower() > front.settings.max_body_bytes as u64 {
        let too_large = Problem::TooLarge { body, begun: false };
        return Err(too_large.into_response(&head.headers, connection));
    }
    let upgrade = head.extensions.remove::<OnUpgrade>();
    // Behind a body, the client and the server could disagree about where the other protocol begins.
    let upgrade = upgrade.filter(|_| body.is_end_stream());
    head.extensions.clear();
    let arrival = Arrival {
        at: front.time_of_arrival(),
        kind: if is_idle {
            Kind::IdleRoute
        } else {
            Kind::Route
        },
        name: router.options.name,
        counts: !is_idle && front.settings.busy_while == BusyWhile::Activity,
        headers: std::mem::take(&mut head.headers),
        permit,
        route: Some(route),
    };
    let activity = Activity::begin(Arc::clone(&front.instance), arrival);
    let scope = Arc::clone(activity.scope());
    let body = arriving(connection, activity.scope(), body);
    let (upgrade, wanted) = match upgrade {
        Some(on_upgrade) => {
            let (give, wanted) = upgrade::wanted();
            (Some((on_upgrade, give)), Some(wanted))
        }
        None => (None, None),
    };
    let (sender, reply) = oneshot::channel();
    front.workers.push(Work {
        what: What::Routed(Box::new(Routed {
            mounts: Arc::clone(&front.mounts),
            mount,
            layers: front.endpoint.get().cloned(),
            head,
            body,
            upgrade: wanted,
            activity,
        })),
        client: Client {
            reply: sender,
            errors: ErrorMode::Http,
            unwanted: Unwanted::Finishes,
            reshape: None,
        },
    });
    Ok(Admitted {
        scope,
        reply: front.workers.batch(reply),
        upgrade,
    })
}

/// The method and the path of a request, for its line: without the query, which may hold a secret, and bounded.
fn described<B>(request: &Request<B>) -> Box<str> {
    let (method, path) = (request.method().as_str(), request.uri().path());
    // A method of the client's own may be as long as a head.
    let method = method.get(..16).unwrap_or(method);
    let shown = &path[..boundary(path, MOST_OF_A_PATH)];
    let rest = if shown.len() < path.len() { "…" } else { "" };
    format!("{method} {shown}{rest}").into()
}

/// Waits for the reply of the workers, and sends it.
async fn reply(exchange: Exchange, admitted: Admitted) -> http::Response<ReplyBody> {
    let Admitted {
        scope,
        mut reply,
        upgrade,
    } = admitted;
    let connection = Arc::clone(&exchange.connection);
    let front = &connection.front;
    let left = CancelOnDrop::new(scope, front.workers.runtime());
    let made = poll_fn(|cx| {
        if front.instance.is_cut_off() {
            return Poll::Ready(None);
        }
        Pin::new(&mut reply).poll(cx).map(Some)
    });
    let Some(made) = made.await else {
        // The drop of `left` would cancel what is being cut off already.
        left.disarm();
        let refused = Response::error("Cut off by the shutdown").with_status(503);
        return exchange.reply(refused);
    };
    left.disarm();
    let Ok(made) = made else {
        return exchange.reply(internal_error());
    };
    let (reply, activity) = &made;
    let is_switching = reply.status() == StatusCode::SWITCHING_PROTOCOLS;
    if let Some((on_upgrade, give)) = upgrade.filter(|_| is_switching) {
        let scope = Arc::clone(activity.scope());
        spawn::boxed(hand_over(Arc::clone(&connection), scope, on_upgrade, give));
    }
    exchange.pass_on(made)
}

/// Gives the service its connection, once the reply has been sent.
async fn hand_over(
    connection: Arc<Connection>,
    scope: Arc<Scope>,
    on_upgrade: OnUpgrade,
    give: Give,
) {
    match into_tcp(on_upgrade).await {
        Ok((stream, ahead)) => {
            let place = connection.place().map(|place| Box::new(place) as _);
            // Without a receiver, the workers' runtime is being shut down, and the connection closes.
            let _ = give.send(Raw {
                stream,
                ahead,
                place,
            });
        }
        // The client left before it was answered.
        Err(error) => request::emit_often(LevelFilter::DEBUG, Some(&scope), move || {
            tracing::debug!("a connection was not upgraded: {error}");
        }),
    }
}

/// The workers' end of the body. The front's end is fed by a task, which ends with the body, the connection, or the interest of
/// the service.
fn arriving<B: RequestBody>(connection: &Arc<Connection>, scope: &Arc<Scope>, body: B) -> Arriving {
    if body.is_end_stream() {
        return Arriving::nothing();
    }
    let limit = connection.front.settings.max_body_bytes;
    let (feed, arriving) = upload::way(body.size_hint(), limit);
    // A client that waits for `100 Continue` has not sent the body, and a read would make hyper ask for it.
    let may_discard = !scope.headers().contains_key(header::EXPECT);
    spawn::boxed(run_feed(Arc::clone(connection), body, feed, may_discard));
    arriving
}

/// Why the feeding of a body ends.
enum Ended {
    /// The whole body has been handed over.
    Whole,
    Broken(BoxError),
    /// The service needs no more of it.
    Unwanted,
}

async fn run_feed<B: RequestBody>(
    connection: Arc<Connection>,
    mut body: B,
    feed: Feed,
    mut may_discard: bool,
) {
    // The next request cannot come before this body has, so its timeout does not run.
    let paused = connection.end.waiting().paused();
    let Feed { pieces, credits } = feed;
    let front = &connection.front;
    let mut credits = pin!(front.workers.batch(credits));
    let mut patience = Patience::new(front.settings.body_timeout);
    let ended = loop {
        let credit = poll_fn(|cx| {
            credits
                .as_mut()
                .poll_with(cx, |credits, cx| credits.get_mut().poll_recv(cx))
        });
        let mut credit = pin!(credit);
        let waits = poll_fn(|cx| Poll::Ready(credit.as_mut().poll(cx))).await;
        let credit = match waits {
            Poll::Ready(credit) => credit,
            Poll::Pending => {
                // The service is slow, not the client.
                patience.renew();
                credit.await
            }
        };
        if credit.is_none() {
            break Ended::Unwanted;
        }
        may_discard = true;
        match next(&connection, &mut body, &mut patience).await {
            Ok(Some(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                patience.reckon(length);
                if let Some(metrics) = &front.instance.metrics {
                    metrics.request_bytes.add(length as u64);
                }
                if pieces.send(Ok(Some(frame))).is_err() {
                    break Ended::Unwanted;
                }
            }
            Ok(None) => break Ended::Whole,
            Err(error) => break Ended::Broken(error),
        }
    };
    match ended {
        Ended::Whole => drop(pieces.send(Ok(None))),
        Ended::Broken(error) => drop(pieces.send(Err(error))),
        Ended::Unwanted if may_discard => request_body::discard_rest(&connection, body),
        Ended::Unwanted => {}
    }
    drop(paused);
}

/// The next piece of a body, within the limits of time.
async fn next<B: RequestBody>(
    connection: &Connection,
    body: &mut B,
    patience: &mut Patience,
) -> Result<Option<Frame<Bytes>>, BoxError> {
    poll_fn(|cx| match Pin::new(&mut *body).poll_frame(cx) {
        Poll::Ready(None) => Poll::Ready(Ok(None)),
        Poll::Ready(Some(Ok(frame))) => Poll::Ready(Ok(Some(frame))),
        Poll::Ready(Some(Err(error))) => Poll::Ready(Err(error.into())),
        // No frame can come any more: the client has closed its sending side.
        Poll::Pending if connection.end.poll_come(cx).is_ready() => {
            Poll::Ready(Err("the body was cut short".into()))
        }
        Poll::Pending => patience
            .wait(cx)
            .map(|()| Err(stalled(&connection.front.settings).into())),
    })
    .await
}

/// Whether `front`'s agent has a router for `path` on its own port.
pub(crate) fn owns(front: &Front, path: &str) -> Option<usize> {
    let mount = front.routes?;
    let is_contracts = match path {
        path if path == &*front.settings.invocations_path => front.agent.entrypoint.is_some(),
        path if path == &*front.settings.warmup_path => true,
        #[cfg(feature = "ws")]
        "/ws" => front.agent.websocket.is_some(),
        _ => false,
    };
    (!is_contracts).then_some(mount)
}
