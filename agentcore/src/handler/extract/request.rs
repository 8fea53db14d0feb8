//! Arguments that come from the request itself, not from its payload.

use std::convert::Infallible;

use super::{FromInvocation, Invocation, Requirements};
use crate::request::{CancellationToken, RequestContext};

impl FromInvocation for RequestContext {
    type Rejection = Infallible;

    fn from_invocation(invocation: &mut Invocation) -> Result<Self, Infallible> {
        Ok(Self::of(invocation.scope()))
    }
}

impl FromInvocation for CancellationToken {
    type Rejection = Infallible;

    fn from_invocation(invocation: &mut Invocation) -> Result<Self, Infallible> {
        Ok(invocation.scope().cancellation())
    }

    fn requires(requirements: &mut Requirements) {
        requirements.disconnects();
    }
}
