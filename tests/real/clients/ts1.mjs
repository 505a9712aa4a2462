// The TypeScript SDK, first generation: node --input-type=module - TARGET TOKEN TOOL '{"json": "arguments"}'
// TARGET is an address, or {"command", "args", "env"} of a server to start.
// Read from stdin with .clis as working directory, so that its packages are found there.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [target, token, tool, args] = process.argv.slice(2);
const headers = token ? { Authorization: `Bearer ${token}` } : {};
const transport = target.startsWith("http")
  ? new StreamableHTTPClientTransport(new URL(target), { requestInit: { headers } })
  : new StdioClientTransport(JSON.parse(target));
const client = new Client({ name: "ts1", version: "0" });
try {
  await client.connect(transport);
  const { tools } = await client.listTools();
  const result = await client.callTool({ name: tool, arguments: JSON.parse(args) });
  const { resources } = await client.listResources();
  const { resourceTemplates } = await client.listResourceTemplates();
  const read = await client.readResource({ uri: "madrox://tree" });
  const { prompts } = await client.listPrompts();
  const prompt = await client.getPrompt({ name: "role_general", arguments: { task: "Try it." } });
  console.log(
    JSON.stringify({
      tools: tools.map((t) => t.name),
      result,
      resources: resources.map((r) => r.uri),
      templates: resourceTemplates.map((t) => t.uriTemplate),
      read: read.contents[0].text,
      prompts: prompts.map((p) => p.name),
      prompt: prompt.messages[0].content.text,
    }),
  );
  await client.close();
} catch (error) {
  console.log(JSON.stringify({ error: error.message, code: error.data?.status ?? error.code ?? null }));
  process.exitCode = 1;
}
