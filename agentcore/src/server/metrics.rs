//! `GET /metrics`, where it is switched on: answered on the front.

use http::{HeaderValue, header};

use super::front::Front;
use super::service::not_found;
use crate::handler::response::Response;
use crate::metrics::{CONTENT_TYPE, Now, Refused};

impl Front {
    pub(super) fn count_refused(&self, why: Refused) {
        if let Some(metrics) = &self.instance.metrics {
            metrics.refuse(why);
        }
    }

    /// The page of metrics.
    pub(super) fn metrics(&self) -> Response {
        let Some(metrics) = &self.instance.metrics else {
            return not_found();
        };
        let tracker = &self.instance.tracker;
        let view = tracker.status();
        let text = metrics.render(Now {
            is_busy: view.effective().is_busy(),
            changed: view.stamp,
            tasks: tracker.task_names(),
            workers: self.workers.metrics().num_workers(),
        });
        let kind = HeaderValue::from_static(CONTENT_TYPE);
        Response::text(text).with_header(header::CONTENT_TYPE, kind)
    }
}
