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
  const body = document.querySelector("#" + id + " tbody"),
    empty = document.querySelector("#" + id + " .nothing");
  body?.replaceChildren(...rows);
  if (empty === null) return;
  empty.hidden = rows.length > 0;
  empty.textContent = nothing;
  document.querySelector("#" + id + " table")!.hidden = rows.length === 0;
}

export function showPositions(view: View["positions"]): void {
  fillTable("positions", view.rows.map((row) => rowOf(row.symbol, units(row.units), [units(row.target),
    row.target !== null && Math.abs(row.target - row.units) > 1e-9 ? "moving" : "quiet"], price(row.price),
  money(row.value), percent(row.weight, 1), [percent(row.targetWeight, 1), "quiet"],
  [signedMoney(row.gain), tone(row.gain)])), "Nothing is held and nothing is wanted.");
  document.getElementById("positions-note")!.textContent = view.held + " held"
    + (view.total > view.rows.length ? ", the largest " + view.rows.length + " of " + view.total + " shown"
      : "");
}

export function showOrders(desk: Desk, rows: View["orders"]): void {
  fillTable("orders", rows.map((row) => rowOf(moment(row.at, desk.now), [row.symbol, "text strong"],
    units(row.quantity), units(row.filled), price(row.price), stateCell(row))), "No order yet.");
  const open = rows.filter((row) => row.isOpen).length;
  document.getElementById("orders-note")!.textContent = open === 0 ? "none open" : open + " open";
}

export function stateCell(row: View["orders"][number]): PageElement {
  const kind = row.isOpen ? "open" : row.state === "filled" ? "done" : row.state === "rejected" ? "bad"
    : "quiet";
  const label = make("span", "state " + kind, row.state.replaceAll("-", " "));
  if (row.reason !== null) label.setAttribute("title", row.reason);
  return label;
}

export function showFills(desk: Desk, rows: View["fills"]): void {
  fillTable("fills", rows.map((row) => rowOf(moment(row.at, desk.now), [row.symbol, "text strong"],
    [units(row.quantity), tone(row.quantity)], price(row.price), money(row.fee), units(row.position))),
      "No fill yet.");
}

/** Limits that are set, each with how much of it is used; those that are off in one line. */
export function showRisk(desk: Desk, view: View["risk"]): void {
  const words: Record<string, string> = { positionMax: "Largest position", grossMax: "Gross exposure",
    netMax: "Net exposure", leverageMax: "Leverage", classMax: "One asset class", drawdownMax: "Drawdown",
    dailyLossMax: "Loss today", varHistoricalMax: "Value at risk, historical",
    varParametricMax: "Value at risk, parametric", turnoverMax: "Turnover of a decision",
      collarBps: "Price collar",
    orderNotionalMax: "One order", staleMs: "Age of a price", marginMax: "Buying power used",
    ordersPerMinuteMax: "Orders in a minute" };
  const form = (name: string, value: number | null): string => name === "collarBps" ? units(value) + " bp"
    : name === "orderNotionalMax" ? money(value) : name === "staleMs" ? units(value) + " ms"
      : /PerMinuteMax$/.test(name) ? units(value) : percent(value, 1);
  const set = view.limits.filter((row) => row.limit !== null),
    off = view.limits.filter((row) => row.limit === null);
  fillTable("risk", set.map((row) => {
    const share = row.now === null || row.limit === null ? null : row.now / row.limit;
    return rowOf(words[row.name] ?? row.name, row.now === null ? ["–", "quiet"] : form(row.name, row.now),
      form(row.name, row.limit), share === null ? ["", ""] : gauge(share));
  }), "No limit is set.");
  const names = off.map((row) => (words[row.name] ?? row.name).toLowerCase());
  document.getElementById("risk-off")!.textContent = names.length === 0 ? "" : "Off: " + names.join(", ")
    + ".";
  document.getElementById("risk-actions")!.replaceChildren(...view.actions.slice(0, 6).map((one) =>
    make("li", "", make("b", "", one.reason.replaceAll("-", " ")), " ×" + one.count + ", last "
      + moment(one.at, desk.now))));
}

/** A bar from 0 to 1 with a word for a reader who does not see it. */
export function gauge(share: number): PageElement {
  const width = Math.min(Math.max(share, 0), 1) * 100,
    kind = share >= 1 ? "full" : share >= 0.8 ? "near" : "free";
  return svg("svg", { class: "gauge " + kind, role: "img", "aria-label": percent(share, 0) + " used" },
    svg("rect", { class: "ground", width: "100%", height: "100%", rx: 3 }),
    svg("rect", { class: "used", width: width.toFixed(1) + "%", height: "100%", rx: 3 }));
}

export function showModels(desk: Desk, rows: View["models"]): void {
  fillTable("models", rows.map((row) => rowOf(row.model,
    row.weight === null ? ["–", "quiet"] : percent(row.weight, 0),
    row.weight === null ? ["", ""] : gauge(Math.min(row.weight, 0.799)), percent(row.confidence, 0),
    row.hitRate === null ? ["–", "quiet"] : percent(row.hitRate, 1), short(row.scored),
    row.meanReturn === null ? ["–", "quiet"] : [signedPercent(row.meanReturn * 100, 2).replace("%", " bp"),
      tone(row.meanReturn)], [row.version === "" ? "–" : row.version, "mono quiet"],
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

export function showHops(rows: View["hops"]): void {
  const most = Math.max(20_000, ...rows.map((row) => Math.max(row.p99 ?? 0, row.maximumUs ?? 0))) * 1.3;
  fillTable("hops", rows.map((row) => {
    const verdict = row.verdict === "no target" ? "" : row.verdict;
    return rowOf(row.name.replace("->", "→"), micros(row.p50), micros(row.p99), [micros(row.p999), "quiet"],
      bullet(row, most), [row.targetUs === null ? "–" : micros(row.targetUs) + " / " + micros(row.maximumUs),
        "quiet"],
      make("span", "state " + (verdict === "within" ? "done" : verdict === "" ? "quiet" : "bad"), verdict
        || "–"),
      short(row.perSecond), [short(row.errors), row.errors > 0 ? "loss" : "quiet"]);
  }), "No process has reported yet.");
}

export function showProcesses(rows: View["processes"]): void {
  const list = document.getElementById("process-list");
  list?.replaceChildren(...rows.map((row) => {
    const word = row.health === "healthy" ? row.state : row.health;
    const facts = row.pid === null ? "not heard yet" : percent(row.cpuShare, 0) + " of a core · "
      + ((row.memoryBytes ?? 0) / 2 ** 20).toFixed(0) + " MiB · loop " + (row.loopDelayMs ?? 0)
        .toFixed(0) + " ms";
    const item = make("li", row.health, make("b", "", row.process), make("span", "state " + row.health, word),
      make("span", "facts", facts + (row.restarts > 0 ? " · restarted ×" + row.restarts : "")));
    item.setAttribute("title", "process " + (row.pid ?? "–") + ", " + short(row.handled)
      + " messages handled");
    return item;
  }));
  const sick = rows.filter((row) => row.health === "late" || row.health === "lost").length;
  document.getElementById("processes-note")!.textContent = rows.length === 0 ? "none heard yet"
    : sick === 0 ? "all " + rows.length + " well" : sick + " of " + rows.length + " not heard";
}

export function showAlerts(desk: Desk, rows: View["alerts"]): void {
  const list = document.getElementById("alert-list");
  list?.replaceChildren(...rows.map((row) => make("li", row.severity,
    make("span", "when", moment(row.at, desk.now)), make("span", "state " + row.severity, row.severity),
    make("span", "who", row.process + " · " + row.code),
    make("span", "what", row.text + (row.count > 1 ? " (×" + row.count + ")" : "")))));
  document.querySelector("#alerts .nothing")!.hidden = rows.length > 0;
}
