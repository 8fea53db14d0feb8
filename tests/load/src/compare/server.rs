//! A measured server: started on loopback, observed from outside, killed at the end.

use std::io::{Error, ErrorKind, Read as _, Result, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::machine::Cores;
use super::rows::IN_FLIGHT;
use crate::agent::{Lines, PEAK, RESIDENT, memory_of};
use crate::client::get;
use crate::report::Memory;

/// The limit for a start or a reply. Only a failure reaches it.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

/// The pause between two checks whether a new server answers.
const LOOK_EVERY: Duration = Duration::from_micros(100);

/// The program of a server, which decides its settings.
#[derive(Clone, Debug)]
pub(super) enum Program {
    /// An agent of this library, and its log.
    Agent(PathBuf, Lines),
    /// A server of `tests/load/peers`.
    Peer(PathBuf),
}

impl Program {
    fn command(&self, port: u16, workers: usize) -> Command {
        let mut command = match self {
            Self::Agent(path, lines) => {
                let mut command = Command::new(path);
                command
                    .env_clear()
                    .env("AGENTCORE_HOST", "127.0.0.1")
                    .env("AGENTCORE_PORT", port.to_string())
                    .envs(lines.environment())
                    .env("AGENTCORE_WORKER_THREADS", workers.to_string())
                    // The other servers have no such limits.
                    .env("AGENTCORE_MAX_CONNECTIONS", (IN_FLIGHT + 100).to_string())
                    .env("AGENTCORE_WS_FRAMES_PER_SECOND", "1000000000");
                command
            }
            Self::Peer(path) => {
                let mut command = Command::new(path);
                command
                    .env_clear()
                    .env("PORT", port.to_string())
                    .env("TOKIO_WORKER_THREADS", workers.to_string());
                command
            }
        };
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }
}

/// A running server.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    pub(super) address: SocketAddr,
    /// The time from just before the process was made to the first reply or, for a server of sockets alone, the first connection.
    pub(super) started_in: Duration,
}

impl Server {
    /// Starts `program` and waits until it answers a ping, or accepts a connection if it has no ping.
    pub(super) fn start(program: &Program, cores: &Cores, has_ping: bool) -> Result<Self> {
        // Another process may take the port before the server does. The start then fails.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let mut command = program.command(port, cores.workers());
        let began = Instant::now();
        let child = cores.on_the_servers(|| {
            command
                .spawn()
                .map_err(|error| Error::new(error.kind(), format!("{command:?}: {error}")))
        })?;
        let mut server = Self {
            child,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            started_in: Duration::ZERO,
        };
        loop {
            let is_up = match connect(server.address) {
                Ok(_) if !has_ping => true,
                Ok(mut connection) => ask(&mut connection, &get("/ping")).is_ok(),
                Err(_) => false,
            };
            if is_up {
                server.started_in = began.elapsed();
                return Ok(server);
            }
            if let Some(status) = server.child.try_wait()? {
                return Err(Error::other(format!("{command:?} ended with {status}")));
            }
            if began.elapsed() > DEADLINE {
                return Err(Error::other(format!("{command:?} does not answer")));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Resident memory now.
    pub(super) fn resident(&self) -> Result<Memory> {
        memory_of(self.child.id(), RESIDENT)
    }

    /// The peak of resident memory.
    pub(super) fn peak(&self) -> Result<Memory> {
        memory_of(self.child.id(), PEAK)
    }

    /// The processor time of all threads that are alive. The servers end no thread while they are measured.
    pub(super) fn processor_time(&self) -> Result<Duration> {
        let mut nanoseconds = 0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let times = std::fs::read_to_string(thread?.path().join("schedstat"))?;
            let time = times
                .split(' ')
                .next()
                .and_then(|time| time.parse::<u64>().ok());
            nanoseconds += time.ok_or_else(|| Error::other("no processor time in schedstat"))?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection whose reads have a time limit.
pub(super) fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    Ok(stream)
}

/// Sends a request and reads the body of its reply, which has to be a 200 with a length.
pub(super) fn ask(stream: &mut TcpStream, request: &[u8]) -> Result<Vec<u8>> {
    stream.write_all(request)?;
    let mut reply = Vec::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        let read = stream.read(&mut piece)?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        reply.extend_from_slice(&piece[..read]);
        if let Some((head, length)) = head(&reply)? {
            reply.reserve((head + length).saturating_sub(reply.len()));
            while reply.len() < head + length {
                let read = stream.read(&mut piece)?;
                if read == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                reply.extend_from_slice(&piece[..read]);
            }
            return Ok(reply.split_off(head));
        }
    }
}

/// The lengths of a reply's head and body, once the head is whole.
pub(super) fn head(reply: &[u8]) -> Result<Option<(usize, usize)>> {
    const END: &[u8] = b"\r\n\r\n";
    const LENGTH: &[u8] = b"content-length: ";

    let Some(end) = reply.windows(END.len()).position(|bytes| bytes == END) else {
        return Ok(None);
    };
    let head = &reply[..end];
    let wrong = || Error::other(format!("a reply with {:?}", String::from_utf8_lossy(head)));
    if !head.starts_with(b"HTTP/1.1 200 ") {
        return Err(wrong());
    }
    let length = head
        .split(|byte| *byte == b'\n')
        .find_map(|line| {
            let name = line.get(..LENGTH.len())?;
            name.eq_ignore_ascii_case(LENGTH)
                .then(|| &line[LENGTH.len()..])
        })
        .and_then(|value| std::str::from_utf8(value).ok()?.trim_end().parse().ok());
    let length = length.ok_or_else(wrong)?;
    Ok(Some((end + END.len(), length)))
}

#[cfg(test)]
mod tests {
    use super::head;

    #[test]
    fn a_head_tells_where_the_reply_ends() {
        let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\ndate: now\r\n\r\ntwelve";
        assert_eq!(head(reply).unwrap(), Some((reply.len() - 6, 12)));
        assert_eq!(head(&reply[..40]).unwrap(), None);
    }

    #[test]
    fn only_a_200_with_a_length_is_measured() {
        for wrong in [
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        ] {
            assert!(head(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
