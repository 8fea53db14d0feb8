//! The listening sockets: the agent's, that of the admin port, and those of further ports.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use tokio::net::TcpSocket;

use super::http::exchange::Port;
use crate::app::listeners::Supplied;
use crate::app::parts::{Agent, Router};
use crate::config::{Settings, table};
use crate::error::{Error, Kind};
use crate::platform;

/// Connections that the kernel queues while the front is busy with others.
const BACKLOG: u32 = 4096;

/// The listening sockets.
pub(super) struct Listeners<L = TcpListener> {
    pub(super) agent: L,
    /// The listener of the admin port.
    pub(super) admin: Option<L>,
    /// The listeners of further ports for clients.
    pub(super) further: Vec<(Port, L)>,
    /// Whether the next process gets the agent's listener, and the connections that are not accepted yet.
    pub(super) is_inherited: bool,
}

/// The addresses of the listening sockets. No port is 0.
pub(super) struct Addresses {
    pub(super) agent: SocketAddr,
    pub(super) admin: Option<SocketAddr>,
    pub(super) routes: Vec<SocketAddr>,
    #[cfg(feature = "mcp")]
    pub(super) mcp: Option<SocketAddr>,
}

impl Listeners {
    /// Opens the sockets that are not there yet. Has to be called on a runtime.
    ///
    /// # Errors
    ///
    /// One problem for each address on which the agent cannot listen.
    pub(super) fn open(
        agent: &Agent,
        settings: &Settings,
        supplied: Supplied,
    ) -> Result<(Self, Addresses), Error> {
        let wait = settings.write_timeout;
        let main = match supplied.agent {
            Some(listener) => adopt(listener, wait),
            #[cfg(feature = "mcp")]
            None if agent.serves_only_mcp() => listen_for_mcp(settings),
            None => listen(settings.address, &set(table::PORT.variable), wait),
        };
        let admin = match (supplied.admin, settings.admin_port) {
            (Some(listener), _) => adopt(listener, wait).map(Some),
            (None, Some(port)) => {
                let address = SocketAddr::new(settings.host, port);
                listen(address, &set(table::ADMIN_PORT.variable), wait).map(Some)
            }
            (None, None) => Ok(None),
        };
        let mut opened = Error::both(main, admin);
        let (mut further, mut addresses) = (Vec::new(), Vec::new());
        for (place, router, address) in of_routes(agent, settings) {
            let listener = listen(address, &another_port(router), wait);
            opened = Error::both(opened, listener).map(|(opened, (listener, address))| {
                further.push((Port::Routes(place), listener));
                addresses.push(address);
                opened
            });
        }
        #[cfg(feature = "mcp")]
        let (opened, mcp) = if agent.serves_mcp() && !agent.serves_only_mcp() {
            match Error::both(opened, listen_for_mcp(settings)) {
                Ok((opened, (listener, address))) => {
                    further.push((Port::Mcp, listener));
                    (Ok(opened), Some(address))
                }
                Err(error) => (Err(error), None),
            }
        } else {
            (opened, None)
        };
        let ((first, address), admin) = opened?;
        let (admin, admin_address) = admin.unzip();
        #[cfg(feature = "mcp")]
        let mcp = mcp.or(agent.serves_only_mcp().then_some(address));
        let listeners = Self {
            agent: first,
            admin,
            further,
            is_inherited: supplied.is_inherited,
        };
        let addresses = Addresses {
            agent: address,
            admin: admin_address,
            routes: addresses,
            #[cfg(feature = "mcp")]
            mcp,
        };
        Ok((listeners, addresses))
    }

    /// Registers the listeners with the current runtime.
    pub(super) fn registered(self) -> io::Result<Listeners<tokio::net::TcpListener>> {
        use tokio::net::TcpListener;
        Ok(Listeners {
            agent: TcpListener::from_std(self.agent)?,
            admin: self.admin.map(TcpListener::from_std).transpose()?,
            further: self
                .further
                .into_iter()
                .map(|(port, listener)| Ok((port, TcpListener::from_std(listener)?)))
                .collect::<io::Result<_>>()?,
            is_inherited: self.is_inherited,
        })
    }
}

/// Tries whether the ports are free that the agent opens beside its own, and leaves them free. If its own port is taken, the agent
/// probably runs, and nothing is tried.
///
/// # Errors
///
/// One problem for each port that is not free.
pub(crate) fn try_further_ports(
    agent: &Agent,
    settings: &Settings,
    supplied: &Supplied,
) -> Result<(), Error> {
    let own = match &supplied.agent {
        Some(_) => None,
        #[cfg(feature = "mcp")]
        None if agent.serves_only_mcp() => Some(settings.mcp_port),
        None => Some(settings.address.port()),
    };
    let own = own.map(|port| bind(SocketAddr::new(settings.host, port)));
    if matches!(&own, Some(Err(error)) if error.kind() == io::ErrorKind::AddrInUse) {
        return Ok(());
    }
    let admin = settings.admin_port.filter(|_| supplied.admin.is_none());
    let admin = admin.map(|port| (port, set(table::ADMIN_PORT.variable)));
    let routes = of_routes(agent, settings);
    let routes = routes.map(|(_, router, address)| (address.port(), another_port(router)));
    #[cfg(feature = "mcp")]
    let mcp = (agent.serves_mcp() && !agent.serves_only_mcp())
        .then(|| (settings.mcp_port, set(table::MCP_PORT.variable)));
    #[cfg(not(feature = "mcp"))]
    let mcp = None;
    let mut tried = Ok(());
    for (port, advice) in admin.into_iter().chain(routes).chain(mcp) {
        let address = SocketAddr::new(settings.host, port);
        let bound = bind(address).map_err(|error| no_listener(address, &advice, error));
        tried = Error::both(tried, bound).map(drop);
    }
    tried
}

/// The routers with a port of their own: their places among the agent's parts, and their addresses.
fn of_routes<'a>(
    agent: &'a Agent,
    settings: &'a Settings,
) -> impl Iterator<Item = (usize, &'a Router, SocketAddr)> {
    let routers = agent.routers.iter().enumerate();
    routers.filter_map(|(place, router)| {
        let address = SocketAddr::new(settings.host, router.port?);
        Some((place, router, address))
    })
}

/// Listens on the port of the Model Context Protocol.
#[cfg(feature = "mcp")]
fn listen_for_mcp(settings: &Settings) -> Result<(TcpListener, SocketAddr), Error> {
    let address = SocketAddr::new(settings.host, settings.mcp_port);
    let advice = set(table::MCP_PORT.variable);
    listen(address, &advice, settings.write_timeout)
}

/// The advice to choose another port by a setting.
fn set(variable: &str) -> String {
    format!("set {variable} to another port")
}

/// The advice to choose another port in the program.
fn another_port(router: &Router) -> String {
    format!("give routes {} another port", router.meta)
}

/// Prepares a listener that was opened elsewhere, and returns it with its address.
fn adopt(
    listener: TcpListener,
    write_timeout: Duration,
) -> Result<(TcpListener, SocketAddr), Error> {
    let adopt = || {
        listener.set_nonblocking(true)?;
        listener.local_addr()
    };
    let address = adopt().map_err(|error| {
        let problem = format!("cannot use the listener that was supplied: {error}");
        Error::new(Kind::Io, problem).with_source(error)
    })?;
    platform::give_up_on_silent_peers(&listener, write_timeout);
    Ok((listener, address))
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    platform::reuse_address(&socket)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Listens on `address`. If its port is in use, `advice` says how to choose another one. Returns the listener with its address,
/// whose port is not 0.
fn listen(
    address: SocketAddr,
    advice: &str,
    write_timeout: Duration,
) -> Result<(TcpListener, SocketAddr), Error> {
    let listen = || {
        let socket = bind(address)?;
        platform::give_up_on_silent_peers(&socket, write_timeout);
        let listener = socket.listen(BACKLOG)?.into_std()?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    listen().map_err(|error| no_listener(address, advice, error))
}

fn no_listener(address: SocketAddr, advice: &str, error: io::Error) -> Error {
    let problem = match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "cannot listen on {address}: another process uses the port; stop it, or {advice}"
        ),
        _ => format!("cannot listen on {address}: {error}"),
    };
    Error::new(Kind::Io, problem).with_source(error)
}
