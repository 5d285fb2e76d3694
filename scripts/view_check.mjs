// The browser's part of scripts/view-check.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const { address, browser: executablePath, packages, jobs, pictures } = JSON.parse(process.argv[2]);
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
const quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"];
const browser = await chromium.launch({ executablePath, args: quiet });
const problems = [];

async function open(name, { theme = "light", width = "", colors = null, scale = 1 } = {}) {
  const page = await browser.newPage({ viewport: { width: (Number(width) || 720) + 32, height: 900 }, deviceScaleFactor: scale, colorScheme: theme, forcedColors: colors });
  page.on("console", (message) => { if (message.type() === "error" && !/favicon|404/.test(message.text())) problems.push(`${name}: console: ${message.text()}`); });
  page.on("pageerror", (error) => problems.push(`${name}: ${error.message}`));
  await page.goto(`${address}?${new URLSearchParams({ ...VIEWS[name], theme, width })}`);
  const view = page.frameLocator("#view");
  await view.locator("main[aria-busy=false]:not(:has(.bone)) h1").waitFor({ timeout: 60_000 });
  if (name === "results") await view.locator(".bins").waitFor();
  if (name === "cancel") {
    await view.locator("[data-key=cancel]").click();
    await view.locator("[data-key=keep]").waitFor();
  }
  await page.waitForTimeout(400); // the height of the frame follows its content
  return page;
}

/** What axe finds in the frame, and whether the page is wider than its frame. */
async function judge(name, options) {
  const page = await open(name, options), what = `${name} ${JSON.stringify(options)}`;
  const frame = page.frames().find((each) => each.parentFrame());
  await frame.evaluate(AXE);
  const { violations } = await frame.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"] }));
  for (const each of violations) problems.push(`${what}: ${each.id}: ${each.nodes.map((node) => node.html.slice(0, 120)).join(" | ")}`);
  const wide = await frame.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (wide > 0) problems.push(`${what}: ${wide} px too wide`);
  await page.close();
}

/** A picture as WebP, which the browser itself can make. */
async function picture(name, theme) {
  const page = await open(name, { theme, scale: 1.5 });
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

try {
  if (pictures) {
    mkdirSync(pictures, { recursive: true });
    for (const name of Object.keys(VIEWS)) for (const theme of ["light", "dark"]) await picture(name, theme);
  } else {
    for (const name of Object.keys(VIEWS)) {
      for (const options of [{}, { theme: "dark" }, { colors: "active" }, { width: "320" }]) await judge(name, options);
      console.log(`${name}: light, dark, forced colours, 320 px`);
    }
  }
} finally {
  await browser.close();
}
for (const problem of problems) console.error(problem);
process.exit(problems.length ? 1 : 0);
