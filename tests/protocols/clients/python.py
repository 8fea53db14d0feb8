"""The official Python client: lists the tools of the server at the URL of the first argument, and calls one."""

import asyncio
import sys

from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import ElicitResult


async def main(url: str) -> None:
    async with streamable_http_client(url) as streams:
        async with ClientSession(streams[0], streams[1]) as session:
            await session.initialize()
            tools = await session.list_tools()
            names = [tool.name for tool in tools.tools]
            assert "forecast" in names, names
            # The client holds the result against the schema of the list.
            result = await session.call_tool("forecast", {"city": "Bergen", "days": 2})
            assert result.structured_content == {"city": "Bergen", "celsius": [4, 4]}, result
            refused = await session.call_tool("forecast", {"town": "Bergen"})
            assert refused.is_error and "unknown argument `town`" in refused.content[0].text, refused
            seen = []

            async def follow(progress: float, total: float | None, message: str | None) -> None:
                seen.append((progress, message))

            await session.call_tool("test_tool_with_progress", {}, progress_callback=follow)
            assert seen == [(1.0, "0"), (2.0, "50"), (3.0, "100")], seen


            await session.call_tool("test_tool_with_logging", {})


async def ask(url: str) -> None:
    """A client that answers questions gets a session, and is asked in it."""

    async def answer(context, params):
        assert params.message == "What is your name?", params
        return ElicitResult(action="accept", content={"name": "Ada"})

    async with streamable_http_client(url) as streams:
        async with ClientSession(streams[0], streams[1], elicitation_callback=answer) as session:
            await session.initialize()
            result = await session.call_tool("test_input_required_result_elicitation", {})
            assert result.content[0].text == "Hello, Ada!", result


asyncio.run(main(sys.argv[1]))
asyncio.run(ask(sys.argv[1]))
