//! Takes OTLP over HTTP, as a collector does, and keeps it.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1 as wire;
use prost::Message as _;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::DEADLINE;

/// A span, and what was sent around it.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) span: wire::Span,
    /// The name of its instrumentation scope.
    pub(crate) scope: String,
    pub(crate) resource: Vec<KeyValue>,
}

/// The value of an attribute, as text.
pub(crate) fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text.clone()),
        any_value::Value::IntValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    }
}

impl Span {
    pub(crate) fn attribute(&self, key: &str) -> Option<String> {
        attribute(&self.span.attributes, key)
    }

    pub(crate) fn trace(&self) -> String {
        hex(&self.span.trace_id)
    }

    pub(crate) fn id(&self) -> String {
        hex(&self.span.span_id)
    }

    pub(crate) fn parent(&self) -> String {
        hex(&self.span.parent_span_id)
    }

    /// The status: 0 is unset, 1 is good, 2 is an error.
    pub(crate) fn status(&self) -> i32 {
        self.span.status.as_ref().map_or(0, |status| status.code)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One request as it was received.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    pub(crate) head: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Raw {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().skip(1).find_map(|line| {
            let (known, value) = line.split_once(": ")?;
            known.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

#[derive(Default)]
struct Received {
    spans: Vec<Span>,
    metrics: Vec<Metric>,
    requests: Vec<Raw>,
}

pub(crate) struct Receiver {
    address: SocketAddr,
    received: Arc<(Mutex<Received>, Condvar)>,
}

impl Receiver {
    /// A receiver that answers every request with `status`.
    pub(crate) fn answering(status: &'static str) -> Self {
        Self::with(move |stream| Some(answer(stream, status)))
    }

    /// A receiver that speaks TLS, and the file with its self-signed certificate.
    pub(crate) fn over_tls(name: &str) -> (Self, PathBuf) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        let made = made.expect("a certificate");
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.pem"));
        std::fs::write(&file, made.cert.pem()).expect("a file");
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .expect("a certificate");
        let config = Arc::new(config);
        let receiver = Self::with(move |mut stream| {
            let mut tls = ServerConnection::new(Arc::clone(&config)).expect("a connection");
            // A client that does not trust the certificate leaves here.
            tls.complete_io(&mut stream).ok()?;
            Some(answer(StreamOwned::new(tls, stream), "200 OK"))
        });
        (receiver, file)
    }

    /// A receiver that serves connections with `serve`.
    fn with(serve: impl Fn(TcpStream) -> Option<Raw> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let received = Arc::<(Mutex<Received>, Condvar)>::default();
        let keep = Arc::clone(&received);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let Some(request) = serve(stream) else {
                    continue;
                };
                let mut received = keep.0.lock().expect("no panic under this lock");
                received.take(request);
                keep.1.notify_all();
            }
        });
        Self { address, received }
    }

    pub(crate) fn start() -> Self {
        Self::answering("200 OK")
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn https_url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// Waits for at least `count` spans. Returns all of them.
    pub(crate) fn spans(&self, count: usize) -> Vec<Span> {
        self.until(|received| (received.spans.len() >= count).then(|| received.spans.clone()))
    }

    /// Waits for a metric of this name, and returns the latest.
    pub(crate) fn metric(&self, name: &str, is_good: impl Fn(&Metric) -> bool) -> Metric {
        self.until(|received| {
            let mut metrics = received.metrics.iter().rev();
            metrics
                .find(|metric| metric.name == name && is_good(metric))
                .cloned()
        })
    }

    /// Waits for at least `count` requests.
    pub(crate) fn requests(&self, count: usize) -> Vec<Raw> {
        self.until(|received| (received.requests.len() >= count).then(|| received.requests.clone()))
    }

    /// The number of spans so far.
    pub(crate) fn count(&self) -> usize {
        self.received
            .0
            .lock()
            .expect("no panic under this lock")
            .spans
            .len()
    }

    fn until<T>(&self, look: impl Fn(&Received) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        let (received, more) = &*self.received;
        let mut received = received.lock().expect("no panic under this lock");
        loop {
            if let Some(found) = look(&received) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "it did not come; spans: {:#?}",
                names(&received)
            );
            received = more
                .wait_timeout(received, left)
                .expect("no panic under this lock")
                .0;
        }
    }
}

fn names(received: &Received) -> Vec<&str> {
    let spans = received.spans.iter();
    spans.map(|span| span.span.name.as_str()).collect()
}

impl Received {
    fn take(&mut self, request: Raw) {
        let path = request.head[0].clone();
        if path.starts_with("POST /v1/traces ") {
            let batch = ExportTraceServiceRequest::decode(&*request.body).expect("spans");
            for of_resource in batch.resource_spans {
                let resource = of_resource
                    .resource
                    .map_or_else(Vec::new, |all| all.attributes);
                for of_scope in of_resource.scope_spans {
                    let scope = of_scope.scope.map_or_else(String::new, |scope| scope.name);
                    self.spans
                        .extend(of_scope.spans.into_iter().map(|span| Span {
                            span,
                            scope: scope.clone(),
                            resource: resource.clone(),
                        }));
                }
            }
        } else {
            assert!(path.starts_with("POST /v1/metrics "), "{path}");
            let batch = ExportMetricsServiceRequest::decode(&*request.body).expect("metrics");
            let scopes = batch
                .resource_metrics
                .into_iter()
                .flat_map(|of| of.scope_metrics);
            self.metrics.extend(scopes.flat_map(|of| of.metrics));
        }
        self.requests.push(request);
    }
}

/// Reads one request and answers it.
fn answer(stream: impl Read + Write, status: &str) -> Raw {
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).expect("a head");
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        head.push(line);
    }
    let mut request = Raw {
        head,
        body: Vec::new(),
    };
    let length = request.header("content-length").expect("a length");
    request.body = vec![0; length.parse().expect("a number")];
    stream
        .read_exact(&mut request.body)
        .expect("the whole body");
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    stream
        .get_mut()
        .write_all(answer.as_bytes())
        .expect("an answer");
    request
}
