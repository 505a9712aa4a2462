// The TypeScript SDK, first generation: node --input-type=module - URL TOKEN TOOL '{"json": "arguments"}'
// Read from stdin with .clis as working directory, so that its packages are found there.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [url, token, tool, args] = process.argv.slice(2);
const headers = token ? { Authorization: `Bearer ${token}` } : {};
const client = new Client({ name: "ts1", version: "0" });
try {
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
  const { tools } = await client.listTools();
  const result = await client.callTool({ name: tool, arguments: JSON.parse(args) });
  console.log(JSON.stringify({ tools: tools.map((t) => t.name), result }));
  await client.close();
} catch (error) {
  console.log(JSON.stringify({ error: error.message, code: error.data?.status ?? error.code ?? null }));
  process.exitCode = 1;
}
