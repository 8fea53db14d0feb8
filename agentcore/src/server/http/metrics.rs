//! `GET /metrics`, if it is switched on. The front answers it.

use http::{HeaderValue, header};

use super::front::Front;
use super::router::not_found;
use crate::handler::response::Response;
use crate::metrics::{CONTENT_TYPE, Now};

/// The page of metrics.
pub(crate) fn page(front: &Front) -> Response {
    let Some(metrics) = &front.instance.metrics else {
        return not_found();
    };
    let tracker = &front.instance.tracker;
    let view = tracker.status();
    let text = metrics.render(Now {
        is_busy: view.effective().is_busy(),
        changed: view.stamp,
        tasks: tracker.task_names(),
        workers: front.workers.runtime().metrics().num_workers(),
        #[cfg(feature = "durable")]
        durable: front
            .durable
            .as_ref()
            .map(|client| client.show_figures())
            .unwrap_or_default(),
    });
    let kind = HeaderValue::from_static(CONTENT_TYPE);
    Response::text(text).with_header(header::CONTENT_TYPE, kind)
}
