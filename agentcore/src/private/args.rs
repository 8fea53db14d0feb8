//! Decides what an argument of an entrypoint is: an extractor, or else the payload.

use super::probe::{Probe, choice};
use crate::handler::extract::{FromInvocation, Invocation, Requirements};
use crate::handler::response::{IntoResponse, Response};

// First choice: the type implements `FromInvocation`. This also decides for types that could be a payload, such as `Bytes`.
choice! { ExtractorProbe(__agentcore_argument -> ExtractorTag) for [T: FromInvocation] Probe<T> }

// Second choice: the JSON body is decoded to the type.
choice! { PayloadProbe(__agentcore_argument -> PayloadTag) for [T] &Probe<T> }

pub struct ExtractorTag;

impl ExtractorTag {
    pub fn __agentcore_requires<T: FromInvocation>(self, requirements: &mut Requirements) {
        T::requires(requirements);
    }

    pub fn __agentcore_extract<T>(
        self,
        _: Probe<T>,
        invocation: &mut Invocation,
    ) -> Result<T, Response>
    where
        T: FromInvocation,
    {
        T::from_invocation(invocation).map_err(IntoResponse::into_response)
    }
}

/// The tag of a payload. [`Payload`](super::bounds::Payload) has its `__agentcore_extract`.
pub struct PayloadTag;

impl PayloadTag {
    /// Requires nothing. It has no bound, so that a type that is not a payload is reported only once.
    pub fn __agentcore_requires<T>(self, _: &mut Requirements) {}
}

/// `Probe::<T>::__AGENTCORE_IS_PAYLOAD` for a constant: the inherent constant if there is one, else this one.
pub trait PayloadCount {
    const __AGENTCORE_IS_PAYLOAD: bool = true;
}

impl<T> PayloadCount for Probe<T> {}

impl<T: FromInvocation> Probe<T> {
    pub const __AGENTCORE_IS_PAYLOAD: bool = false;
}
