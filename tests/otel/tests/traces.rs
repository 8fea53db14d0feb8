//! Spans: which exist, what they describe, and what their parents are.

use serde_json::{Value, json};

use crate::receiver::{Receiver, Span, attribute};
use crate::support::websocket::{CLOSE, FINAL, TEXT, handshake, masked};
use crate::support::{Agent, Client, Reply};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

const EXPERIMENT: &str = "arn:aws:bedrock-agentcore:eu-west-1:123456789012:experiment/e";

fn ids() -> String {
    format!(
        "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id: session-1\r\n\
         X-Amzn-Bedrock-AgentCore-Runtime-Request-Id: request-1\r\n\
         traceparent: 00-{TRACE}-{PARENT}-01\r\n\
         tracestate: vendor=value\r\n\
         baggage: tenant=acme,aws.agentcore.gateway.routing_experiment_arn={EXPERIMENT}\r\n"
    )
}

/// An agent that exports at once.
fn start(binary: &str, receiver: &Receiver, more: &[(&str, &str)]) -> Agent {
    let url = receiver.url();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        ("OTEL_METRICS_EXPORTER", "none"),
        ("OTEL_BSP_SCHEDULE_DELAY", "20"),
    ];
    Agent::start(binary, &[&environment, more].concat())
}

fn traced(receiver: &Receiver) -> Agent {
    start(env!("CARGO_BIN_EXE_traced"), receiver, &[])
}

fn send(agent: &Agent, headers: &str, event: &Value) -> Reply {
    let body = event.to_string();
    let length = body.len();
    let request = format!(
        "POST /invocations HTTP/1.1\r\nhost: a\r\n{headers}content-length: {length}\r\n\r\n{body}"
    );
    agent.connect().send(request.as_bytes()).reply()
}

fn find<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let names: Vec<_> = spans.iter().map(|span| &span.span.name).collect();
    spans
        .iter()
        .find(|span| span.span.name == name)
        .unwrap_or_else(|| panic!("no span {name} among {names:?}"))
}

#[test]
fn a_trace_of_the_llm_agent_with_its_task_arrives_whole() {
    let receiver = Receiver::start();
    let resource = "service.name=weather.DEFAULT,aws.service.type=gen_ai_agent,\
                    cloud.resource_id=arn:aws:bedrock:runtime/weather/runtime-endpoint/DEFAULT";
    let agent = start(
        env!("CARGO_BIN_EXE_llm_agent"),
        &receiver,
        &[("OTEL_RESOURCE_ATTRIBUTES", resource)],
    );
    let prompt = json!({ "prompt": "how warm is it in Paris?" });
    let reply = send(&agent, &ids(), &prompt);
    assert_eq!(reply.events().concat_texts(), "It is 15 degrees in Paris.");
    for _ in 0..10 {
        agent.ping();
    }
    let spans = receiver.spans(3);
    assert_eq!(spans.len(), 3, "{spans:#?}");

    let request = find(&spans, "invoke_agent weather");
    assert_eq!(request.parent(), PARENT);
    assert_eq!(request.span.kind, 2, "a server's");
    assert_eq!(request.span.trace_state, "vendor=value");
    for (key, value) in [
        ("gen_ai.operation.name", "invoke_agent"),
        ("gen_ai.agent.name", "weather"),
        ("gen_ai.agent.id", "arn:aws:bedrock:runtime/weather"),
        ("gen_ai.conversation.id", "session-1"),
        ("agentcore.request.id", "request-1"),
        ("code.function.name", "handler"),
        ("http.response.status_code", "200"),
        ("agentcore.outcome", "success"),
    ] {
        assert_eq!(request.attribute(key).as_deref(), Some(value), "{key}");
    }
    let stream = find(&spans, "stream");
    assert_eq!(stream.parent(), request.id());
    let task = find(&spans, "task weather");
    assert!(
        [request.id(), stream.id()].contains(&task.parent()),
        "{task:#?}"
    );
    for span in &spans {
        assert_eq!(span.trace(), TRACE);
        assert_eq!(span.status(), 0);
        assert!(
            span.scope.starts_with("opentelemetry.instrumentation."),
            "{}",
            span.scope
        );
        assert_eq!(span.attribute("session.id").as_deref(), Some("session-1"));
        let experiment = "aws.agentcore.gateway.routing_experiment_arn";
        assert_eq!(span.attribute(experiment).as_deref(), Some(EXPERIMENT));
        assert_eq!(
            span.attribute("tenant"),
            None,
            "the rest is not ours to show"
        );
        let service = attribute(&span.resource, "service.name");
        assert_eq!(service.as_deref(), Some("weather.DEFAULT"));
        assert!(span.span.start_time_unix_nano <= span.span.end_time_unix_nano);
        assert!(request.span.start_time_unix_nano <= span.span.start_time_unix_nano);
    }
}

/// Joins the texts of a stream of words.
trait ConcatTexts {
    fn concat_texts(&self) -> String;
}

impl ConcatTexts for Vec<Value> {
    fn concat_texts(&self) -> String {
        self.iter().filter_map(Value::as_str).collect()
    }
}

#[test]
fn ids_agree_in_replies_logs_spans_and_calls() {
    let receiver = Receiver::start();
    let agent = traced(&receiver);
    let reply = send(&agent, &ids(), &json!({ "action": "step" })).json();
    // The spans of the request, around, step and work.
    let spans = receiver.spans(4);
    let request = find(&spans, "invoke_agent traced");
    assert_eq!(
        reply["request"],
        request.attribute("agentcore.request.id").unwrap()
    );
    assert_eq!(reply["trace"], request.trace());

    let (id, trace) = (request.id(), request.trace());
    let outbound = &reply["outbound"];
    assert_eq!(outbound["traceparent"], format!("00-{trace}-{id}-01"));
    let (time, random) = trace.split_at(8);
    let x_ray = format!("Root=1-{time}-{random};Parent={id};Sampled=1");
    assert_eq!(outbound["x-amzn-trace-id"], x_ray);
    assert_eq!(outbound["tracestate"], "vendor=value");
    assert_eq!(
        outbound["x-amzn-bedrock-agentcore-runtime-session-id"],
        "session-1"
    );
    let baggage = outbound["baggage"].as_str().expect("baggage");
    assert!(
        baggage.contains("tenant=acme") && baggage.contains("session.id=session%2D1"),
        "{baggage}"
    );

    let around = find(&spans, "around");
    let step = find(&spans, "task step");
    let work = find(&spans, "work");
    assert_eq!(around.parent(), id);
    assert_eq!(step.parent(), around.id());
    assert_eq!(work.parent(), step.id());
    assert_eq!(work.attribute("city").as_deref(), Some("Paris"));
    assert_eq!(
        reply["inner"]["traceparent"],
        format!("00-{trace}-{}-01", work.id())
    );
    for (message, span) in [
        ("in the handler", request),
        ("in the step", step),
        ("in the work", work),
    ] {
        let line: Value = serde_json::from_str(&agent.line_with(message)).expect("JSON");
        assert_eq!(line["requestId"], "request-1");
        assert_eq!(line["traceId"], span.trace(), "{line}");
        assert_eq!(line["spanId"], span.id(), "{line}");
    }
}

#[test]
fn work_that_is_spawned_stays_in_its_trace() {
    for (action, count) in [("tokio", 3), ("spawn", 3), ("blocking", 3), ("stream", 4)] {
        let receiver = Receiver::start();
        let agent = traced(&receiver);
        send(&agent, &ids(), &json!({ "action": action }));
        let spans = receiver.spans(count);
        let request = find(&spans, "invoke_agent traced");
        assert!(spans.iter().all(|span| span.trace() == TRACE), "{spans:#?}");
        match action {
            "tokio" => assert_eq!(find(&spans, "task step").parent(), request.id()),
            "blocking" => {
                let inner = find(&spans, "in the background");
                let task = spans.iter().find(|span| span.id() == inner.parent());
                let task = task.expect("a task around it");
                assert!(
                    task.span
                        .name
                        .starts_with("task tests/otel/fixtures/traced.rs:")
                );
                assert_eq!(task.parent(), request.id());
            }
            "stream" => {
                let stream = find(&spans, "stream");
                assert_eq!(stream.parent(), request.id());
                assert_eq!(find(&spans, "task step").parent(), stream.id());
            }
            _ => assert_eq!(
                find(&spans, "work").parent(),
                find(&spans, "task step").id()
            ),
        }
    }
}

#[test]
fn spans_say_how_it_ended() {
    let receiver = Receiver::start();
    let agent = traced(&receiver);
    let mut seen = 0;
    for (action, count, outcome, status, is_error) in [
        ("", 1, "success", 200, false),
        ("error", 1, "error", 500, true),
        ("refuse", 1, "client_error", 418, false),
        ("panic", 1, "panic", 500, true),
        ("late", 2, "timeout", 504, true),
        ("task panic", 2, "panic", 500, true),
        ("broken stream", 2, "error", 200, true),
    ] {
        agent.invoke(json!({ "action": action }));
        let spans = receiver.spans(seen + count);
        let new = &spans[seen..];
        seen += count;
        assert_eq!(new.len(), count, "{action}: {new:#?}");
        let request = find(new, "invoke_agent traced");
        assert_eq!(
            request.attribute("agentcore.outcome").as_deref(),
            Some(outcome)
        );
        assert_eq!(
            request.attribute("http.response.status_code"),
            Some(status.to_string())
        );
        assert_eq!(request.status(), if is_error { 2 } else { 0 }, "{action}");
        let error = request.attribute("error.type");
        assert_eq!(error.as_deref(), is_error.then_some(outcome));
        for (name, outcome) in [
            ("task hang", "cancelled"),
            ("task breaks", "panic"),
            ("stream", "error"),
        ] {
            if let Some(span) = new.iter().find(|span| span.span.name == name) {
                assert_eq!(
                    span.attribute("agentcore.outcome").as_deref(),
                    Some(outcome),
                    "{name}"
                );
            }
        }
        assert!(!format!("{new:?}").contains("secret"), "{new:#?}");
    }
}

#[test]
fn a_trace_that_is_not_sampled_is_not_sent_and_stays_so() {
    let receiver = Receiver::start();
    let agent = traced(&receiver);
    let w3c = format!("traceparent: 00-{TRACE}-{PARENT}-00\r\n");
    let x_ray = "X-Amzn-Trace-Id: Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Sampled=0\r\n";
    for headers in [w3c.as_str(), x_ray] {
        let reply = send(&agent, headers, &json!({ "action": "step" })).json();
        let parent = reply["outbound"]["traceparent"].as_str().expect("a parent");
        assert!(parent.starts_with(&format!("00-{TRACE}-")), "{parent}");
        assert!(parent.ends_with("-00"), "{parent}");
        let inner = reply["inner"]["x-amzn-trace-id"]
            .as_str()
            .expect("a parent");
        assert!(inner.ends_with(";Sampled=0"), "{inner}");
    }
    // This request is sampled, and comes after those that are not.
    send(&agent, "", &json!({}));
    let spans = receiver.spans(1);
    assert_eq!(spans.len(), 1, "{spans:#?}");
    assert_ne!(spans[0].trace(), TRACE);
}

#[test]
fn x_rays_header_is_as_good() {
    let receiver = Receiver::start();
    let agent = traced(&receiver);
    let root = "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736";
    let header = format!("X-Amzn-Trace-Id: {root};Parent={PARENT};Sampled=1\r\n");
    send(&agent, &header, &json!({}));
    let spans = receiver.spans(1);
    assert_eq!(
        (spans[0].trace().as_str(), spans[0].parent().as_str()),
        (TRACE, PARENT)
    );
    // The header names only the trace, so the agent's span is its first.
    let reply = send(&agent, &format!("X-Amzn-Trace-Id: {root}\r\n"), &json!({})).json();
    let spans = receiver.spans(2);
    assert_eq!(spans[1].trace(), TRACE);
    assert_eq!(spans[1].parent(), "");
    assert_eq!(reply["trace"], TRACE);
    // The next request does not belong to that trace.
    send(&agent, "", &json!({}));
    assert_ne!(receiver.spans(3)[2].trace(), TRACE);
}

#[test]
fn a_socket_is_one_span_from_its_handshake_to_its_end() {
    let receiver = Receiver::start();
    let agent = traced(&receiver);
    let mut client: Client = agent.connect().send(handshake(&ids()).as_bytes());
    assert_eq!(client.head().0, 101);
    client.write(&masked(FINAL | TEXT, b"hello"));
    // Its task, and the span in the task.
    receiver.spans(2);
    client.write(&masked(FINAL | CLOSE, &[]));
    client.rest();
    let spans = receiver.spans(3);
    let socket = find(&spans, "invoke_agent traced");
    assert_eq!(socket.parent(), PARENT);
    assert_eq!(socket.attribute("url.path").as_deref(), Some("/ws"));
    assert_eq!(
        socket.attribute("agentcore.outcome").as_deref(),
        Some("success")
    );
    assert_eq!(find(&spans, "task step").parent(), socket.id());
}

#[test]
fn a_program_may_have_a_subscriber_and_a_runtime_of_its_own() {
    let receiver = Receiver::start();
    let agent = start(env!("CARGO_BIN_EXE_own_subscriber"), &receiver, &[]);
    send(&agent, &ids(), &json!({}));
    let spans = receiver.spans(2);
    let own = find(&spans, "of my own");
    assert_eq!(
        own.parent(),
        find(&spans, "invoke_agent own_subscriber").id()
    );
    let line: Value = serde_json::from_str(&agent.line_with("in my own span")).expect("JSON");
    assert_eq!(line["requestId"], "request-1");
    assert_eq!(line["spanId"], own.id());
}

/// OpenTelemetry's baggage has room for 64 entries. The rest is dropped.
#[test]
fn the_session_and_the_experiment_are_on_the_span_whatever_else_is_in_the_baggage() {
    let receiver = Receiver::start();
    let agent = traced(&receiver);
    let many: Vec<_> = (0..70).map(|number| format!("k{number}=v")).collect();
    let baggage = "baggage: ".to_owned() + &many.join(",") + ",";
    send(&agent, &ids().replace("baggage: ", &baggage), &json!({}));
    let span = receiver.spans(1).remove(0);
    assert_eq!(span.attribute("session.id").as_deref(), Some("session-1"));
    let experiment = "aws.agentcore.gateway.routing_experiment_arn";
    assert_eq!(span.attribute(experiment).as_deref(), Some(EXPERIMENT));
}

#[test]
fn what_is_cut_off_is_sent_as_such() {
    const COUNT: usize = 24;
    let receiver = Receiver::start();
    let grace = ("AGENTCORE_SHUTDOWN_GRACE", "50ms");
    let delay = ("OTEL_BSP_SCHEDULE_DELAY", "60000");
    // No limit ends them before the stop.
    let limit = ("ENTRYPOINT_TIMEOUT_MS", "600000");
    let agent = start(
        env!("CARGO_BIN_EXE_traced"),
        &receiver,
        &[grace, delay, limit],
    );
    let late = json!({ "action": "late" });
    let running: Vec<_> = (0..COUNT)
        .map(|_| agent.invoke_later(late.clone()))
        .collect();
    for _ in 0..COUNT {
        agent.line_with("in the handler");
    }
    agent.signal("TERM");
    assert_eq!(agent.wait().0.code(), Some(1));
    for reply in running {
        assert_eq!(reply.join().expect("a reply").status, 503);
    }
    let spans = receiver.spans(2 * COUNT);
    for span in &spans {
        assert_eq!(
            span.attribute("agentcore.outcome").as_deref(),
            Some("cut_off")
        );
        assert_eq!(span.status(), 2);
    }
}

#[test]
fn a_task_that_takes_too_long_is_no_success() {
    let receiver = Receiver::start();
    let agent = traced(&receiver);
    send(&agent, &ids(), &json!({ "action": "task late" }));
    let spans = receiver.spans(2);
    let task = find(&spans, "task hurries");
    assert_eq!(
        task.attribute("agentcore.outcome").as_deref(),
        Some("timeout")
    );
    assert_eq!(task.status(), 2);
}

/// A trace from a broken `traceparent` has no parent, and what came with the header is ignored.
#[test]
fn the_state_of_a_trace_goes_with_it_and_not_alone() {
    let receiver = Receiver::start();
    let agent = traced(&receiver);
    let reply = send(
        &agent,
        "traceparent: bad\r\ntracestate: a=b\r\n",
        &json!({}),
    );
    assert_eq!(reply.json()["outbound"]["tracestate"], Value::Null);
    let whole = ids().replace("tracestate:", "tracestate: a=b\r\ntracestate:");
    let reply = send(&agent, &whole, &json!({}));
    assert_eq!(reply.json()["outbound"]["tracestate"], "a=b,vendor=value");
}
