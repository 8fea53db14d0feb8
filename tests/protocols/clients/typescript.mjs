// The official TypeScript clients: the one of revisions with a handshake, and the one of 2026-07-28.
import assert from "node:assert";
import { Client } from "@modelcontextprotocol/client";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { Client as LegacyClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as LegacyTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const url = new URL(process.argv[2]);
const who = { name: "test", version: "1.0.0" };

for (const [client, transport] of [
    [new LegacyClient(who), new LegacyTransport(url)],
    [new Client(who), new StreamableHTTPClientTransport(url)],
]) {
    await client.connect(transport);
    const { tools } = await client.listTools();
    assert(tools.some((tool) => tool.name === "forecast"));
    const result = await client.callTool({ name: "forecast", arguments: { city: "Bergen", days: 2 } });
    assert.deepStrictEqual(result.structuredContent, { city: "Bergen", celsius: [4, 4] });
    const failed = await client.callTool({ name: "test_error_handling", arguments: {} });
    assert(failed.isError);
    await client.close();
}
