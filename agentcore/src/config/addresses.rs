//! [`Addresses`]: where listeners listen that the agent does not open itself.

use std::net::SocketAddr;

/// Where listeners listen that were supplied; settings depend on it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Addresses {
    pub(crate) agent: Option<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) is_inherited: bool,
}
