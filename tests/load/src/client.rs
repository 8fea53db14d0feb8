//! A connection that sends exactly the given bytes, and reads replies strictly.

use std::future::Future;
use std::io::{self, Error, Result};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// The limit for anything that is going to happen at all. Only a failure reaches it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// The result of `work`, or an error that names what did not come in time.
pub(crate) async fn in_time<T>(what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(DEADLINE, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Error::new(error.kind(), format!("{what}: {error}"))),
        Err(_) => Err(Error::new(
            io::ErrorKind::TimedOut,
            format!("{what}: nothing after {DEADLINE:?}"),
        )),
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

/// One whole reply.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Error::other(format!(
                "{error} in {:?}",
                String::from_utf8_lossy(&self.body)
            ))
        })
    }
}

/// How the body of a reply is framed.
#[derive(Clone, Copy, Debug)]
enum Framing {
    Length(usize),
    Chunked,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = in_time("connecting", TcpStream::connect(address)).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        in_time("sending", self.stream.write_all(bytes)).await
    }

    /// Sends a request and reads its reply.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<Reply> {
        self.send(request).await?;
        self.reply().await
    }

    /// Closes the sending side only.
    pub(crate) async fn finish_sending(&mut self) -> Result<()> {
        self.stream.shutdown().await
    }

    /// Ends the connection with a reset: unread bytes are lost, and no port stays reserved.
    pub(crate) fn reset(self) {
        // If the option cannot be set, the connection ends in the ordinary way.
        let _ = self.stream.get_ref().set_zero_linger();
    }

    /// Reads a reply.
    pub(crate) async fn reply(&mut self) -> Result<Reply> {
        in_time("a reply", async {
            let (status, framing) = self.read_head().await?;
            let body = match framing {
                Framing::Length(length) => {
                    let mut body = vec![0; length];
                    self.stream.read_exact(&mut body).await?;
                    body
                }
                Framing::Chunked => self.read_chunks().await?,
            };
            Ok(Reply { status, body })
        })
        .await
    }

    /// Reads the head of a reply that has no body, or of a protocol change. Returns the status.
    pub(crate) async fn head(&mut self) -> Result<u16> {
        let (status, _) = in_time("a head", self.read_head()).await?;
        Ok(status)
    }

    /// Reads one chunk of a body whose head has been read.
    pub(crate) async fn chunk(&mut self) -> Result<Vec<u8>> {
        let mut chunk = Vec::new();
        in_time("a chunk", self.read_chunk(&mut chunk)).await?;
        Ok(chunk)
    }

    /// Reads exactly `N` bytes.
    pub(crate) async fn exact<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        in_time("some bytes", self.stream.read_exact(&mut bytes)).await?;
        Ok(bytes)
    }

    /// Reads exactly `length` bytes.
    pub(crate) async fn bytes(&mut self, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        in_time("some bytes", self.stream.read_exact(&mut bytes)).await?;
        Ok(bytes)
    }

    /// Reads to the end of the connection, whatever ends it. Returns the bytes, or `None` if the end does not come in time.
    pub(crate) async fn rest(&mut self, patience: Duration) -> Option<Vec<u8>> {
        let mut rest = Vec::new();
        // A reset is an end too.
        let read = tokio::time::timeout(patience, self.stream.read_to_end(&mut rest)).await;
        read.is_ok().then_some(rest)
    }

    async fn read_head(&mut self) -> Result<(u16, Framing)> {
        let status = self.line().await?;
        let status = status
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .ok_or_else(|| Error::other(format!("no status line: {status:?}")))?;
        let mut framing = Framing::Length(0);
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok((status, framing));
            }
            let Some((name, value)) = line.split_once(": ") else {
                return Err(Error::other(format!("no header: {line:?}")));
            };
            if name.eq_ignore_ascii_case("content-length") {
                framing = Framing::Length(value.parse().map_err(Error::other)?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                framing = Framing::Chunked;
            }
        }
    }

    async fn read_chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        while self.read_chunk(&mut body).await? > 0 {}
        Ok(body)
    }

    /// Appends the data of the next chunk to `body`. Returns its size, which is 0 for the last one.
    async fn read_chunk(&mut self, body: &mut Vec<u8>) -> Result<usize> {
        let size = self.line().await?;
        let size = usize::from_str_radix(&size, 16).map_err(Error::other)?;
        let end = body.len() + size;
        body.resize(end, 0);
        self.stream.read_exact(&mut body[end - size..]).await?;
        if !self.line().await?.is_empty() {
            return Err(Error::other("a chunk that is longer than it says"));
        }
        Ok(size)
    }

    /// The next line, without its line break.
    async fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).await?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => Err(Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the connection ended after {line:?}"),
            )),
        }
    }
}

/// A `GET` of `path`.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: agent\r\n\r\n").into_bytes()
}

/// An invocation.
pub(crate) fn invocation(event: &Value) -> Vec<u8> {
    let body = event.to_string();
    let head = format!(
        "POST /invocations HTTP/1.1\r\nhost: agent\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    (head + &body).into_bytes()
}

/// Invokes once, on a connection of its own.
pub(crate) async fn invoke(address: SocketAddr, event: &Value) -> Result<Reply> {
    let mut connection = Connection::open(address).await?;
    let reply = connection.ask(&invocation(event)).await?;
    connection.reset();
    Ok(reply)
}
