//! TLS connections to the telemetry endpoint.

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::error::BoxError;
pub(super) use crate::util::tls::connector;

pub(super) async fn connect(
    connector: &TlsConnector,
    host: &str,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, BoxError> {
    let name = ServerName::try_from(host.to_owned())?;
    Ok(connector.connect(name, stream).await?)
}
