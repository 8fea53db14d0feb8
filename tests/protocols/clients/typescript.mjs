// The official TypeScript clients: the one of revisions with a handshake, and the one of 2026-07-28.
import assert from "node:assert";
import { Client } from "@modelcontextprotocol/client";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { Client as LegacyClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as LegacyTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";

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

// Clients that answer questions: the one in its session, the other by calling again.
const answers = { capabilities: { elicitation: {} } };
const name = async (request) => {
    assert.strictEqual(request.params.message, "What is your name?");
    return { action: "accept", content: { name: "Ada" } };
};
const legacy = new LegacyClient(who, answers);
legacy.setRequestHandler(ElicitRequestSchema, name);
const modern = new Client(who, { ...answers, versionNegotiation: { mode: "auto" } });
modern.setRequestHandler("elicitation/create", name);
for (const [client, transport] of [
    [legacy, new LegacyTransport(url)],
    [modern, new StreamableHTTPClientTransport(url)],
]) {
    await client.connect(transport);
    const result = await client.callTool({ name: "test_input_required_result_elicitation", arguments: {} });
    assert.strictEqual(result.content[0].text, "Hello, Ada!");
    await client.close();
}
