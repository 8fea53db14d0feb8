//! What an entrypoint's value and error become on the wire.
//!
//! Value: [`IntoResponse`], or else JSON. Between the two is the place of `Stream`, for a reply of server-sent events:
//! one more trait and tag here, one more `&` on the probes, and one in the expansion.
//!
//! Error: [`IntoResponse`], which chooses its own status, or else whatever converts into [`BoxError`].
//!
//! [`BoxError`]: crate::BoxError

use super::bounds::{ErrorReply, JsonReply};
use super::probe::Probe;
use crate::error::error_response;
use crate::response::{IntoResponse, Response};

/// First choice for a value: it says itself what the reply is.
pub trait ResponseProbe {
    fn __agentcore_reply(&self) -> ResponseTag {
        ResponseTag
    }
}

impl<T: IntoResponse> ResponseProbe for Probe<T> {}

/// Last choice for a value: it is serialised.
pub trait JsonProbe {
    fn __agentcore_reply(&self) -> JsonTag {
        JsonTag
    }
}

impl<T> JsonProbe for &Probe<T> {}

/// First choice for an error: it says itself what the reply is.
pub trait FailureResponseProbe {
    fn __agentcore_failure(&self) -> ResponseTag {
        ResponseTag
    }
}

impl<E: IntoResponse> FailureResponseProbe for Probe<E> {}

/// Second choice for an error: it has a text.
pub trait ErrorProbe {
    fn __agentcore_failure(&self) -> ErrorTag {
        ErrorTag
    }
}

impl<E> ErrorProbe for &Probe<E> {}

pub struct ResponseTag;

impl ResponseTag {
    pub fn __agentcore_respond<T: IntoResponse>(self, value: T) -> Response {
        value.into_response()
    }
}

pub struct JsonTag;

impl JsonTag {
    pub fn __agentcore_respond<T: JsonReply>(self, value: T) -> Response {
        value.into_json()
    }
}

pub struct ErrorTag;

impl ErrorTag {
    pub fn __agentcore_respond<E: ErrorReply>(self, error: E) -> Response {
        error_response(&error.boxed())
    }
}
