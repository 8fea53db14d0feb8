//! [`Supplied`]: listeners that the agent does not open itself, but gets from the program or from a service manager.
//!
//! A manager passes listeners as descriptors and describes them in variables (`sd_listen_fds(3)`). It keeps them open itself,
//! so connections that come while the agent is restarted wait in the kernel, and none is refused.

use std::io;
use std::net::{SocketAddr, TcpListener};

use crate::config::{Addresses, Environment};
use crate::platform;

/// The number of listeners.
const COUNT: &str = "LISTEN_FDS";
/// The process that the listeners are for.
const PROCESS: &str = "LISTEN_PID";
/// The names of the listeners, separated by colons.
const NAMES: &str = "LISTEN_FDNAMES";

/// The name of the listener for the admin port.
const ADMIN: &str = "admin";

/// Listeners that are open before the agent starts.
#[derive(Debug, Default)]
pub(crate) struct Supplied {
    pub(crate) agent: Option<TcpListener>,
    /// The listener for the admin port.
    pub(crate) admin: Option<TcpListener>,
    /// Whether a service manager has the listeners too, and passes them to the next process.
    pub(crate) is_inherited: bool,
}

impl Supplied {
    pub(crate) fn is_empty(&self) -> bool {
        self.agent.is_none() && self.admin.is_none()
    }

    /// Takes the listeners that a service manager has passed to this process; none if it has passed none.
    ///
    /// # Errors
    ///
    /// The reason why the agent cannot take a listener.
    pub(crate) fn inherit(environment: &Environment<'_>) -> Result<Self, String> {
        let process = std::process::id();
        let Some(roles) = passed(environment.variable, process)? else {
            return Ok(Self::default());
        };
        let listeners = platform::inherited_listeners(roles.len())
            .map_err(|error| format!("cannot take the listeners that {COUNT} passes: {error}"))?;
        let mut supplied = Self {
            is_inherited: true,
            ..Self::default()
        };
        for (role, listener) in roles.into_iter().zip(listeners) {
            match role {
                Role::Agent => supplied.agent = Some(listener),
                Role::Admin => supplied.admin = Some(listener),
            }
        }
        Ok(supplied)
    }

    /// The addresses of the listeners, or why they cannot be read.
    pub(crate) fn addresses(&self) -> Result<Addresses, String> {
        let address = |listener: &Option<TcpListener>| -> io::Result<Option<SocketAddr>> {
            listener.as_ref().map(TcpListener::local_addr).transpose()
        };
        let addresses = || -> io::Result<_> {
            Ok(Addresses {
                agent: address(&self.agent)?,
                admin: address(&self.admin)?,
                is_inherited: self.is_inherited,
            })
        };
        addresses().map_err(|error| format!("a listener of the program has no address: {error}"))
    }
}

/// The use of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Agent,
    Admin,
}

/// The roles of the listeners that were passed to `process`, in their order; `None` if none were.
fn passed(
    variable: &dyn Fn(&str) -> Option<String>,
    process: u32,
) -> Result<Option<Vec<Role>>, String> {
    let said = |name| variable(name).filter(|value| !value.trim().is_empty());
    let Some(count) = said(COUNT) else {
        return Ok(None);
    };
    // A child of the process that got the listeners inherits the variables. Development tools leave the process out.
    if said(PROCESS).is_some_and(|other| other.trim().parse() != Ok(process)) {
        return Ok(None);
    }
    let Ok(number) = count.trim().parse::<usize>() else {
        return Err(format!(
            "{COUNT} is `{count}`; it takes a number of listeners"
        ));
    };
    let names = said(NAMES).unwrap_or_default();
    let names: Vec<_> = names.split(':').collect();
    let is_admin = |place: usize| names.get(place).is_some_and(|name| *name == ADMIN);
    match (number, is_admin(0), is_admin(1)) {
        (0, ..) => Ok(None),
        (1, false, _) => Ok(Some(vec![Role::Agent])),
        (1, true, _) => Ok(Some(vec![Role::Admin])),
        (2, true, false) => Ok(Some(vec![Role::Admin, Role::Agent])),
        (2, false, _) => Ok(Some(vec![Role::Agent, Role::Admin])),
        (2, true, true) => Err(format!(
            "{NAMES} is `{}`; only one listener is the admin port's",
            names.join(":")
        )),
        _ => Err(format!(
            "{COUNT} is `{number}`; an agent takes at most two listeners, its own and the admin port's"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(variables: &[(&str, &str)]) -> Result<Option<Vec<Role>>, String> {
        let variable = |name: &str| {
            let mut all = variables.iter();
            let found = all.find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        passed(&variable, 7)
    }

    #[test]
    fn the_first_listener_is_the_agents_and_the_second_the_admin_ports() {
        for (variables, expected) in [
            (&[(COUNT, "1")][..], vec![Role::Agent]),
            (&[(COUNT, "1"), (PROCESS, "7")], vec![Role::Agent]),
            (
                &[(COUNT, "2"), (PROCESS, "7")],
                vec![Role::Agent, Role::Admin],
            ),
            // The listeners of one unit all have its name.
            (
                &[(COUNT, "2"), (NAMES, "agent.socket:agent.socket")],
                vec![Role::Agent, Role::Admin],
            ),
            (
                &[(COUNT, "2"), (NAMES, "admin:agent")],
                vec![Role::Admin, Role::Agent],
            ),
            (
                &[(COUNT, "2"), (NAMES, "agent:admin")],
                vec![Role::Agent, Role::Admin],
            ),
            (&[(COUNT, "1"), (NAMES, "admin")], vec![Role::Admin]),
        ] {
            assert_eq!(roles(variables), Ok(Some(expected)), "{variables:?}");
        }
    }

    #[test]
    fn what_is_not_for_this_process_is_left_alone() {
        for variables in [
            &[][..],
            &[(COUNT, "")],
            &[(COUNT, "0"), (PROCESS, "7")],
            &[(COUNT, "1"), (PROCESS, "8")],
            &[(COUNT, "many"), (PROCESS, "nobody's")],
        ] {
            assert_eq!(roles(variables), Ok(None), "{variables:?}");
        }
    }

    #[test]
    fn what_an_agent_cannot_use_is_named() {
        for (variables, problem) in [
            (
                &[(COUNT, "one")][..],
                "LISTEN_FDS is `one`; it takes a number",
            ),
            (&[(COUNT, "-1")], "LISTEN_FDS is `-1`; it takes a number"),
            (
                &[(COUNT, "3")],
                "LISTEN_FDS is `3`; an agent takes at most two listeners",
            ),
            (
                &[(COUNT, "2"), (NAMES, "admin:admin")],
                "LISTEN_FDNAMES is `admin:admin`; only one listener",
            ),
        ] {
            let said = roles(variables).unwrap_err();
            assert!(said.starts_with(problem), "{said}");
        }
    }
}
