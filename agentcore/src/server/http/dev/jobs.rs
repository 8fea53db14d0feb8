//! The durable jobs on the dev page: a list of the newest, and cancelling one.
//!
//! The store is asked on the workers, and within a time: the front waits for an answer, and never for the store.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::time::timeout;

use super::json_now;
use crate::durable::{Client, JobId};
use crate::handler::response::Response;
use crate::server::http::front::Front;
use crate::server::http::router::not_found;
use crate::server::threads::AbortOnDrop;
use crate::util::spawn;

/// How long the page waits for the store.
const PATIENCE: Duration = Duration::from_secs(2);

/// The newest jobs.
pub(super) async fn list(front: &Front) -> Response {
    match ask(front, |client| async move { client.newest().await }).await {
        Some(Ok(jobs)) => json_now(jobs.to_string()),
        Some(Err(why)) => unavailable(&why),
        None => not_found(),
    }
}

/// Cancels a job, whosever it is.
pub(super) async fn cancel(front: &Front, id: JobId) -> Response {
    let cancelled = ask(front, |client| async move { client.cancel_any(&id).await });
    match cancelled.await {
        Some(Ok(true)) => json_now(r#"{"cancelled":true}"#),
        Some(Ok(false)) => Response::error("no such job, or none that can be cancelled")
            .with_status(StatusCode::NOT_FOUND),
        Some(Err(why)) => unavailable(&why),
        None => not_found(),
    }
}

/// Asks the store; `None` where there is none.
async fn ask<T, F>(
    front: &Front,
    question: impl FnOnce(Arc<Client>) -> F,
) -> Option<Result<T, String>>
where
    T: Send + 'static,
    F: Future<Output = Result<T, String>> + Send + 'static,
{
    let client = front.durable.clone()?;
    let asked = AbortOnDrop(spawn::boxed_on(front.workers.runtime(), question(client)));
    let answer = timeout(PATIENCE, front.workers.batch(asked)).await;
    Some(match answer {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err("the question was cancelled".to_owned()),
        Err(_) => Err("the store, or the workers, do not answer".to_owned()),
    })
}

fn unavailable(why: &str) -> Response {
    Response::error(why).with_status(StatusCode::SERVICE_UNAVAILABLE)
}
