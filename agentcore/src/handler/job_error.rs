//! Replies for a [`JobError`].

use super::response::{IntoResponse, Response};
use crate::durable::JobError;

/// The reply for a job error, which a handler may return among the causes of another error.
pub(super) fn response(error: &JobError) -> Response {
    Response::error(error.client_text())
        .with_status(error.status())
        .with_failure(error)
}

impl IntoResponse for JobError {
    fn into_response(self) -> Response {
        response(&self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{EngineError, JobId};
    use crate::error::BoxError;
    use crate::handler::http_error::error_response;

    #[test]
    fn an_error_of_the_store_keeps_its_status_below_a_question_mark() {
        let id: JobId = "task:019ad0c5-9d2b-7c31-a4c2-6d1f6f2b1f00".parse().unwrap();
        let unreachable = EngineError::Unreachable("db:5432 refused".to_owned());
        let conflict = EngineError::KeyConflict {
            key: "k".to_owned(),
            earlier: id.clone(),
        };
        let large = EngineError::TooLarge {
            what: "the arguments",
            bytes: 2,
            limit: 1,
        };
        for (error, status) in [
            (JobError::from(unreachable), 503),
            (JobError::from(conflict), 409),
            (JobError::from(large), 413),
            (JobError::unknown(id.clone()), 404),
            (JobError::cancelled(id.clone()), 500),
            (JobError::failed(id, "why".to_owned()), 500),
        ] {
            let error: BoxError = error.into();
            assert_eq!(error_response(&error).status(), status, "{error}");
        }
    }
}
