// The browser's part of scripts/view-check.
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const { address, browser: executablePath, packages, jobs, pictures, shots, only, server } = JSON.parse(process.argv[2]);
const require = createRequire(`${packages}/`);
const { chromium } = require("playwright-core");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const VIEWS = {
  board: {},
  running: { job_id: jobs["nightly-email-classify"] },
  results: { job_id: jobs["support-ticket-triage"] },
  failed: { job_id: jobs["contract-summaries"] },
  cancel: { job_id: jobs["nightly-email-classify"] },
  comparison: { job_id: jobs["model-comparison-gemma"], compare_with: jobs["model-comparison-qwen"] },
};
// What each view says in a host that has or asks for it all.
const WORDS = {
  board: "52 in all", running: "10,440 of 12,000 rows", results: "Compare with…", failed: "Why it failed",
  cancel: "Cancel this job?", comparison: "Largest moves",
};
const ONLY_SHOWN = "This host lets the view only show";
// Hosts as they differ. `says` is shown in it, whatever the view; `views` are those in which it makes a difference.
const HOSTS = {
  "light": {},
  "dark": { theme: "dark" },
  "forced colours": { colors: "active" },
  "320 px": { width: 320 },
  "older protocol": { era: "legacy", views: ["board", "results"] },
  "400 px": { height: 400 },
  "no variables": { lacks: ["variables"] },
  "no variables, dark": { lacks: ["variables"], theme: "dark" },
  "no structuredContent": { lacks: ["structuredContent"] },
  "no result": { lacks: ["result"] },
  "calls refused": { refuses: true, says: `${ONLY_SHOWN}: Denied by the user`, views: ["board", "results", "comparison"] },
  "no calls": { lacks: ["tools"], says: `${ONLY_SHOWN}.`, views: ["board", "running", "results", "failed", "comparison"] },
  "text alone, no calls": { lacks: ["structuredContent", "tools"], says: `${ONLY_SHOWN}.`, views: ["board", "failed"], words: "<data" },
};
const quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"];
const browser = await chromium.launch({ executablePath, args: quiet });
const problems = [];

/** A page of a host with the view in it, once it has come to rest. */
async function open(what, url, name, { theme = "light", width = 720, colors = null, scale = 1, says = "", words = WORDS[name] } = {}) {
  const page = await browser.newPage({ viewport: { width: width + 32, height: 1600 }, deviceScaleFactor: scale, colorScheme: theme, forcedColors: colors });
  page.on("console", (message) => { if (message.type() === "error" && !/favicon|404/.test(message.text())) problems.push(`${what}: console: ${message.text()}`); });
  page.on("pageerror", (error) => problems.push(`${what}: ${error.message}`));
  await page.goto(url);
  const view = page.frameLocator("#view");
  if (name === "cancel") await view.locator("[data-key=cancel]").click({ timeout: 60_000 });
  for (const each of [words, says]) if (each) await view.getByText(each).first().waitFor({ timeout: 60_000 });
  if (name === "results" && !says) await view.locator(".bins").first().waitFor();
  await view.locator("main[aria-busy=false]:not(:has(.bone))").waitFor({ timeout: 60_000 });
  await page.waitForTimeout(400); // the height of the frame follows its content
  return page;
}

/** What axe finds in the frame, whether the page is wider than its frame, what it called, and whether it ends. */
async function judge(origin, host, name) {
  const { colors, says, views, words, ...asked } = HOSTS[host], what = `${name}, ${host}`;
  const query = new URLSearchParams({ host: JSON.stringify({ args: VIEWS[name], ...asked }) });
  const page = await open(what, `${origin}?${query}`, name, HOSTS[host]);
  const frame = page.frames().find((each) => each.parentFrame());
  await frame.evaluate(AXE);
  const { violations } = await frame.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"] }));
  for (const each of violations) problems.push(`${what}: ${each.id}: ${each.nodes.map((node) => node.html.slice(0, 120)).join(" | ")}`);
  const wide = await frame.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (wide > 0) problems.push(`${what}: ${wide} px too wide`);
  if (!says && (await frame.locator("main").innerText()).includes(ONLY_SHOWN)) problems.push(`${what}: says ${ONLY_SHOWN}`);
  const { told } = await page.evaluate(() => window.host);
  if (asked.lacks?.includes("tools") && told.calls.length) problems.push(`${what}: called ${told.calls}`);
  if (told.protocol !== (asked.era === "legacy" ? "2025-11-25" : "2026-07-28")) problems.push(`${what}: speaks ${told.protocol}`);
  if (shots) await page.screenshot({ path: `${shots}/${what.replace(/\W+/g, "-")}.png`, fullPage: true });
  const ended = await page.evaluate(() => window.host.end());
  if (JSON.stringify(ended) !== "{}") problems.push(`${what}: ended with ${JSON.stringify(ended)}`);
  await page.close();
}

/** A host's page around the official bridge; what it says to the server goes through here, so that there is one origin. */
async function bridgeHost(url) {
  const { rolldown } = await import(pathToFileURL(require.resolve("rolldown")));
  const bundle = await rolldown({ input: new URL("bridge_host.mjs", import.meta.url).pathname, platform: "browser", resolve: { modules: [packages] } });
  const { output: [{ code }] } = await bundle.generate({ format: "esm" });
  const html = '<!doctype html><title>A host</title><body style="margin: 16px"><iframe id="view" title="Sutro jobs" sandbox="allow-scripts" style="border: 0"></iframe><script type="module" src="/host.js"></script>';
  const serving = createServer((asked, answer) => {
    if (asked.url !== "/mcp") {
      const isScript = asked.url === "/host.js";
      answer.writeHead(200, { "content-type": isScript ? "text/javascript" : "text/html; charset=utf-8" }).end(isScript ? code : html);
      return;
    }
    const { origin, host, ...headers } = asked.headers;
    const passed = request(url, { method: asked.method, headers }, (came) => { answer.writeHead(came.statusCode, came.headers); came.pipe(answer); });
    passed.on("error", () => answer.destroy());
    answer.on("close", () => passed.destroy());
    asked.pipe(passed);
  });
  await new Promise((done) => serving.listen(0, "127.0.0.1", done));
  return { origin: `http://127.0.0.1:${serving.address().port}/`, close: () => { serving.closeAllConnections(); serving.close(); } };
}

/** A picture as WebP, which the browser itself can make. */
async function picture(name, theme) {
  const page = await open(name, `${address}?${new URLSearchParams({ ...VIEWS[name], theme })}`, name, { theme, scale: 1.5 });
  const png = await page.locator("#view").screenshot({ animations: "disabled" });
  const webp = await page.evaluate(async (data) => {
    const image = new Image();
    image.src = data;
    await image.decode();
    const canvas = Object.assign(document.createElement("canvas"), { width: image.width, height: image.height });
    canvas.getContext("2d").drawImage(image, 0, 0);
    return canvas.toDataURL("image/webp", 0.82);
  }, `data:image/png;base64,${png.toString("base64")}`);
  const file = `${pictures}/view-${name}-${theme}.webp`, bytes = Buffer.from(webp.split(",")[1], "base64");
  writeFileSync(file, bytes);
  console.log(`${file} ${bytes.length}`);
  await page.close();
}

/** MCP Inspector as a host that is not ours: it opens the board, and clicks in it reach the server. */
async function inspect(url) {
  const own = { MCP_INSPECTOR_API_TOKEN: "tok", MCP_AUTO_OPEN_ENABLED: "false", HOST: "127.0.0.1", CLIENT_PORT: "6274" };
  const inspector = spawn(process.execPath, [`${packages}/.bin/mcp-inspector`, "--web"], { env: { ...process.env, ...own }, stdio: "ignore" });
  try {
    const page = await browser.newPage({ viewport: { width: 1200, height: 900 } });
    page.on("console", (message) => { if (message.type() === "error" && message.location().url === "about:srcdoc") problems.push(`MCP Inspector: console: ${message.text()}`); });
    const asked = new URLSearchParams({ serverUrl: url, transport: "http", autoConnect: "tok", openApp: "show_jobs", appArgs: "e30", autoOpen: "tok" });
    for (let tries = 0; ; tries++) {
      try {
        await page.goto(`http://127.0.0.1:6274/?${asked}`);
        break;
      } catch (error) {
        if (tries > 60) throw error;
        await new Promise((done) => setTimeout(done, 500));
      }
    }
    await page.locator('[data-testid="apps-form"][data-app-status="ready"]').waitFor({ timeout: 60_000 });
    const frame = page.frames().find((each) => each.url() === "about:srcdoc");
    await frame.locator("[data-key=Failed]").click();
    await frame.getByText("4 found").waitFor();
    await frame.locator("button.name").first().click();
    await frame.getByText("Why it failed").waitFor();
    console.log("MCP Inspector: opened, filtered, a job opened");
  } catch (error) {
    problems.push(`MCP Inspector: ${error.message}`);
  } finally {
    inspector.kill();
  }
}

async function check() {
  const serving = spawn(server[0], [...server.slice(1), "serve", "--transport", "http", "--port", "0"]);
  const url = await new Promise((done) => serving.stderr.on("data", (data) => { const [found] = /http:\S+\/mcp/.exec(data) || []; if (found) done(found); }));
  const host = await bridgeHost(url);
  try {
    if (!only) await inspect(url);
    for (const [name, { views = Object.keys(VIEWS) }] of Object.entries(HOSTS).filter(([each]) => !only || each === only)) {
      for (const view of views) await judge(host.origin, name, view).catch((error) => problems.push(`${view}, ${name}: ${error.message}`));
      console.log(`AppBridge, ${name}: ${views.join(", ")}`);
    }
  } finally {
    host.close();
    serving.kill();
  }
}

try {
  if (pictures) {
    mkdirSync(pictures, { recursive: true });
    for (const name of Object.keys(VIEWS)) for (const theme of ["light", "dark"]) await picture(name, theme);
  } else await check();
} finally {
  await browser.close();
}
for (const problem of problems) console.error(problem);
process.exit(problems.length ? 1 : 0);
