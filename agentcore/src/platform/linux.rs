//! Linux.

mod init;

use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{
    Resource, Rlimit, getpriority_process, getrlimit, setpriority_process, setrlimit,
};
use rustix::rand::{GetRandomFlags, getrandom};
use socket2::{Domain, Protocol, Socket, Type};

pub(crate) use init::{init, is_pid_1};

/// The difference in niceness between the threads of the user's code and the front. With eight spinning handlers on two cores,
/// the 99th percentile of pings is 4.5 ms without it and 0.25 ms with it.
const STEP_BACK: i32 = 5;

/// Fills `bytes` with random bytes; false if the system has none. Each call asks the system: a generator that is seeded once
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

/// Gives the calling thread, and threads and processes that it starts, a lower priority than the front's.
pub(crate) fn step_back() {
    static OF_FRONT: OnceLock<Option<i32>> = OnceLock::new();
    // On Linux niceness belongs to a thread, which hands it on to those that it starts. The first one to step back has not yet.
    let of_front = OF_FRONT.get_or_init(|| getpriority_process(None).ok());
    if let Some(of_front) = of_front {
        // Raising it needs no permission, and a failure costs only the advantage.
        let _ = setpriority_process(None, of_front + STEP_BACK);
    }
}

/// Raises the limit of open files to the maximum that the process may set.
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

/// Keeps other processes from locking the file, as long as it is open.
///
/// # Errors
///
/// [`io::ErrorKind::WouldBlock`] if another process has locked it; others where the file system has no such locks.
#[cfg(feature = "durable")]
pub(crate) fn lock_file(file: &std::fs::File) -> io::Result<()> {
    use rustix::fs::{FlockOperation, flock};
    Ok(flock(file, FlockOperation::NonBlockingLockExclusive)?)
}

/// Takes the listeners that were passed to the process as descriptors from 3 on. Child processes do not inherit them.
///
/// # Errors
///
/// A descriptor is not open, or is not a listening TCP socket.
#[cfg(feature = "socket-activation")]
pub(crate) fn inherited_listeners(count: usize) -> io::Result<Vec<TcpListener>> {
    let no_listener = |number: usize| {
        let problem = format!("fd {} is not a listening TCP socket", 3 + number);
        io::Error::new(io::ErrorKind::InvalidInput, problem)
    };
    // This also removes the variables. Otherwise a child process would take the listeners for its own.
    let mut passed = listenfd::ListenFd::from_env();
    (0..count)
        .map(|number| {
            let listener = passed.take_tcp_listener(number)?;
            let listens = |listener: &TcpListener| {
                socket2::SockRef::from(listener)
                    .is_listener()
                    .is_ok_and(|listens| listens)
            };
            listener.filter(listens).ok_or_else(|| no_listener(number))
        })
        .collect()
}

/// Fails: the program is built without the feature.
#[cfg(not(feature = "socket-activation"))]
pub(crate) fn inherited_listeners(_: usize) -> io::Result<Vec<TcpListener>> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "the program is built without agentcore's feature `socket-activation`",
    ))
}

/// How long nothing comes over a connection before the kernel asks its peer for a sign of life, and how often it repeats that.
const SILENCE: Duration = Duration::from_secs(30);
const SILENCE_AGAIN: Duration = Duration::from_secs(10);

/// Ends connections whose peer neither reads nor acknowledges anything for `limit`. A peer to which nothing is sent is asked for a
/// sign of life. Connections that `listener` accepts inherit both options.
pub(crate) fn give_up_on_silent_peers(listener: &impl AsFd, limit: Duration) {
    let socket = socket2::SockRef::from(listener);
    // By default the kernel notices only after a quarter of an hour that a peer is gone, and never if there is nothing to send. The
    // agent would be busy all the while with a stream that waits for its next event, or with an upgraded connection.
    let _ = socket.set_tcp_user_timeout(Some(limit));
    let keep_alive = socket2::TcpKeepalive::new()
        .with_time(SILENCE)
        .with_interval(SILENCE_AGAIN);
    let _ = socket.set_tcp_keepalive(&keep_alive);
}

/// Ends `stream` when its peer acknowledges nothing for `limit`. `None` restores the kernel's default.
pub(crate) fn end_when_silent(stream: &tokio::net::TcpStream, limit: Option<Duration>) {
    let _ = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(limit.unwrap_or_default()));
}

/// How many bytes in `stream`'s send buffer the peer has not acknowledged, sent or not; `None` if the kernel does not tell.
///
/// It asks over netlink (`sock_diag(7)`), because no crate reads `TCP_INFO` or `SIOCOUTQ` for safe code. A question takes some
/// microseconds and needs no permission. Some sandboxes have no netlink sockets.
pub(crate) fn unacknowledged(stream: &tokio::net::TcpStream) -> Option<u32> {
    const NETLINK: i32 = 16;
    const SOCK_DIAG: i32 = 4;
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    /// The offset of the answer's number: a header of 16 bytes, 52 bytes that repeat the question, then the timer, the bytes
    /// received, and the bytes not acknowledged.
    const ANSWER: usize = 76;

    let question = question(stream.local_addr().ok()?, stream.peer_addr().ok()?);
    let kernel = Socket::new(
        Domain::from(NETLINK),
        Type::DGRAM.nonblocking(),
        Some(Protocol::from(SOCK_DIAG)),
    )
    .ok()?;
    kernel.send(&question).ok()?;
    // The kernel answers before `send` returns.
    let mut answer = [0; 256];
    let length = (&kernel).read(&mut answer).ok()?;
    let kind = u16::from_ne_bytes(answer[4..6].try_into().ok()?);
    let number = answer.get(ANSWER..ANSWER + 4)?;
    (kind == SOCK_DIAG_BY_FAMILY && length >= ANSWER + 4)
        .then(|| number.try_into().map(u32::from_ne_bytes).ok())
        .flatten()
}

/// `struct nlmsghdr` and `struct inet_diag_req_v2`, for one TCP connection.
fn question(local: SocketAddr, peer: SocketAddr) -> Vec<u8> {
    const LENGTH: u32 = 72;
    const TCP: u8 = 6;
    let address = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&ip.octets());
            bytes
        }
        IpAddr::V6(ip) => ip.octets(),
    };
    let family: u8 = if local.is_ipv4() { 2 } else { 10 };
    let mut bytes = Vec::with_capacity(LENGTH as usize);
    bytes.extend(LENGTH.to_ne_bytes());
    // `SOCK_DIAG_BY_FAMILY`, `NLM_F_REQUEST`, sequence number 0, port number 0 (the kernel chooses one).
    bytes.extend(20_u16.to_ne_bytes());
    bytes.extend(1_u16.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([family, TCP, 0, 0]);
    // Any state.
    bytes.extend(u32::MAX.to_ne_bytes());
    bytes.extend(local.port().to_be_bytes());
    bytes.extend(peer.port().to_be_bytes());
    bytes.extend(address(local));
    bytes.extend(address(peer));
    // Any interface, any cookie.
    bytes.extend([0; 4]);
    bytes.extend([0xff; 8]);
    bytes
}
