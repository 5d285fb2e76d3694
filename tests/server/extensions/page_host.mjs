// A host of MCP Apps without a screen: the page in jsdom, with a clock that only goes when it is told to.
// A line on stdin is a command; each is answered by the messages that the page posted and by what it shows.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [packages, page] = process.argv.slice(2);
const { JSDOM, VirtualConsole } = createRequire(`${packages}/`)("jsdom");

const state = { posted: [], errors: [], timers: [], now: Date.now(), hidden: false };
const console_ = new VirtualConsole();
console_.on("jsdomError", (error) => { if (!/CSS|stylesheet/i.test(error.message)) state.errors.push(error.message); });
console_.on("error", (...words) => state.errors.push(words.join(" ")));

const { window } = new JSDOM(readFileSync(page, "utf8"), {
  runScripts: "dangerously", pretendToBeVisual: true, virtualConsole: console_,
  beforeParse(made) {
    made.postMessage = (message) => state.posted.push(JSON.parse(JSON.stringify(message)));
    made.setTimeout = (act, ms = 0) => { state.timers.push({ act, at: state.now + ms, id: (state.lastId = (state.lastId || 0) + 1) }); return state.lastId; };
    made.clearTimeout = (id) => { state.timers = state.timers.filter((timer) => timer.id !== id); };
    made.Date.now = () => state.now;
    made.ResizeObserver = class { observe() {} };
    made.Document.prototype.hasFocus = () => true;
    Object.defineProperty(made.Document.prototype, "hidden", { get: () => state.hidden });
  },
});
const { document } = window;
const settle = async () => { for (let turns = 0; turns < 5; turns++) await new Promise((done) => setImmediate(done)); };

function wordsOf(element) {
  const words = [], walk = document.createTreeWalker(element, 4);
  while (walk.nextNode()) words.push(walk.currentNode.data.trim());
  return words.filter(Boolean).join(" ");
}
const shown = () => wordsOf(document.querySelector("main"));
const labelOf = (each) => each.getAttribute("aria-label") || wordsOf(each);
const COMMANDS = {
  deliver: (data) => window.dispatchEvent(new window.MessageEvent("message", { data, source: window.parent })),
  click: (words) => {
    const all = [...document.querySelectorAll("button")].filter((each) => !each.disabled);
    const found = all.find((each) => labelOf(each) === words) || all.find((each) => labelOf(each).includes(words));
    if (!found) throw new Error(`no button ${words} in: ${shown()}`);
    found.focus();
    found.click();
  },
  async advance(ms) {
    const end = state.now + ms;
    for (;;) {
      const [next] = state.timers.filter(({ at }) => at <= end).sort((one, other) => one.at - other.at);
      if (!next) break;
      state.timers = state.timers.filter((timer) => timer !== next);
      state.now = Math.max(state.now, next.at);
      next.act();
      await settle();
      if (state.posted.some(({ method }) => method === "tools/call")) return;
    }
    state.now = end;
  },
  hide: (hidden) => { state.hidden = hidden; },
  look: () => {},
};

for await (const line of createInterface({ input: process.stdin })) {
  const [[command, value]] = Object.entries(JSON.parse(line));
  let failed = null;
  try {
    await COMMANDS[command](value);
  } catch (error) {
    failed = error.message;
  }
  await settle();
  const active = document.activeElement;
  process.stdout.write(`${JSON.stringify({
    failed, errors: state.errors, posted: state.posted.splice(0), text: shown(), now: state.now, focus: active.dataset.key || active.tagName, said: document.querySelector("[role=status]").textContent,
    pressed: [...document.querySelectorAll("[aria-pressed=true]")].map((each) => each.dataset.key), off: [...document.querySelectorAll("button:disabled")].map((each) => each.dataset.key),
    bones: document.querySelectorAll(".bone").length, tags: [...new Set([...document.querySelectorAll("main *")].map((each) => each.tagName.toLowerCase()))].sort(), scheme: document.documentElement.style.colorScheme,
  })}\n`);
}
