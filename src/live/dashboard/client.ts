/**
 * The page's script: connection, header, buttons; and how typed functions become a script: each is sent as
 * its own text (`Function.prototype.toString`), as in the backtest's report, so what runs in the browser is
 * what the compiler checked, without a bundler. The price: a function may use only what is in FUNCTIONS,
 * and no constants of its file.
 */
import type { PageDocument, PageSource, PageWindow } from "./browser.ts";
import { axesOf, drawCurve, label, linesOf, nearest, readOut, scaleOf, startPointer, svg, ticksOf,
  timeTicks, visible } from "./client-chart.ts";
import { micros, moment, money, percent, price, short, signedMoney, signedPercent, tone,
  units } from "./client-format.ts";
import { bullet, fillTable, gauge, limitWords, make, maybe, rowOf, showAlerts, showFills, showHops,
  showModels, showOrders, showPositions, showProcesses, showRisk, stateCell } from "./client-tables.ts";
import type { View } from "./view.ts";

declare const document: PageDocument;
declare const window: PageWindow;
declare const EventSource: new (address: string) => PageSource;

/** All that the script remembers. */
export interface Desk {
  curve: { at: number[]; equity: number[] };
  /** Newest time by the session's clock. */
  now: number | null;
  barMs: number;
  /** Null: the whole session. */
  rangeMs: number | null;
  /** Time that the pointer is at. */
  pointed: number | null;
  shown: number[];
  toTime: (offset: number) => number;
  /** By the browser's clock. */
  heardAt: Date;
  isLive: boolean;
  source: PageSource | null;
  venue: string;
  state: string;
  hops: View["hops"];
  /** Since the start, as shown. */
  gain: string;
}

function put(id: string, content: string, className?: string): void {
  const element = document.getElementById(id);
  if (element === null) return;
  element.textContent = content;
  if (className !== undefined) element.className = className;
}

/** Every section that was sent; those that were not stay as they are. */
function show(desk: Desk, view: Partial<View>): void {
  if (view.now !== undefined && view.now !== null) desk.now = view.now;
  if (view.session !== undefined) showSession(desk, view.session);
  if (view.trading !== undefined) showTrading(desk, view.trading);
  if (view.account !== undefined) showAccount(desk, view.account);
  if (view.curve !== undefined) desk.curve = { at: [...view.curve.at], equity: [...view.curve.equity] };
  addPoints(desk, view.points ?? []);
  if (view.curve !== undefined || view.points !== undefined) drawCurve(desk);
  if (view.positions !== undefined) showPositions(view.positions);
  if (view.orders !== undefined) showOrders(desk, view.orders);
  if (view.fills !== undefined) showFills(desk, view.fills);
  if (view.risk !== undefined) showRisk(desk, view.risk);
  if (view.models !== undefined) showModels(desk, view.models);
  if (view.hops !== undefined) showHops(desk, view.hops);
  if (view.processes !== undefined) showProcesses(view.processes);
  if (view.alerts !== undefined) showAlerts(desk, view.alerts);
  document.title = desk.gain + " · " + desk.state + " · dmn live";
  put("clock", desk.now === null ? "–" : new Date(desk.now).toISOString().slice(0, 19)
    .replace("T", " ") + " UTC");
}

/** As many as can be told apart on a screen: beyond 4,000 every second one goes. */
function addPoints(desk: Desk, points: View["points"]): void {
  for (const [at, equity] of points) {
    desk.curve.at.push(at);
    desk.curve.equity.push(equity);
  }
  if (desk.curve.at.length <= 4000) return;
  const keep = (_: number, k: number): boolean => k % 2 === 0 || k === desk.curve.at.length - 1;
  desk.curve = { at: desk.curve.at.filter(keep), equity: desk.curve.equity.filter(keep) };
}

function showSession(desk: Desk, session: View["session"]): void {
  const venues: Record<string, [string, string]> = { "simulator": ["SIMULATED", "venue"],
    "alpaca-paper": ["PAPER", "venue"], "alpaca-live": ["REAL MONEY", "venue real"] };
  const [word, className] = venues[session.venue] ?? [session.venue, "venue"];
  desk.venue = session.venue;
  desk.barMs = session.barMs;
  put("strategy", session.strategy);
  put("venue", word, className);
  put("facts", session.instruments + (session.instruments === 1 ? " instrument · " : " instruments · ")
    + session.timeframe + " bars · prices from " + session.feed + " · " + session.clock);
  put("session-id", session.id);
}

function showTrading(desk: Desk, trading: View["trading"]): void {
  desk.state = trading.state;
  put("state", trading.state, "pill " + trading.state.toLowerCase());
  put("reason", trading.reason + (trading.by === "" ? "" : " (by " + trading.by + ")"));
  for (const [id, isOff] of [["halt", trading.state === "HALTED"],
    ["resume", trading.state === "ACTIVE"]] as const) {
    const button = document.getElementById(id);
    if (button !== null) button.disabled = isOff || !desk.isLive;
  }
}

function showAccount(desk: Desk, account: View["account"]): void {
  put("equity", money(account.equity));
  put("gain", signedMoney(account.gain), tone(account.gain));
  put("gain-share", signedPercent(account.gainShare));
  put("day", signedMoney(account.dayGain), tone(account.dayGain));
  put("day-share", signedPercent(account.dayShare));
  put("drawdown", percent(account.drawdown));
  put("drawdown-note", account.peak === null ? "" : "from " + money(account.peak));
  put("sharpe", account.sharpe === null ? "–" : account.sharpe.toFixed(2).replace("-", "−"));
  put("sharpe-note", account.sharpe === null ? "from 21 bars on" : "annualised");
  put("gross", percent(account.gross, 0));
  put("net", "net " + signedPercent(account.net, 0));
  put("cash", money(account.cash));
  put("buying-power", "buying power " + short(account.buyingPower));
  put("reconciled", account.at === null ? "not heard yet" : account.isReconciled ? "books equal the broker's"
    : "books not reconciled", account.at === null || account.isReconciled ? "versus" : "versus loss");
  desk.gain = signedPercent(account.gainShare);
}

/** Says whether the numbers are live; without a server no button works. */
function setLive(desk: Desk, isLive: boolean, text: string): void {
  desk.isLive = isLive;
  put("link", isLive ? "live" : "not connected", isLive ? "link on" : "link off");
  const gone = document.getElementById("gone")!;
  if (gone.hidden !== isLive || gone.textContent !== text) {
    gone.hidden = isLive;
    gone.textContent = text;
  }
  document.documentElement.classList.toggle("stale", !isLive);
  for (const button of document.querySelectorAll("[data-action]")) button.disabled = !isLive;
  if (isLive) {
    document.getElementById("halt")!.disabled = desk.state === "HALTED";
    document.getElementById("resume")!.disabled = desk.state === "ACTIVE";
  } else {
    document.title = "not connected · dmn live";
  }
}

function connect(desk: Desk): void {
  desk.source?.close();
  const source = new EventSource("/api/events");
  desk.source = source;
  const heard = (): void => {
    desk.heardAt = new Date();
    if (!desk.isLive) setLive(desk, true, "");
  };
  source.addEventListener("message", (event) => {
    heard();
    show(desk, JSON.parse(event.data ?? "{}") as Partial<View>);
  });
  source.addEventListener("beat", heard);
  source.addEventListener("closing", () => { lose(desk, "The session is stopping."); });
  source.addEventListener("error", () => { lose(desk, "The server of this page does not answer."); });
}

/** The numbers stay, greyed; the page goes on trying, each second and then each five. */
function lose(desk: Desk, why: string): void {
  desk.source?.close();
  desk.source = null;
  const since = desk.heardAt.toLocaleTimeString("en-GB");
  setLive(desk, false, why + " The numbers below are from " + since
    + ". Trading may be going on without this page: "
    + "`dmn live status` tells. Trying again …");
}

/** Nothing for 12 s from a server that says something each 5 s: it is frozen or gone. */
function startWatch(desk: Desk): void {
  let waited = 0;
  setInterval(() => {
    if (desk.source !== null) {
      if (Number(new Date()) - Number(desk.heardAt) > 12_000) lose(desk, "Nothing was heard for 12 seconds.");
      waited = 0;
    } else if (++waited >= 2) {
      waited = 0;
      void reconnect(desk);
    }
  }, 1000);
}

async function reconnect(desk: Desk): Promise<void> {
  try {
    const response = await fetch("/api/session");
    if (response.status === 401) {
      setLive(desk, false, "This session's address has changed: open the one that `dmn live` printed.");
    } else if (response.ok) {
      desk.heardAt = new Date();
      connect(desk);
    }
  } catch { /* Still away. */ }
}

/** What each button asks for, and what the person is told first. */
function startButtons(desk: Desk): void {
  const words: Record<string, [string, string, string]> = {
    "halt": ["Halt trading?", "No new orders are sent. Positions stay as they are, open orders may still be "
      + "cancelled. Trading stays halted, also over a restart, until somebody resumes it.", "Halt trading"],
    "resume": ["Resume trading?", "Orders are sent again from the next decision on.", "Resume trading"],
    "emergency-stop": ["Emergency stop?",
      "All open orders are cancelled, new ones refused, and all processes end. "
      + "This page goes with them.", "Stop everything"],
  };
  const dialog = document.getElementById("confirm")!, yes = document.getElementById("yes")!;
  const flatten = document.getElementById("flatten")!;
  let action = "";
  for (const button of document.querySelectorAll("[data-action]")) {
    button.addEventListener("click", () => {
      action = button.dataset["action"] ?? "";
      const [title, text, verb] = words[action];
      put("confirm-title", title);
      put("confirm-text", text + (action === "resume"
        && desk.venue === "alpaca-live" ? " This is real money." : ""));
      put("yes", verb, action === "emergency-stop" ? "danger" : "primary");
      document.getElementById("flatten-label")!.hidden = action !== "emergency-stop";
      flatten.checked = false;
      dialog.showModal();
      document.getElementById("no")!.focus();
    });
  }
  document.getElementById("no")!.addEventListener("click", () => { dialog.close(); });
  yes.addEventListener("click", () => {
    dialog.close();
    void order(action, action === "emergency-stop" && flatten.checked ? "flatten" : "");
  });
}

async function order(action: string, value: string): Promise<void> {
  put("told", "…", "told");
  try {
    const proof = document.querySelector("meta[name=dmn-proof]")?.getAttribute("content") ?? "";
    const response = await fetch("/api/control", { method: "POST", body: JSON.stringify({ action, value }),
      headers: { "content-type": "application/json", "x-dmn-proof": proof } });
    const { ok, text } = await response.json() as { ok: boolean; text: string };
    put("told", text, ok ? "told" : "told bad");
  } catch {
    put("told", "The order did not reach the server: use `dmn live stop --emergency`.", "told bad");
  }
}

function startRanges(desk: Desk): void {
  const buttons = [...document.querySelectorAll("[data-range]")];
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const bars = Number(button.dataset["range"]);
      desk.rangeMs = bars > 0 ? bars * desk.barMs : null;
      for (const one of buttons) one.setAttribute("aria-pressed", String(one === button));
      drawCurve(desk);
    });
  }
}

function startHops(desk: Desk): void {
  const button = document.getElementById("all-hops")!;
  button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
    showHops(desk, desk.hops);
  });
}

function startTheme(): void {
  const root = document.documentElement, button = document.getElementById("theme")!;
  const isDark = (): boolean => (root.getAttribute("data-theme")
    ?? (window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  button.setAttribute("aria-pressed", String(isDark()));
  button.addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    root.setAttribute("data-theme", theme);
    button.setAttribute("aria-pressed", String(theme === "dark"));
    try { window.localStorage.setItem("dmn-live-theme", theme); } catch { /* Not remembered, then. */ }
  });
}

/** Before anything is painted. */
function chooseTheme(): void {
  try {
    const theme = window.localStorage.getItem("dmn-live-theme");
    if (theme === "light" || theme === "dark") document.documentElement.setAttribute("data-theme", theme);
  } catch { /* The system's theme stays. */ }
}

function start(): void {
  const desk: Desk = { curve: { at: [], equity: [] }, now: null, barMs: 60_000, rangeMs: null, pointed: null,
    shown: [],
    toTime: () => 0, heardAt: new Date(), isLive: false, source: null, venue: "", state: "UNKNOWN", hops: [],
    gain: "–" };
  startTheme();
  startRanges(desk);
  startHops(desk);
  startPointer(desk);
  startButtons(desk);
  startWatch(desk);
  window.addEventListener("resize", () => { drawCurve(desk); });
  connect(desk);
}

const FUNCTIONS = [money, signedMoney, percent, signedPercent, units, price, micros, short, moment, tone,
  svg, visible, ticksOf, timeTicks, scaleOf, label, axesOf, linesOf, drawCurve, nearest, readOut,
  startPointer, make, rowOf, fillTable, maybe, showPositions, showOrders, stateCell, showFills, limitWords,
  showRisk, gauge, showModels, bullet, showHops, showProcesses, showAlerts, put, show, addPoints, showSession,
  showTrading, showAccount, setLive, connect, lose, startWatch, reconnect, startButtons, order, startRanges,
  startHops, startTheme, start];

/** The two scripts of the page: before the first paint, and after the body. */
export const SCRIPTS = {
  head: `(${chooseTheme.toString()})();`,
  body: `"use strict";\n(() => {\n${FUNCTIONS.map(String).join("\n")}\nstart();\n})();`,
} as const;
