//! Taking the TCP stream back from hyper, once a reply has upgraded its connection.

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::error::BoxError;
use crate::server::connection::half_close::Socket;

/// Takes the TCP stream from hyper, deregistered from the front's runtime, with the bytes that had been read from it.
pub(crate) async fn into_tcp(upgrade: OnUpgrade) -> Result<(std::net::TcpStream, Bytes), BoxError> {
    let upgraded = upgrade.await?.downcast::<TokioIo<Socket>>();
    let parts = upgraded.map_err(|_| "its connection is not one of this server's")?;
    let (stream, ahead) = parts.io.into_inner().into_parts();
    let read = if ahead.is_empty() {
        parts.read_buf
    } else {
        [&parts.read_buf[..], &ahead].concat().into()
    };
    Ok((stream.into_inner().into_std()?, read))
}
