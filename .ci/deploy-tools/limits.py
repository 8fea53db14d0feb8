"""The limits of a service's model that botocore itself does not check."""

import re


def problems(value, shape, where):
    """What the service would refuse of `value`, and botocore's validation lets pass."""
    limits = shape.metadata
    if shape.type_name == "structure":
        if limits.get("union") and len(value) != 1:
            yield f"{where}: exactly one member, not {sorted(value)}"
        for name, member in value.items():
            yield from problems(member, shape.members[name], f"{where}.{name}")
    elif shape.type_name == "list":
        if len(value) > limits.get("max", len(value)):
            yield f"{where}: more than {limits['max']} items"
        for index, item in enumerate(value):
            yield from problems(item, shape.member, f"{where}[{index}]")
    elif shape.type_name == "map":
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
