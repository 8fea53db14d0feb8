//! The HTTP client of the exporters.
//!
//! Each export opens a new connection: there is one every few seconds, and a kept connection might date from before a snapshot.
//! It runs on the exporter's own thread, which nothing waits for.

use std::cell::Cell;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opentelemetry_http::{HttpClient, HttpError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

use super::renewed::Renewed;
use super::setup::problem;
use super::tls;
use crate::config::Environment;
use crate::error::{BoxError, with_causes};
use crate::platform;
use crate::util::sync::Mutex;

/// The default of the OTLP standard.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The shortest time between two reports of failures.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// The most bytes of an answer's body. Answers are short.
const LARGEST_ANSWER: usize = 1 << 20;

/// The kind of telemetry that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Traces,
    Metrics,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        }
    }

    /// This signal's own variable, or else the general one.
    fn variable(self, environment: &Environment<'_>, name: &str) -> Option<String> {
        let own = format!("OTEL_EXPORTER_OTLP_{}_{name}", self.name().to_uppercase());
        let general = format!("OTEL_EXPORTER_OTLP_{name}");
        let get = |name: &str| (environment.variable)(name).filter(|text| !text.trim().is_empty());
        get(&own).or_else(|| get(&general))
    }
}

pub(super) struct Client {
    signal: Signal,
    runtime: Runtime,
    /// The path of a PEM file of trusted certificates.
    certificate: Option<String>,
    /// Made at the first use: reading the system's certificates takes longer than a start may. Made again after a restore: it
    /// keeps TLS sessions.
    connector: Mutex<Renewed<Option<TlsConnector>>>,
    timeout: Duration,
    #[cfg(feature = "otel-aws")]
    signer: Option<super::sign::Signer>,
    failures: Mutex<Failures>,
}

#[derive(Default)]
struct Failures {
    said: Option<Instant>,
    unsaid: u64,
    /// The endpoint does not take this signal, and never will.
    unwanted: bool,
}

thread_local! {
    static STEPPED_BACK: Cell<bool> = const { Cell::new(false) };
}

impl Client {
    /// Makes a client; `None`, after a problem was recorded, if that fails.
    pub(super) fn new(environment: &Environment<'_>, signal: Signal) -> Option<Self> {
        Self::build(environment, signal)
            .inspect_err(|error| {
                let why = with_causes(&**error);
                problem(format!("no {} are sent: {why}", signal.name()));
            })
            .ok()
    }

    fn build(environment: &Environment<'_>, signal: Signal) -> Result<Self, BoxError> {
        let timeout = signal.variable(environment, "TIMEOUT");
        let timeout = timeout.and_then(|text| text.trim().parse().ok());
        Ok(Self {
            signal,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            certificate: signal.variable(environment, "CERTIFICATE"),
            connector: Mutex::default(),
            timeout: timeout.map_or(TIMEOUT, Duration::from_millis),
            #[cfg(feature = "otel-aws")]
            signer: None,
            failures: Mutex::default(),
        })
    }

    /// A client that signs for X-Ray in `region`.
    #[cfg(feature = "otel-aws")]
    pub(super) fn signing(environment: &Environment<'_>, region: String) -> Option<Self> {
        let mut client = Self::new(environment, Signal::Traces)?;
        client.signer = Some(super::sign::Signer::new(region));
        Some(client)
    }

    #[cfg(not(feature = "otel-aws"))]
    pub(super) fn signing(_: &Environment<'_>, _: String) -> Option<Self> {
        tracing::warn!(
            "no traces are sent: AWS accepts only signed traces; turn on the feature `otel-aws` of `agentcore`"
        );
        None
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, BoxError> {
        #[cfg(feature = "otel-aws")]
        let request = match &self.signer {
            Some(signer) => signer.sign(request).await?,
            None => request,
        };
        let uri = request.uri();
        let host = uri.host().ok_or("the endpoint has no host")?;
        let is_https = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let bare = host.trim_matches(['[', ']']);
        let stream = TcpStream::connect((bare, port)).await?;
        if is_https {
            let stream = tls::connect(&self.connector()?, bare, stream).await?;
            exchange(stream, request).await
        } else {
            exchange(stream, request).await
        }
    }

    fn connector(&self) -> Result<TlsConnector, BoxError> {
        let mut kept = self.connector.lock();
        let kept = kept.get();
        let connector = match kept {
            Some(connector) => connector,
            None => kept.insert(tls::connector(self.certificate.as_deref())?),
        };
        Ok(connector.clone())
    }

    /// Reports that a batch was not sent, at most once a minute.
    fn warn(&self, endpoint: &str, why: &str, status: Option<StatusCode>) {
        let mut failures = self.failures.lock();
        if failures.unwanted {
            return;
        }
        let name = self.signal.name();
        let has_no_place = matches!(
            status,
            Some(
                StatusCode::NOT_FOUND
                    | StatusCode::METHOD_NOT_ALLOWED
                    | StatusCode::NOT_IMPLEMENTED
            )
        );
        if has_no_place && self.signal == Signal::Metrics {
            failures.unwanted = true;
            return tracing::info!("{endpoint} does not accept {name}: {why}");
        }
        failures.unsaid += 1;
        if failures
            .said
            .is_none_or(|said| said.elapsed() >= WARN_EVERY)
        {
            let batches = std::mem::take(&mut failures.unsaid);
            failures.said = Some(Instant::now());
            tracing::warn!(
                "{name} could not be sent to {endpoint}: {why} ({batches} attempts; logged at most once a minute)"
            );
        }
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        if !STEPPED_BACK.replace(true) {
            platform::step_back();
        }
        let endpoint = shown(request.uri());
        // The exporter's thread has nothing else to do, and no runtime.
        let answer = self.runtime.block_on(async {
            match tokio::time::timeout(self.timeout, self.send(request)).await {
                Ok(answer) => answer,
                Err(_) => Err(format!("no answer within {:?}", self.timeout).into()),
            }
        });
        match &answer {
            Ok(answer) if answer.status().is_success() => {}
            Ok(answer) => {
                let status = answer.status();
                self.warn(&endpoint, &format!("it answers {status}"), Some(status));
            }
            Err(error) => self.warn(&endpoint, &with_causes(&**error), None),
        }
        answer
    }
}

/// The address without the parts that may be a secret.
fn shown(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or("http");
    let host = uri.host().unwrap_or_default();
    match uri.port() {
        Some(port) => format!("{scheme}://{host}:{port}{}", uri.path()),
        None => format!("{scheme}://{host}{}", uri.path()),
    }
}

async fn exchange<S>(stream: S, request: Request<Bytes>) -> Result<Response<Bytes>, BoxError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut head, body) = request.into_parts();
    let authority = head.uri.authority().ok_or("the endpoint has no host")?;
    let host = authority.as_str().rsplit('@').next().unwrap_or_default();
    head.headers
        .insert(header::HOST, HeaderValue::from_str(host)?);
    head.headers
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    head.uri = Uri::try_from(path)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Runs on this thread's runtime while the answer is awaited, and ends with it.
    let connection = tokio::spawn(connection);
    let answer = sender
        .send_request(Request::from_parts(head, Full::new(body)))
        .await?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, LARGEST_ANSWER).collect().await?;
    connection.abort();
    Ok(Response::from_parts(head, body.to_bytes()))
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("signal", &self.signal)
            .finish_non_exhaustive()
    }
}
