/** The dashboard in a real Chromium: what is read, pressed, and said when the server is gone. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import * as report from "../src/backtest/page/theme.ts";
import { openLog } from "../src/base/log.ts";
import { healthActor } from "../src/live/actors/health.ts";
import { performanceActor } from "../src/live/actors/performance.ts";
import { startDashboard, type Dashboard } from "../src/live/dashboard/server.ts";
import { DARK, LIGHT } from "../src/live/dashboard/theme.ts";
import type { Spoken } from "../src/live/message.ts";
import type { Session } from "../src/live/session.ts";
import { NO_CHROMIUM, chromiumPath, openChromium } from "./chromium.ts";
import { account, heartbeat, makeSession, market, meterRow, MINUTE, OPEN, orderState, tradingDay } from "./monitor-facts.ts";

const CHROMIUM = chromiumPath();
const END = OPEN + 12 * MINUTE;
const SECTIONS = ["performance", "positions", "risk", "orders", "fills", "hops", "models", "alerts", "processes"];

interface Stage extends AsyncDisposable {
  readonly dashboard: Dashboard;
  readonly orders: string[];
  say(message: Spoken, now?: number): Promise<void>;
}

async function stage(change: Partial<Session> = {}, port = 0): Promise<Stage> {
  const session = makeSession(change), orders: string[] = [];
  const health = healthActor({ session, expected: ["meta"], elapsedMs: () => 0 }), performance = performanceActor({ session });
  const dashboard = await startDashboard({ session, port, token: "k".repeat(43), log: openLog("silent"),
    monitors: { hops: performance.hops, processes: health.processes },
    control: (action, by, _subject, value) => {
      orders.push(`${action} ${by} ${value}`.trim());
      return action === "resume" ? Promise.reject(new Error("books are not reconciled"))
        : Promise.resolve({ ok: true, text: `${action} acknowledged` });
    } });
  const say = async (message: Spoken, now = END): Promise<void> => {
    for (const actor of [health, performance, dashboard.actor]) {
      for (const said of await actor.handle(message, now)) await dashboard.actor.handle(said, now);
    }
  };
  for (const [now, message] of tradingDay()) await say(message, now);
  await say({ kind: "meter", at: END, process: "features", rows: [meterRow("market: feed -> features", { p50: 51, p99: 199 }),
    meterRow("zebra")] });
  await say({ kind: "mixture", at: END, models: ["lstm-1", "transformer-1"], weights: [0.65, 0.35] });
  return { dashboard, orders, say, [Symbol.asyncDispose]: () => dashboard[Symbol.asyncDispose]() };
}

describe("the dashboard in Chromium", { skip: CHROMIUM === null && NO_CHROMIUM }, () => {
  const browsers: Browser[] = [];
  before(async () => { browsers.push(await openChromium(CHROMIUM ?? "")); });
  after(async () => { await Promise.all(browsers.map((browser) => browser.close())); });

  interface Sight extends AsyncDisposable { readonly page: Page; readonly complaints: string[] }
  async function open(address: string, look: { scheme?: "light" | "dark"; width?: number } = {}): Promise<Sight> {
    const context = await browsers[0].newContext({ viewport: { width: look.width ?? 1280, height: 900 }, colorScheme: look.scheme
      ?? "light" });
    const page = await context.newPage(), complaints: string[] = [], own = new URL(address).origin;
    page.setDefaultTimeout(10_000);
    page.on("console", (message) => { if (message.type() !== "log") complaints.push(message.text()); });
    page.on("pageerror", (error) => { complaints.push(String(error)); });
    page.on("request", (request) => {
      if (!request.url().startsWith(own) && !request.url().startsWith("data:")) complaints.push(`asks for ${request.url()}`);
    });
    await page.goto(address);
    await page.locator("#link.on").waitFor();
    await page.locator("#equity", { hasText: /\d/ }).waitFor();
    return { page, complaints, [Symbol.asyncDispose]: () => context.close() };
  }
  const text = async (page: Page, selector: string): Promise<string> => (await page.locator(selector).first().innerText()).trim();

  for (const [scheme, palette] of [["light", LIGHT], ["dark", DARK]] as const) {
    for (const width of scheme === "light" ? [1280] : [390]) {
      test(`${scheme} at ${width} px: nine sections, the numbers of ten minutes, nothing sideways, nothing asked for elsewhere`,
        async () => {
        await using play = await stage();
        await using sight = await open(play.dashboard.address, { scheme, width });
        const { page } = sight;
        assert.equal(new URL(page.url()).search, "", "the token is gone from the address");
        assert.equal(await text(page, "#equity"), "100,500");
        assert.equal(await text(page, "#gain"), "+500.00");
        assert.equal(await text(page, "#gain-share"), "+0.50%");
        assert.equal(await text(page, "#gross"), "11%");
        for (const id of SECTIONS) assert.ok((await page.locator(`#${id}`).innerText()).length > 30, id);
        const row = await page.locator("#positions tbody tr").first().locator("th, td").allInnerTexts();
        assert.deepEqual(row, ["AAA", "100", "100", "110.00", "11,000.00", "10.9%", "11.0%", "+449.50"]);
        assert.equal(await page.locator("#orders tbody tr").count(), 10);
        assert.equal(await page.locator("#fills tbody tr").count(), 10);
        assert.deepEqual((await page.locator("#hops tbody tr").first().locator("th, td").allInnerTexts()).slice(0, 3),
          ["market: feed → features", "51 µs", "199 µs"]);
        assert.match(await text(page, "#hops tbody tr"), /above target/);
        assert.match(await text(page, "#models"), /lstm-1\s+65%/);
        assert.match(await text(page, "#alert-list"), /warning\s+feed · feed-stale\s+no bar for 60 s/);
        assert.match(await text(page, "#processes"), /meta\s+expected\s+not heard yet/);
        assert.match(await text(page, "#risk"), /Drawdown\s+0\.0%\s+10\.0%/);
        assert.doesNotMatch(await page.innerText("body"), /\b(NaN|undefined|null|Infinity|\[object)\b/);
        const wide = Number(await page.evaluate("document.scrollingElement.scrollWidth"));
        assert.ok(wide <= width, `the page is ${wide} wide`);
        const pushed = await page.evaluate("[...document.querySelectorAll('.scroll')].filter((one) => "
          + "one.scrollWidth > one.clientWidth).map((one) => one.getAttribute('aria-label'))");
        assert.deepEqual(pushed, [], "no table has to be pushed sideways");
        const stroke = await page.evaluate("getComputedStyle(document.querySelector('#plot .line')).stroke");
        assert.equal(stroke, rgb(palette.strategy));
        assert.deepEqual(sight.complaints, []);
      });
    }
  }

  test("facts appear without a reload: a halt, a new equity, an order with its reason", async () => {
    await using play = await stage();
    await using sight = await open(play.dashboard.address);
    const { page } = sight;
    await play.say(account(END, 99_000, [100, 0, 0]));
    await page.locator("#equity", { hasText: "99,000.00" }).waitFor();
    assert.equal(await text(page, "#drawdown"), "1.49%");
    await play.say(orderState(END, { id: "new", instrument: 2, quantity: -7, state: "rejected", reason: "wash trade" }));
    await page.locator("#orders tbody tr", { hasText: "CCC" }).waitFor();
    assert.equal(await page.getAttribute("#orders tbody tr:first-child .state", "title"), "wash trade");
    await play.say({ kind: "trading-state", at: END, state: "HALTED", reason: "drawdown", by: "risk" });
    await page.locator("#state", { hasText: "HALTED" }).waitFor();
    assert.ok(await page.isDisabled("#halt"));
    assert.ok(!await page.isDisabled("#resume"));
    assert.equal(await page.title(), "−1.00% · HALTED · dmn live");
    assert.deepEqual(sight.complaints, []);
  });

  test("a button asks first; Escape orders nothing, a press orders once; a refusal is shown", async () => {
    await using play = await stage();
    await using sight = await open(play.dashboard.address);
    const { page } = sight;
    await page.click("#halt");
    assert.match(await text(page, "dialog"), /Halt trading\?/);
    await page.keyboard.press("Escape");
    await page.locator("dialog").waitFor({ state: "hidden" });
    assert.deepEqual(play.orders, []);
    await page.click("#halt");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.locator("#told", { hasText: "halt acknowledged" }).waitFor();
    await page.click("#emergency");
    await page.check("#flatten");
    await page.click("#yes");
    await page.locator("#told", { hasText: "emergency-stop acknowledged" }).waitFor();
    await play.say({ kind: "trading-state", at: END, state: "HALTED", reason: "asked", by: "user" });
    await page.locator("#resume:enabled").click();
    await page.click("#yes");
    await page.locator("#told.bad", { hasText: "books are not reconciled" }).waitFor();
    assert.deepEqual(play.orders, ["halt dashboard", "emergency-stop dashboard flatten", "resume dashboard"]);
  });

  test("the server goes: the page says so, greys and disables; it comes back: the page is live again by itself", async () => {
    const play = await stage(), port = Number(new URL(play.dashboard.address).port);
    await using sight = await open(play.dashboard.address);
    const { page } = sight;
    await play[Symbol.asyncDispose]();
    await page.locator("#gone").waitFor();
    assert.match(await text(page, "#gone"), /numbers below are from \d\d:\d\d:\d\d\..*Trading may be going on/);
    assert.equal(await text(page, "#link"), "not connected");
    assert.equal(await text(page, "#equity"), "100,500", "the last numbers stay");
    for (const id of ["halt", "resume", "emergency"]) assert.ok(await page.isDisabled(`#${id}`), id);
    await using again = await stage({}, port);
    await page.locator("#link.on").waitFor();
    await page.locator("#gone").waitFor({ state: "hidden" });
    await again.say(account(END, 98_765, [0, 0, 0]));
    await page.locator("#equity", { hasText: "98,765.00" }).waitFor();
    assert.ok(!await page.isDisabled("#emergency"));
  });

  test("names and reasons full of markup are shown as they are and run nothing", async () => {
    const evil = `<img src=x onerror="window.pwned=1"><script>window.pwned=2</script>`;
    await using play = await stage({ strategyName: evil, symbols: [evil, "BBB", "CCC"],
      models: [{ worker: evil, strategy: "a" }] });
    await play.say({ kind: "alert", at: END, severity: "critical", code: evil, text: evil, process: evil });
    await play.say({ kind: "trading-state", at: END, state: "ACTIVE", reason: evil, by: evil });
    await play.say({ kind: "meter", at: END, process: evil, rows: [meterRow(evil)] });
    await play.say(heartbeat(END, evil));
    await using sight = await open(play.dashboard.address);
    const { page } = sight;
    assert.equal(await text(page, "h1"), evil);
    assert.equal(await text(page, "#positions tbody th"), evil);
    assert.equal(await text(page, "#alert-list .what"), evil);
    assert.equal(await page.locator("main img, main script, header img").count(), 0);
    assert.equal(await page.evaluate("window.pwned"), undefined);
    const refused = await page.evaluate(`(() => { const s = document.createElement("script"); s.textContent = "window.pwned = 3";
      document.body.append(s); return fetch("http://127.0.0.1:9/").then(() => "asked", () => window.pwned ?? "refused"); })()`);
    assert.equal(refused, "refused");
  });

  test("the pointer and the arrow keys read the curve; ranges and the theme are buttons that say their state", async () => {
    await using play = await stage();
    await using sight = await open(play.dashboard.address);
    const { page } = sight;
    assert.equal(await text(page, "#read-equity"), "100,500");
    await page.focus("#plot");
    for (let k = 0; k < 3; k++) await page.keyboard.press("ArrowLeft");
    assert.equal(await text(page, "#read-equity"), "100,350");
    assert.equal(await text(page, "#read-at"), "14:37:00 UTC");
    assert.match(String(await page.getAttribute("#plot", "aria-label")),
      /Equity 100,350, \+350\.00 since the start, drawdown 0\.00%/);
    await page.click("[data-range='60']");
    assert.equal(await page.getAttribute("[data-range='60']", "aria-pressed"), "true");
    assert.equal(await page.locator("#hops tbody tr").count(), 2, "what has no target waits behind a button");
    await page.click("#all-hops");
    assert.deepEqual(await page.locator("#hops tbody th").allInnerTexts(),
      ["market: feed → features", "order to broker", "zebra"]);
    await page.click("#theme");
    assert.equal(await page.getAttribute("html", "data-theme"), "dark");
    await page.reload();
    assert.equal(await page.getAttribute("html", "data-theme"), "dark");
  });

  test("every head has a scope, every button and picture a word, every id is single", async () => {
    await using play = await stage();
    await play.say(market(END, [111, 190, 50]));
    await using sight = await open(play.dashboard.address);
    assert.deepEqual(await sight.page.evaluate(`(() => {
      const all = (selector) => [...document.querySelectorAll(selector)], ids = all("[id]").map((one) => one.id);
      return [...all("th:not([scope])").map((one) => "th without scope: " + one.textContent),
        ...all("button").filter((one) => one.textContent.trim() === "").map(() => "button without words"),
        ...all("[role=img]").filter((one) => !one.getAttribute("aria-label")).map(() => "picture without words"),
        ...all("section").filter((one) => !document.getElementById(one.getAttribute("aria-labelledby"))).map((one) => one.id),
        ...ids.filter((id, k) => ids.indexOf(id) !== k).map((id) => "id twice: " + id)];
    })()`), []);
  });
});

test("the dashboard wears the report's colours", () => {
  for (const [own, theirs] of [[LIGHT, report.LIGHT], [DARK, report.DARK]] as const) {
    for (const name of ["paper", "wash", "ink", "muted", "rule", "strategy", "benchmark", "loss", "warn"] as const) {
      assert.equal(own[name], theirs[name], name);
    }
    assert.equal(own.good, theirs.other1);
  }
});

function rgb(color: string): string {
  return `rgb(${[1, 3, 5].map((k) => Number.parseInt(color.slice(k, k + 2), 16)).join(", ")})`;
}
