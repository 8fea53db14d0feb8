//! Sets up the one pipeline of the process, as the environment asks.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{InstrumentationScope, Key};
use opentelemetry_otlp::{
    MetricExporter, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::sync::oneshot;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::registry::LookupSpan;

use super::SCOPE;
use super::ids::{Stamp, SystemIds};
use super::instruments::Instruments;
use super::send::{Client, Signal};
use crate::config::Environment;
use crate::metrics::Gauges;
use crate::report;
use crate::util::sync::Mutex;

static PIPELINE: OnceLock<Option<Pipeline>> = OnceLock::new();

/// Why something is not sent. It is kept here until the log is set up.
static PROBLEMS: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) tracer: SdkTracer,
    pub(super) agent: AgentNames,
    pub(super) instruments: Option<Instruments>,
    traces: SdkTracerProvider,
    metrics: Option<SdkMeterProvider>,
}

/// The names of the agent in spans.
#[derive(Debug)]
pub(super) struct AgentNames {
    pub(super) name: String,
    /// The runtime's ARN.
    pub(super) id: Option<String>,
    pub(super) span_name: Cow<'static, str>,
}

pub(super) fn pipeline() -> Option<&'static Pipeline> {
    PIPELINE.get()?.as_ref()
}

pub(crate) fn is_on() -> bool {
    pipeline().is_some()
}

/// Makes the pipeline, once, if the environment asks for one.
pub(crate) fn start(environment: &Environment<'_>, gauges: Gauges) {
    PIPELINE.get_or_init(|| Pipeline::of(environment, gauges));
}

/// The problems with the environment's variables since the last call.
pub(crate) fn problems() -> Vec<String> {
    let mut problems = PROBLEMS.lock();
    std::mem::take(&mut problems)
}

/// Records a problem. Telemetry starts before the log, which has to know whether spans are wanted, so the log gets it later.
pub(super) fn problem(problem: String) {
    let mut problems = PROBLEMS.lock();
    problems.push(problem);
}

/// Where the environment sends telemetry.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Destination {
    Nowhere,
    /// A collector. The exporter reads its address from the same variables.
    Collector,
    /// AWS's own endpoint for traces, signed.
    Aws {
        region: String,
        url: String,
    },
}

impl Destination {
    fn of(environment: &Environment<'_>) -> Self {
        let get = |name| (environment.variable)(name).filter(|text| !text.trim().is_empty());
        let is_true = |name| get(name).is_some_and(|text| text.trim().eq_ignore_ascii_case("true"));
        let none = |name| get(name).is_some_and(|text| text.trim() == "none");
        if is_true("OTEL_SDK_DISABLED") || none("OTEL_TRACES_EXPORTER") {
            return Self::Nowhere;
        }
        let endpoints = [
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
        ];
        if let Some(endpoint) = endpoints.into_iter().find_map(get) {
            return match region_of_x_ray(&endpoint) {
                Some(region) => Self::Aws {
                    region: region.to_owned(),
                    url: endpoint,
                },
                None => Self::Collector,
            };
        }
        if !is_true("AGENT_OBSERVABILITY_ENABLED") {
            return Self::Nowhere;
        }
        let Some(region) = get("AWS_REGION").or_else(|| get("AWS_DEFAULT_REGION")) else {
            problem(
                "no traces are sent: AGENT_OBSERVABILITY_ENABLED is set, but neither an OTLP endpoint nor AWS_REGION is"
                    .to_owned(),
            );
            return Self::Nowhere;
        };
        let url = match get("AWS_ENDPOINT_URL_XRAY") {
            Some(base) => format!("{}/v1/traces", base.trim_end_matches('/')),
            None => {
                let domain = if region.starts_with("cn-") {
                    "amazonaws.com.cn"
                } else {
                    "amazonaws.com"
                };
                format!("https://xray.{region}.{domain}/v1/traces")
            }
        };
        Self::Aws { region, url }
    }
}

/// The region, if `endpoint` is X-Ray's own. AWS's distribution recognises it in this way.
fn region_of_x_ray(endpoint: &str) -> Option<&str> {
    let host = endpoint
        .strip_prefix("https://xray.")?
        .strip_suffix("/v1/traces")?;
    let region = host
        .strip_suffix(".amazonaws.com.cn")
        .or_else(|| host.strip_suffix(".amazonaws.com"))?;
    let is_name = !region.is_empty() && !region.contains(['.', '/', '@', ':']);
    is_name.then_some(region)
}

impl Pipeline {
    fn of(environment: &Environment<'_>, gauges: Gauges) -> Option<Self> {
        let (client, url) = match Destination::of(environment) {
            Destination::Nowhere => {
                warn_of_lone_metrics(environment);
                return None;
            }
            Destination::Collector => (Client::new(environment, Signal::Traces)?, None),
            Destination::Aws { region, url } => (Client::signing(environment, region)?, Some(url)),
        };
        let mut exporter = SpanExporter::builder().with_http().with_http_client(client);
        if let Some(url) = url {
            exporter = exporter.with_endpoint(url);
        }
        let exporter = exporter
            .build()
            .inspect_err(|error| problem(format!("no traces are sent: {error}")))
            .ok()?;
        let resource = resource(environment);
        let provider = SdkTracerProvider::builder()
            .with_id_generator(SystemIds)
            .with_resource(resource.clone())
            // In this order: the exporter must see the attributes that `Stamp` adds.
            .with_span_processor(Stamp)
            .with_batch_exporter(exporter)
            .build();
        let scope = InstrumentationScope::builder(SCOPE)
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        let metrics = meter_provider(environment, resource.clone());
        let instruments = metrics
            .as_ref()
            .map(|provider| Instruments::new(&provider.meter_with_scope(scope.clone()), gauges));
        Some(Self {
            tracer: provider.tracer_with_scope(scope),
            agent: AgentNames::of(&resource),
            instruments,
            traces: provider,
            metrics,
        })
    }

    fn flush(&self) {
        // Failures have been reported where they happened.
        let _ = self.traces.force_flush();
        if let Some(metrics) = &self.metrics {
            let _ = metrics.force_flush();
        }
    }
}

/// Warns of an endpoint for metrics alone, which is a mistake: without traces no metrics are sent.
fn warn_of_lone_metrics(environment: &Environment<'_>) {
    let is_set = |name| (environment.variable)(name).is_some_and(|text| !text.trim().is_empty());
    let is_off = ["OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER"]
        .into_iter()
        .any(is_set);
    if is_set("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT") && !is_off {
        problem(
            "no metrics are sent: metrics are sent only with traces, and no endpoint for traces is set"
                .to_owned(),
        );
    }
}

/// Makes the exporter of metrics. They go to a collector only: AWS has no OTLP endpoint for them.
fn meter_provider(environment: &Environment<'_>, resource: Resource) -> Option<SdkMeterProvider> {
    let get = |name| (environment.variable)(name).filter(|text| !text.trim().is_empty());
    let endpoint =
        get("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT").or_else(|| get("OTEL_EXPORTER_OTLP_ENDPOINT"));
    if endpoint.is_none() || get("OTEL_METRICS_EXPORTER").is_some_and(|exporter| exporter == "none")
    {
        return None;
    }
    let client = Client::new(environment, Signal::Metrics)?;
    let exporter = MetricExporter::builder()
        .with_http()
        .with_http_client(client)
        .build()
        .inspect_err(|error| problem(format!("no metrics are sent: {error}")))
        .ok()?;
    let provider = SdkMeterProvider::builder()
        .with_resource(resource)
        .with_periodic_exporter(exporter)
        .build();
    Some(provider)
}

/// The attributes of `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`. The default name is the program's.
fn resource(environment: &Environment<'_>) -> Resource {
    let detected = Resource::builder().build();
    let get = |name| (environment.variable)(name);
    let is_named = get("OTEL_SERVICE_NAME").is_some_and(|name| !name.is_empty())
        || get("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|text| names_the_service(&text));
    let program = std::env::current_exe().ok();
    let program = program
        .as_deref()
        .and_then(|path| path.file_stem()?.to_str());
    match program.filter(|_| !is_named) {
        Some(name) => Resource::builder()
            .with_service_name(name.to_owned())
            .build(),
        None => detected,
    }
}

fn names_the_service(attributes: &str) -> bool {
    let mut keys = attributes
        .split(',')
        .filter_map(|entry| entry.split_once('='));
    keys.any(|(key, _)| key.trim() == "service.name")
}

impl AgentNames {
    fn of(resource: &Resource) -> Self {
        let get = |name: &'static str| resource.get(&Key::from_static_str(name));
        let name = get("service.name").map(|name| name.to_string());
        let name = name.unwrap_or_default();
        // The platform appends the endpoint to the name and to the ARN.
        let name = name.strip_suffix(".DEFAULT").unwrap_or(&name);
        let id = get("cloud.resource_id").map(|arn| {
            let arn = arn.to_string();
            let end = arn.find("/runtime-endpoint/").unwrap_or(arn.len());
            arn[..end].to_owned()
        });
        Self {
            name: name.to_owned(),
            id,
            span_name: format!("invoke_agent {name}").into(),
        }
    }
}

/// Sends all pending telemetry, and waits at most `patience`. It runs on a new thread, so that a collector that does not answer
/// blocks none of the caller's.
pub(crate) async fn flush(patience: Duration) {
    let Some(pipeline) = pipeline() else { return };
    let (sender, flushed) = oneshot::channel();
    let flusher = std::thread::Builder::new().name("agentcore-flush".to_owned());
    let started = flusher.spawn(move || {
        pipeline.flush();
        let _ = sender.send(());
    });
    if started.is_ok() && tokio::time::timeout(patience, flushed).await.is_err() {
        // The process is about to end, even if nothing reads its log.
        report::without_waiting(|| {
            tracing::warn!(
                "the last traces were not sent within {}",
                humantime::format_duration(patience)
            );
        });
    }
}

/// The spans and events that are exported. Those of the SDK of the Model Context Protocol are not: they have ids of sessions, with which
/// anybody can use them, and the contents of messages.
fn exported() -> Targets {
    Targets::new()
        .with_default(LevelFilter::INFO)
        .with_target("rmcp", LevelFilter::OFF)
}

/// A layer that exports the program's own `tracing` spans; `None` while tracing is off.
pub(crate) fn span_layer<S>() -> Option<impl Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let Pipeline { tracer, .. } = pipeline()?;
    let layer = tracing_opentelemetry::layer()
        .with_tracer(tracer.clone())
        .with_threads(false);
    Some(layer.with_filter(exported()))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    fn destination(variables: &[(&str, &str)]) -> Destination {
        let variable = |asked: &str| {
            let found = variables.iter().find(|(name, _)| *name == asked);
            found.map(|(_, value)| (*value).to_owned())
        };
        Destination::of(&Environment {
            variable: &variable,
            in_container: false,
        })
    }

    #[test]
    fn the_sdk_of_the_protocol_exports_nothing() {
        let filter = exported();
        for target in [
            "rmcp",
            "rmcp::service",
            "rmcp::transport::streamable_http_server::tower",
        ] {
            assert!(!filter.would_enable(target, &Level::ERROR), "{target}");
        }
        assert!(filter.would_enable("my_agent", &Level::INFO));
        assert!(!filter.would_enable("my_agent", &Level::DEBUG));
    }

    #[test]
    fn nothing_is_sent_unless_somebody_asks() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
        assert_eq!(destination(&[]), Destination::Nowhere);
        assert_eq!(destination(&[endpoint]), Destination::Collector);
        for off in [
            ("OTEL_SDK_DISABLED", "true"),
            ("OTEL_TRACES_EXPORTER", "none"),
        ] {
            assert_eq!(destination(&[endpoint, off]), Destination::Nowhere);
        }
    }

    #[test]
    fn on_the_platform_traces_go_to_the_region_unless_there_is_an_endpoint() {
        let on = ("AGENT_OBSERVABILITY_ENABLED", "true");
        let aws = |region: &str, url: &str| Destination::Aws {
            region: region.to_owned(),
            url: url.to_owned(),
        };
        assert_eq!(
            destination(&[on, ("AWS_REGION", "eu-west-1")]),
            aws(
                "eu-west-1",
                "https://xray.eu-west-1.amazonaws.com/v1/traces"
            )
        );
        assert_eq!(
            destination(&[on, ("AWS_DEFAULT_REGION", "cn-north-1")]),
            aws(
                "cn-north-1",
                "https://xray.cn-north-1.amazonaws.com.cn/v1/traces"
            )
        );
        let dev = (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://host.docker.internal:4318",
        );
        assert_eq!(
            destination(&[on, ("AWS_REGION", "eu-west-1"), dev]),
            Destination::Collector
        );
        assert_eq!(destination(&[on]), Destination::Nowhere);
    }

    #[test]
    fn x_rays_own_endpoint_is_signed_and_what_only_looks_like_it_is_not() {
        let with = |endpoint| destination(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint)]);
        assert!(matches!(
            with("https://xray.us-east-1.amazonaws.com/v1/traces"),
            Destination::Aws { region, .. } if region == "us-east-1"
        ));
        for other in [
            "http://xray.us-east-1.amazonaws.com/v1/traces",
            "https://xray.evil.example/x.amazonaws.com/v1/traces",
            "https://xray.a.b.amazonaws.com/v1/traces",
            "https://collector/v1/traces",
        ] {
            assert_eq!(with(other), Destination::Collector, "{other}");
        }
    }
}
