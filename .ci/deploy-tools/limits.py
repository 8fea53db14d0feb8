"""The limits of a service's model that botocore itself does not check, and rules that the model states in words alone."""

import re

RESERVED = 8443
# The port and the path of invocations, without others in the protocol's configuration.
SERVED = {
    "HTTP": (8080, "/invocations"),
    "AGUI": (8080, "/invocations"),
    "MCP": (8000, "/mcp"),
    "A2A": (9000, "/"),
}


def of_runtime(runtime, where):
    """What breaks a rule in a request that creates or updates a runtime."""
    protocol = runtime.get("protocolConfiguration", {})
    served_port, served_path = SERVED[protocol.get("serverProtocol", "HTTP")]
    served_port = protocol.get("port", served_port)
    served_path = protocol.get("path", served_path)
    ports = [(served_port, served_port)]

    warmup = runtime.get("hooksConfiguration", {}).get("build", {}).get("warmup")
    if warmup is not None:
        post = warmup["action"]["httpPost"]
        port = post.get("port", served_port)
        ports.append((port, port))
        if port == served_port and post["path"] in ("/ping", "/ws", served_path):
            yield f"{where}: the agent serves {post['path']} already, so it is no path of a hook"
        if runtime.get("platformVersion") == "V1":
            yield f"{where}: V1 has no hooks"
        if "capacityProviderConfiguration" in runtime:
            yield f"{where}: Instances have no hooks"

    allowed = []
    for entry in runtime.get("allowedPorts", []):
        between = entry.get("portRange", {"from": entry.get("port"), "to": entry.get("port")})
        first, last = between["from"], between["to"]
        if first > last:
            yield f"{where}: the ports {first} to {last} are none"
        if any(first <= upper and lower <= last for lower, upper in allowed):
            yield f"{where}: the allowed ports {first} to {last} overlap with others"
        allowed.append((first, last))
    if any(first <= RESERVED <= last for first, last in ports + allowed):
        yield f"{where}: port {RESERVED} is reserved"


def problems(value, shape, where):
    """What the service would refuse of `value`, and botocore's validation lets pass."""
    limits = shape.metadata
    if shape.type_name == "structure":
        found = [problem for name, one in value.items() for problem in problems(one, shape.members[name], f"{where}.{name}")]
        if limits.get("union") and len(value) != 1:
            found.append(f"{where}: exactly one member, not {sorted(value)}")
        yield from found
        if not found and shape.name in ("CreateAgentRuntimeRequest", "UpdateAgentRuntimeRequest"):
            yield from of_runtime(value, where)
    elif shape.type_name == "list":
        if len(value) > limits.get("max", len(value)):
            yield f"{where}: more than {limits['max']} items"
        for index, item in enumerate(value):
            yield from problems(item, shape.member, f"{where}[{index}]")
    elif shape.type_name == "map":
        if len(value) > limits.get("max", len(value)):
            yield f"{where}: more than {limits['max']} entries"
        for key, item in value.items():
            yield from problems(key, shape.key, f"{where} key {key!r}")
            yield from problems(item, shape.value, f"{where}.{key}")
    elif shape.type_name == "string":
        # Patterns are written for another dialect; those that Python cannot read say nothing.
        try:
            pattern = re.compile(limits.get("pattern", ".*"), re.DOTALL)
        except re.error:
            pattern = re.compile(".*", re.DOTALL)
        if not pattern.fullmatch(value):
            yield f"{where}: {value!r} is not {limits['pattern']}"
        if len(value) > limits.get("max", len(value)):
            yield f"{where}: longer than {limits['max']}"
        if shape.enum and value not in shape.enum:
            yield f"{where}: {value!r} is none of {', '.join(shape.enum)}"
    elif shape.type_name == "integer" and value > limits.get("max", value):
        yield f"{where}: {value} is over {limits['max']}"
