// A host of MCP Apps around the official AppBridge and client. The address says what it shows, and what it lacks.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { AppBridge, PostMessageTransport } from "@modelcontextprotocol/ext-apps/app-bridge";

const asked = JSON.parse(new URLSearchParams(location.search).get("host"));
const { args = {}, theme = "light", era = "auto", width = 720, height = 0, lacks = [], refuses = false } = asked;
const POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'none'";
const VARIABLES = {
  "--color-background-primary": "light-dark(#fffaf2, #201a12)",
  "--color-background-secondary": "light-dark(#f3eadc, #2d251a)",
  "--color-text-primary": "light-dark(#2b2013, #f6ecdd)",
  "--color-text-secondary": "light-dark(#6b5b45, #c5b59d)",
  "--color-border-primary": "light-dark(#e2d5c0, #4a3f2f)",
  "--color-ring-primary": "light-dark(#9a3412, #fdba74)",
  "--font-sans": "Georgia, serif",
};
const frame = document.querySelector("iframe");
document.documentElement.style.colorScheme = theme;
Object.assign(frame.style, { width: `${width}px`, height: `${height || 300}px` });

const capabilities = { extensions: { "io.modelcontextprotocol/ui": { mimeTypes: ["text/html;profile=mcp-app"] } } };
const client = new Client({ name: "bridge-host", version: "1" }, { capabilities, versionNegotiation: { mode: era } });
await client.connect(new StreamableHTTPClientTransport(new URL("/mcp", location.href)));
const tool = (await client.listTools()).tools.find(({ name }) => name === "show_jobs");
const { contents: [page] } = await client.readResource({ uri: tool._meta.ui.resourceUri });

const told = { calls: [], messages: [], protocol: client.getNegotiatedProtocolVersion() };
const bridge = new AppBridge(client, { name: "bridge-host", version: "1" },
  { message: { text: {} }, ...(lacks.includes("tools") ? {} : { serverTools: {} }) },
  { hostContext: {
    theme, displayMode: "inline", availableDisplayModes: ["inline"], locale: "en-US", timeZone: "UTC",
    containerDimensions: { width, ...(height ? { height } : { maxHeight: 5000 }) },
    ...(lacks.includes("variables") ? {} : { styles: { variables: VARIABLES } }),
  } });
bridge.onsizechange = ({ height: wanted }) => { if (!height && wanted) frame.style.height = `${wanted}px`; };
bridge.onmessage = async (message) => { told.messages.push(message); return {}; };
bridge.oninitialized = async () => {
  await bridge.sendToolInput({ arguments: args });
  if (lacks.includes("result")) return;
  const result = await client.callTool({ name: "show_jobs", arguments: args });
  if (lacks.includes("structuredContent")) delete result.structuredContent;
  await bridge.sendToolResult(result);
};
await bridge.connect(new PostMessageTransport(frame.contentWindow, frame.contentWindow));
// The bridge has put its own in place, which passes each call on.
bridge.oncalltool = async (params) => {
  told.calls.push(params.name);
  if (refuses) throw new Error("Denied by the user");
  return client.callTool(params);
};
frame.srcdoc = page.text.replace("<title>", `<meta http-equiv="Content-Security-Policy" content="${POLICY}"><title>`);
window.host = { told, end: () => bridge.teardownResource({}) };
