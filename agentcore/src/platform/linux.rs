//! Linux.

mod init;

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};
use rustix::rand::{GetRandomFlags, getrandom};

pub(crate) use init::{init, is_pid_1};

/// By how much the threads of the user's code are nicer than the front. With eight spinning handlers on two cores, the 99th
/// percentile of pings is 4.5 ms without it and 0.25 ms with it.
const STEP_BACK: i32 = 5;

/// Fills `bytes` with random ones; false if the system has none. Each call asks the system: a generator that is seeded once
/// would be equal in all processes that are restored from one snapshot.
pub(crate) fn random(mut bytes: &mut [u8]) -> bool {
    while !bytes.is_empty() {
        match rustix::io::retry_on_intr(|| getrandom(&mut *bytes, GetRandomFlags::empty())) {
            Ok(filled) => bytes = &mut bytes[filled..],
            Err(_) => return false,
        }
    }
    true
}

/// Gives the calling thread, and processes that it starts, a lower priority than the front's.
pub(crate) fn step_back() {
    // On Linux niceness belongs to a thread. More of it needs no permission, and a failure costs only the advantage.
    let _ = nice(STEP_BACK);
}

/// Raises the number of files that the process may open to the most that it may ask for.
pub(crate) fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
}

/// How many files the process may open; `None` where there is no limit, or none is known.
pub(crate) fn file_limit() -> Option<usize> {
    usize::try_from(getrlimit(Resource::Nofile).current?).ok()
}

/// Ends connections whose peer neither takes nor acknowledges anything for `limit`. Connections that `listener` accepts
/// inherit the option.
pub(crate) fn give_up_on_silent_peers(listener: &tokio::net::TcpSocket, limit: Duration) {
    // The kernel's own rules notice after a quarter of an hour that a peer is gone.
    let _ = socket2::SockRef::from(listener).set_tcp_user_timeout(Some(limit));
}
