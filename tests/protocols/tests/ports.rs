//! The port of the Model Context Protocol among the other ports of an agent.

use serde_json::json;

use crate::support::{Agent, Client, failed_start, free_port, get, run};
use crate::{ACCEPT, BOTH_PORTS, FURTHER_PORTS, TOOLS_ONLY, call, mcp_address, message, send};

/// A start and `--check` both refuse this environment, with this problem and no other.
fn is_refused(binary: &str, environment: &[(&str, &str)], line: &str) {
    let (status, said) = failed_start(binary, environment);
    assert_eq!(status.code(), Some(1), "{said}");
    let checked = run(binary, &["--check"], environment);
    assert_eq!(checked.code, Some(1), "{}", checked.stdout);
    // A start says it in the log as well.
    for said in [said, checked.stderr] {
        let lines: Vec<_> = said.lines().filter(|line| !line.is_empty()).collect();
        assert!(!lines.is_empty());
        assert!(
            lines.iter().all(|said| said.contains(line)),
            "{line} in {said}"
        );
    }
}

#[test]
fn routes_on_the_port_of_the_tools_are_refused() {
    let port = free_port().to_string();
    let line = format!("have port {port}, which is AGENTCORE_MCP_PORT; give them another port");
    let environment = [("ROUTES_PORT", &*port), ("AGENTCORE_MCP_PORT", &*port)];
    is_refused(FURTHER_PORTS, &environment, &line);
    let mounted = [environment[0], environment[1], ("MOUNTED", "1")];
    is_refused(FURTHER_PORTS, &mounted, &line);
}

#[test]
fn two_settings_cannot_name_one_port() {
    let port = free_port().to_string();
    for variable in ["AGENTCORE_PORT", "AGENTCORE_ADMIN_PORT"] {
        let environment = [("AGENTCORE_MCP_PORT", &*port), (variable, &*port)];
        let line = format!("AGENTCORE_MCP_PORT is `{port}`; it takes another port than {variable}");
        is_refused(BOTH_PORTS, &environment, &line);
    }
}

#[test]
fn the_path_is_none_that_the_agent_serves_itself() {
    let taken = [("AGENTCORE_MCP_PATH", "/ping")];
    let line =
        "AGENTCORE_MCP_PATH is `/ping`; it takes a path that the agent does not serve itself";
    is_refused(BOTH_PORTS, &taken, line);
    let warmup = [
        ("AGENTCORE_MCP_PATH", "/a"),
        ("AGENTCORE_WARMUP_PATH", "/a"),
    ];
    let line = "AGENTCORE_WARMUP_PATH is `/a`; it takes another path than AGENTCORE_MCP_PATH";
    is_refused(BOTH_PORTS, &warmup, line);
    for wrong in ["mcp", "/mcp/", "/a b"] {
        let line = format!("AGENTCORE_MCP_PATH is `{wrong}`; it takes a path");
        is_refused(BOTH_PORTS, &[("AGENTCORE_MCP_PATH", wrong)], &line);
    }
}

#[test]
fn tools_and_routes_have_a_port_each_and_one_status() {
    let agent = Agent::start(FURTHER_PORTS, &[("ROUTES_PORT", "0")]);
    let tools = mcp_address(&agent);
    assert_eq!(tools, agent.address(), "nothing is left for another port");
    let routes = agent.ready_line().split("routes http://").nth(1);
    let routes = routes.and_then(|rest| rest.split([' ', '"', ';']).next()?.trim().parse().ok());
    let routes = routes.expect("the address of the routes");
    let reply = Client::connect(routes).send(&get("/")).reply();
    assert_eq!(reply.status, 200);
    let ping = json!({ "jsonrpc": "2.0", "method": "ping", "id": 1 });
    let to_routes = message("/mcp", "", &ping.to_string());
    assert_eq!(
        Client::connect(routes)
            .send(&to_routes)
            .reply()
            .header("content-type"),
        None
    );
    let reply = send(tools, ACCEPT, &call("echo", &json!({ "text": "a tool" }))).json();
    assert_eq!(reply["result"]["content"][0]["text"], "a tool");
    let pings =
        [tools, routes].map(|port| Client::connect(port).send(&get("/ping")).reply().json());
    assert_eq!(pings[0], pings[1]);
}

#[test]
fn a_port_of_tools_alone_serves_operators_and_the_warm_up() {
    let agent = Agent::start(
        FURTHER_PORTS,
        &[("AGENTCORE_METRICS", "true"), ("AGENTCORE_PROBES", "true")],
    );
    assert_eq!(agent.get("/readyz").status, 200);
    assert_eq!(agent.get("/metrics").status, 200);
    let warmup = message("/warmup", "", "{}");
    assert_eq!(agent.ask(&warmup).status, 200);
    // Beside an entrypoint, the agent's own port has them.
    let agent = Agent::start(BOTH_PORTS, &[("AGENTCORE_METRICS", "true")]);
    let tools = mcp_address(&agent);
    assert_eq!(
        Client::connect(tools).send(&get("/metrics")).reply().status,
        404
    );
    // The platform sends the warm-up to the port of the protocol that the runtime is configured with.
    for port in [tools, agent.address()] {
        assert_eq!(Client::connect(port).send(&warmup).reply().status, 200);
    }
    // Without a hook, the reply says what is missing.
    let agent = Agent::start(TOOLS_ONLY, &[]);
    let reply = Client::connect(mcp_address(&agent)).send(&warmup).reply();
    assert_eq!(reply.status, 404);
    let said = reply.json()["error"].to_string();
    assert!(said.contains("`#[agentcore::on_warmup]`"), "{said}");
}
