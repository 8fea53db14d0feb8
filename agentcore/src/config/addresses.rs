//! [`Addresses`]: the addresses of listeners that the agent does not open itself.

use std::net::SocketAddr;

/// The addresses of supplied listeners; settings depend on them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Addresses {
    pub(crate) agent: Option<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) is_inherited: bool,
}
