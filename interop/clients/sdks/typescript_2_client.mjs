// The TypeScript SDK 2.x, which speaks both protocol eras.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { agreed, explore, task } from "./task.mjs";

const client = new Client({ name: "interop", version: "1" }, { capabilities: { elicitation: { form: {} } } });
client.setRequestHandler("elicitation/create", agreed);
const [command, ...args] = task.command;
await client.connect(
  task.transport === "http"
    ? new StreamableHTTPClientTransport(new URL(task.url))
    : new StdioClientTransport({ command, args }),
);
await explore(client);
