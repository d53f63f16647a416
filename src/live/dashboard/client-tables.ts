/**
 * The page's script: tables and lists, one function per section. Sent as text (client.ts). Only text is
 * ever put in.
 */
import type { PageDocument, PageElement } from "./browser.ts";
import { svg } from "./client-chart.ts";
import { micros, moment, money, percent, price, short, signedMoney, signedPercent, tone,
  units } from "./client-format.ts";
import type { Desk } from "./client.ts";
import type { View } from "./view.ts";

declare const document: PageDocument;

/** An element with a class and text or children. */
export function make(name: string, className: string, ...content: (PageElement | string)[]): PageElement {
  const element = document.createElement(name);
  if (className !== "") element.className = className;
  element.append(...content);
  return element;
}

/** A row: its first cell is its head. A cell is text, text with a class, or an element. */
export function rowOf(head: string | PageElement,
  ...cells: (string | [string, string] | PageElement)[]): PageElement {
  const first = make("th", "", head);
  first.setAttribute("scope", "row");
  const rest = cells.map((cell) => {
    if (typeof cell === "string") return make("td", "", cell);
    return Array.isArray(cell) ? make("td", cell[1], cell[0]) : make("td", "picture", cell);
  });
  return make("tr", "", first, ...rest);
}

/** Fills the table's body, or says why there is nothing. */
export function fillTable(id: string, rows: PageElement[], nothing: string): void {
  const empty = document.querySelector("#" + id + " .nothing")!;
  document.querySelector("#" + id + " tbody")!.replaceChildren(...rows);
  empty.hidden = rows.length > 0;
  empty.textContent = nothing;
  document.querySelector("#" + id + " table")!.hidden = rows.length === 0;
}

/** A number that may not be there, quiet when it is not. */
export function maybe(value: number | null, form: (value: number) => string,
  className = ""): [string, string] {
  return value === null ? ["–", "quiet"] : [form(value), className];
}

export function showPositions(view: View["positions"]): void {
  fillTable("positions", view.rows.map((row) => {
    const isMoving = row.target !== null && Math.abs(row.target - row.units) > 1e-9;
    return rowOf(row.symbol, units(row.units), [units(row.target), isMoving ? "moving" : "quiet"],
      price(row.price), money(row.value), percent(row.weight, 1), [percent(row.targetWeight, 1), "quiet"],
      [signedMoney(row.gain), tone(row.gain)]);
  }), "Nothing is held and nothing is wanted.");
  const hidden = view.total - view.rows.length;
  document.getElementById("positions-note")!.textContent = view.held + " held"
    + (hidden > 0 ? ", the smallest " + hidden + " not shown" : "");
}

export function showOrders(desk: Desk, rows: View["orders"]): void {
  fillTable("orders", rows.map((row) => rowOf(moment(row.at, desk.now), [row.symbol, "text strong"],
    units(row.quantity), units(row.filled), price(row.price), stateCell(row))), "No order yet.");
  const open = rows.filter((row) => row.isOpen).length;
  document.getElementById("orders-note")!.textContent = open === 0 ? "none open" : open + " open";
}

export function stateCell(row: View["orders"][number]): PageElement {
  const kinds: Record<string, string> = { filled: "done", rejected: "bad", unknown: "bad" };
  const kind = kinds[row.state] ?? (row.isOpen ? "open" : "quiet");
  const word = make("span", "state " + kind, row.state.replaceAll("-", " "));
  if (row.reason !== null) word.setAttribute("title", row.reason);
  return word;
}

export function showFills(desk: Desk, rows: View["fills"]): void {
  fillTable("fills", rows.map((row) => rowOf(moment(row.at, desk.now), [row.symbol, "text strong"],
    [units(row.quantity), tone(row.quantity)], price(row.price), money(row.fee), units(row.position))),
  "No fill yet.");
}

/** What a limit is called, and how its number reads. */
export function limitWords(name: string): [string, (value: number) => string] {
  const share = (value: number): string => percent(value, 1);
  const words: Record<string, [string, (value: number) => string]> = {
    positionMax: ["Largest position", share], grossMax: ["Gross exposure", share],
    netMax: ["Net exposure", share], leverageMax: ["Leverage", share], classMax: ["One asset class", share],
    drawdownMax: ["Drawdown", share], dailyLossMax: ["Loss today", share],
    varHistoricalMax: ["Value at risk, historical", share],
    varParametricMax: ["Value at risk, parametric", share],
    turnoverMax: ["Turnover of a decision", share], marginMax: ["Buying power used", share],
    collarBps: ["Price collar", (value) => units(value) + " bp"], orderNotionalMax: ["One order", money],
    staleMs: ["Age of a price", (value) => units(value) + " ms"],
    ordersPerMinuteMax: ["Orders in a minute", units],
  };
  return words[name] ?? [name, units];
}

/** Limits that are set, each with how much of it is used; those that are off in one line. */
export function showRisk(desk: Desk, view: View["risk"]): void {
  const set = view.limits.filter((row) => row.limit !== null);
  fillTable("risk", set.map((row) => {
    const [word, form] = limitWords(row.name);
    const share = row.now === null || row.limit === null ? null : row.now / row.limit;
    const kind = share === null || share < 0.8 ? "free" : share < 1 ? "near" : "full";
    return rowOf(word, maybe(row.now, form), maybe(row.limit, form),
      share === null ? "" : gauge(share, kind));
  }), "No limit is set.");
  const off = view.limits.filter((row) => row.limit === null)
    .map((row) => limitWords(row.name)[0].toLowerCase());
  document.getElementById("risk-off")!.textContent = off.length === 0 ? "" : "Off: " + off.join(", ") + ".";
  document.getElementById("risk-actions")!.replaceChildren(...view.actions.slice(0, 6).map((one) =>
    make("li", "", make("b", "", one.reason.replaceAll("-", " ")),
      " ×" + one.count + ", last " + moment(one.at, desk.now))));
}

/** A bar from 0 to 1, with a word for a reader who does not see it. */
export function gauge(share: number, kind: string): PageElement {
  const width = (Math.min(Math.max(share, 0), 1) * 100).toFixed(1) + "%";
  return svg("svg", { class: "gauge " + kind, role: "img", "aria-label": percent(share, 0) },
    svg("rect", { class: "ground", width: "100%", height: "100%", rx: 3 }),
    svg("rect", { class: "used", width, height: "100%", rx: 3 }));
}

export function showModels(desk: Desk, rows: View["models"]): void {
  const points = (value: number): string => signedPercent(value * 100).replace("%", " bp");
  fillTable("models", rows.map((row) => rowOf(row.model,
    maybe(row.weight, (value) => percent(value, 0)), row.weight === null ? "" : gauge(row.weight, "free"),
    percent(row.confidence, 0), maybe(row.hitRate, (value) => percent(value, 1)), short(row.scored),
    maybe(row.meanReturn, points, tone(row.meanReturn)), [row.version || "–", "mono quiet"],
    [moment(row.at, desk.now), "quiet"])), "No model has answered yet.");
}

/** A range p50 to p99 on a scale of equal ratios, with marks at the target and at the maximum. */
export function bullet(row: View["hops"][number], most: number): PageElement {
  const place = (value: number): number => Math.log10(Math.max(value, 10) / 10) / Math.log10(most / 10) * 100;
  const mark = (value: number | null, kind: string): PageElement[] => value === null ? []
    : [svg("line", { class: kind, x1: place(value) + "%", x2: place(value) + "%", y1: 0, y2: 16 })];
  const verdict = row.verdict.replaceAll(" ", "-");
  return svg("svg", { class: "bullet " + verdict, role: "img",
    "aria-label": "p50 " + micros(row.p50) + " to p99 " + micros(row.p99) + ", " + row.verdict },
  ...mark(row.targetUs, "aim"), ...mark(row.maximumUs, "edge"),
  svg("line", { class: "range", x1: place(row.p50) + "%", x2: place(row.p99) + "%", y1: 8, y2: 8 }),
  svg("circle", { class: "middle", cx: place(row.p50) + "%", cy: 8, r: 4 }));
}

/** Those of the founding table; all that are measured when the button is pressed. */
export function showHops(desk: Desk, all: View["hops"]): void {
  desk.hops = all;
  const button = document.getElementById("all-hops")!, aimed = all.filter((row) => row.targetUs !== null);
  const rows = button.getAttribute("aria-pressed") === "true" || aimed.length === 0 ? all : aimed;
  button.hidden = aimed.length === 0 || aimed.length === all.length;
  button.textContent = "all " + all.length + " paths";
  const most = Math.max(20_000, ...rows.map((row) => Math.max(row.p99 ?? 0, row.maximumUs ?? 0))) * 1.3;
  const kinds: Record<string, string> = { "within": "done", "no target": "quiet" };
  fillTable("hops", rows.map((row) => rowOf(row.name.replace("->", "→"), micros(row.p50), micros(row.p99),
    [micros(row.p999), "quiet"], bullet(row, most),
    maybe(row.targetUs, (value) => micros(value) + " / " + micros(row.maximumUs), "quiet"),
    make("span", "state " + (kinds[row.verdict] ?? "bad"), row.verdict),
    short(row.perSecond), [short(row.errors), row.errors > 0 ? "loss" : "quiet"])),
  "No process has reported yet.");
}

export function showProcesses(rows: View["processes"]): void {
  document.getElementById("process-list")!.replaceChildren(...rows.map((row) => {
    const facts = row.pid === null ? ["not heard yet"] : [percent(row.cpuShare, 0) + " of a core",
      Math.round((row.memoryBytes ?? 0) / 2 ** 20) + " MiB",
      "loop " + Math.round(row.loopDelayMs ?? 0) + " ms"];
    if (row.restarts > 0) facts.push("restarted ×" + row.restarts);
    const word = make("span", "state " + row.health, row.health === "healthy" ? row.state : row.health);
    const line = make("li", "", make("b", "", row.process), word, make("span", "facts", facts.join(" · ")));
    line.setAttribute("title", "process " + (row.pid ?? "–") + ", " + short(row.handled) + " handled");
    return line;
  }));
  const sick = rows.filter((row) => row.health === "late" || row.health === "lost").length;
  document.getElementById("processes-note")!.textContent = rows.length === 0 ? "none heard yet"
    : sick === 0 ? "all " + rows.length + " well" : sick + " of " + rows.length + " not heard";
}

export function showAlerts(desk: Desk, rows: View["alerts"]): void {
  document.getElementById("alert-list")!.replaceChildren(...rows.map((row) => make("li", row.severity,
    make("span", "when", moment(row.at, desk.now)), make("span", "state " + row.severity, row.severity),
    make("span", "who", row.process + " · " + row.code),
    make("span", "what", row.text + (row.count > 1 ? " (×" + row.count + ")" : "")))));
  document.querySelector("#alerts .nothing")!.hidden = rows.length > 0;
}
