// The TypeScript SDK 1.x, on which most hosts stand.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import { agreed, explore, task } from "./task.mjs";

const client = new Client({ name: "interop", version: "1" }, { capabilities: { elicitation: {} } });
client.setRequestHandler(ElicitRequestSchema, agreed);
const [command, ...args] = task.command;
await client.connect(
  task.transport === "http"
    ? new StreamableHTTPClientTransport(new URL(task.url))
    : new StdioClientTransport({ command, args }),
);
await explore(client);
