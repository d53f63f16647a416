/**
 * The page's script, part two: start, theme, tables; and how functions become a script.
 *
 * The script is written as ordinary typed functions and sent as `Function.prototype.toString()`:
 * what runs in the browser is what the compiler checked, in the checkout (types blanked out by
 * Node) as in the published package (types removed by tsc), without a bundler and without a file
 * that the package could forget. The price: each function may use only what is in FUNCTIONS;
 * test/report.test.ts runs them all in Chromium.
 */
import type { Desk, Drawn, PageDocument, PageElement, PageWindow } from "./browser.ts";
import {
  axisX,
  axisY,
  drawChart,
  drawMarks,
  lineOf,
  logTicks,
  paint,
  readOut,
  scaleY,
  zoomAll,
} from "./client-charts.ts";
import { digitsOf, formatMoment, formatPercent, formatRatio, formatValue } from "./format.ts";
import type { Payload } from "./series.ts";

declare const document: PageDocument;
declare const window: PageWindow;

/** Sets the remembered theme before the first paint. */
function chooseTheme(): void {
  try {
    const theme = window.localStorage.getItem("dmn-report-theme");
    if (theme === "light" || theme === "dark")
      document.documentElement.setAttribute("data-theme", theme);
  } catch {
    // A browser may refuse storage to a local file: the system's theme stays.
  }
}

function isDark(): boolean {
  const chosen = document.documentElement.getAttribute("data-theme");
  return chosen === null
    ? window.matchMedia("(prefers-color-scheme: dark)").matches
    : chosen === "dark";
}

function startTheme(desk: Desk): void {
  const button = document.getElementById("theme");
  const refresh = (): void => {
    button?.setAttribute("aria-pressed", String(isDark()));
    for (const drawn of desk.drawn) drawn.plot?.redraw();
  };
  button?.addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    document.documentElement.setAttribute("data-theme", theme);
    try {
      window.localStorage.setItem("dmn-report-theme", theme);
    } catch {
      // Not remembered, then.
    }
    refresh();
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", refresh);
  let before: string | null = null;
  window.addEventListener("beforeprint", () => {
    before = document.documentElement.getAttribute("data-theme");
    document.documentElement.setAttribute("data-theme", "light");
    for (const drawn of desk.drawn) drawn.plot?.redraw();
  });
  window.addEventListener("afterprint", () => {
    if (before === null) document.documentElement.removeAttribute("data-theme");
    else document.documentElement.setAttribute("data-theme", before);
    refresh();
  });
  // Not refresh(): a redraw before the first one would take uPlot's still empty time axis for the
  // chosen one.
  button?.setAttribute("aria-pressed", String(isDark()));
}

/**
 * A press on a column's head sorts by it, greatest first; again, least first. Missing numbers stay
 * last.
 */
function startTables(): void {
  for (const table of document.querySelectorAll("table[data-sortable]")) {
    const heads = [...table.querySelectorAll("thead th")];
    heads.forEach((head, column) =>
      head.querySelector("button")?.addEventListener("click", () => {
        const isText = head.dataset["kind"] === "text";
        const was = head.getAttribute("aria-sort");
        const order =
          was === null
            ? isText
              ? "ascending"
              : "descending"
            : was === "ascending"
              ? "descending"
              : "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", order);
        sortRows(table, column, isText, order === "ascending" ? 1 : -1);
      }),
    );
  }
}

function sortRows(table: PageElement, column: number, isText: boolean, sign: number): void {
  const body = table.querySelector("tbody");
  if (body === null) return;
  const rows = [...body.querySelectorAll("tr")].map((row) => ({
    row,
    key: [...row.querySelectorAll("th,td")][column]?.dataset["value"] ?? "",
  }));
  rows.sort((a, b) => {
    if (isText) return sign * a.key.localeCompare(b.key);
    const x = Number(a.key);
    const y = Number(b.key);
    if (Number.isNaN(x) || Number.isNaN(y))
      return Number(Number.isNaN(x)) - Number(Number.isNaN(y));
    return x === y ? 0 : sign * (x < y ? -1 : 1);
  });
  body.append(...rows.map((entry) => entry.row));
}

function bytesOf(text: string): ArrayBuffer {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let k = 0; k < raw.length; k++) bytes[k] = raw.charCodeAt(k);
  return bytes.buffer;
}

/**
 * Unpacks the payload, one entry a chart that has a place on the page. Curves at or below 0 have no
 * logarithm.
 */
function openDesk(payload: Payload): Desk {
  const time = Array.from(new Float64Array(bytesOf(payload.time)));
  const desk: Desk = {
    time,
    marks: payload.marks,
    isIntraday: payload.isIntraday,
    drawn: [],
    isZooming: false,
  };
  for (const chart of payload.charts) {
    const figure = document.getElementById("chart-" + chart.id);
    const box = figure?.querySelector(".plot") ?? null;
    if (figure === null || box === null || time.length === 0) continue;
    const columns = chart.series.map((one) => {
      if (typeof one.values === "number") return time.map(() => one.values as number);
      return Array.from(new Float32Array(bytesOf(one.values)), (value) =>
        Number.isFinite(value) ? value : null,
      );
    });
    const isPositive = columns.every((column) =>
      column.every((value) => value === null || value > 0),
    );
    desk.drawn.push({
      form: chart.form,
      figure,
      box,
      title: chart.id,
      columns,
      series: chart.series,
      isShown: chart.series.map(() => true),
      isLog: chart.canLog && isPositive,
      plot: null,
    });
  }
  return desk;
}

function startLegend(desk: Desk, drawn: Drawn): void {
  let index = 0;
  for (const button of drawn.figure.querySelectorAll(".legend button")) {
    const k = index++;
    button.addEventListener("click", () => {
      drawn.isShown[k] = !drawn.isShown[k];
      button.setAttribute("aria-pressed", String(drawn.isShown[k]));
      drawn.plot?.setSeries(drawn.series.length - k, { show: drawn.isShown[k] });
    });
  }
  for (const button of drawn.figure.querySelectorAll("[data-scale]")) {
    button.addEventListener("click", () => {
      drawn.isLog = button.dataset["scale"] === "log";
      for (const other of drawn.figure.querySelectorAll("[data-scale]")) {
        other.setAttribute(
          "aria-pressed",
          String((other.dataset["scale"] === "log") === drawn.isLog),
        );
      }
      drawChart(desk, drawn);
    });
  }
  drawn.box.addEventListener("keydown", (event) => {
    const step = event.key === "ArrowLeft" ? -1 : event.key === "ArrowRight" ? 1 : 0;
    if (step === 0 || drawn.plot === null) return;
    event.preventDefault();
    const row = drawn.plot.cursor.idx ?? desk.time.length - 1;
    const next = Math.max(
      0,
      Math.min(desk.time.length - 1, row + step * (event.shiftKey === true ? 21 : 1)),
    );
    drawn.plot.setCursor({ left: drawn.plot.valToPos(desk.time[next], "x"), top: 10 });
  });
}

function startSpans(desk: Desk): void {
  const last = desk.time[desk.time.length - 1];
  for (const button of document.querySelectorAll("[data-years]")) {
    button.addEventListener("click", () => {
      const years = button.dataset["years"];
      const min = years === "all" ? desk.time[0] : last - Number(years) * 31557600;
      desk.drawn[0]?.plot?.setScale("x", { min, max: last });
    });
  }
}

function startPage(): void {
  const payload = document.getElementById("payload");
  const desk = openDesk(JSON.parse(payload?.textContent ?? "{}") as Payload);
  for (const drawn of desk.drawn) {
    drawChart(desk, drawn);
    startLegend(desk, drawn);
    readOut(desk, drawn, null);
    new window.ResizeObserver(() => {
      if (drawn.box.clientWidth > 0)
        drawn.plot?.setSize({ width: drawn.box.clientWidth, height: drawn.box.clientHeight });
    }).observe(drawn.box);
  }
  startSpans(desk);
  startTheme(desk);
  startTables();
}

const FUNCTIONS = [
  formatPercent,
  formatRatio,
  formatValue,
  formatMoment,
  digitsOf,
  paint,
  drawChart,
  scaleY,
  axisX,
  axisY,
  logTicks,
  lineOf,
  drawMarks,
  readOut,
  zoomAll,
  isDark,
  startTheme,
  startTables,
  sortRows,
  bytesOf,
  openDesk,
  startLegend,
  startSpans,
  startPage,
];

/** Runs in the head, before anything is painted. */
export function themeScript(): string {
  return `"use strict";(${chooseTheme.toString()})();`;
}

/** The script of a page without charts that move: theme and tables. */
export function stillScript(): string {
  const functions = [isDark, startTheme, startTables, sortRows].map(String).join("\n");
  return `"use strict";(() => {\n${functions}\nstartTheme({ drawn: [] });\nstartTables();\n})();`;
}

/** Runs at the end of the body, after uPlot. */
export function pageScript(): string {
  return `"use strict";(() => {\n${FUNCTIONS.map(String).join("\n")}\nstartPage();\n})();`;
}
