/**
 * The run on a screen: one line that is drawn again twice a second; elsewhere a plain line each five seconds.
 */
import { formatCount, formatPercent } from "../../base/table.ts";
import { formatTime } from "../../base/units.ts";
import type { LiveReport } from "./live.ts";

export interface Display {
  /** Says something for good. */
  line(text: string): void;
  /** The same sentence, names and numbers aside, is shown once a minute: the logs have all of them. */
  alert(text: string): void;
  draw(report: LiveReport): void;
  clear(): void;
}

const PLAIN_EVERY_MS = 5_000;
const ALERT_EVERY_MS = 60_000;
/** Sentences remembered; beyond it all are shown again. */
const ALERTS_MAX = 1_000;
const ERASE = "\r\u001b[2K";
/** What every table and page of a run says first. */
export const MONEY = {
  simulator: "SIMULATED", "alpaca-paper": "PAPER", "alpaca-live": "REAL MONEY",
} as const satisfies Record<LiveReport["venue"], string>;

export function openDisplay(stream: NodeJS.WriteStream,
  now: () => number = () => performance.now()): Display {
  const isScreen = stream.isTTY && !process.env["CI"], shown = new Map<string, number>();
  let isDrawn = false, printed = "", printedMs = now(), names: readonly string[] = [];
  const clear = (): void => {
    if (isDrawn) stream.write(ERASE);
    isDrawn = false;
  };
  const line = (text: string): void => { clear(); stream.write(`${text}\n`); };
  /** "the loop of NAME was blocked for # ms", "SYMBOL: stays at #": told of one for all. */
  const kindOf = (text: string): string =>
    names.reduce((kind, name) => kind.replaceAll(name, "NAME"), text)
      .replace(/\b[A-Z][A-Z\d.]+\b/g, "SYMBOL").replace(/[\d,.]+/g, "#");
  return {
    clear, line,
    alert(text) {
      const kind = kindOf(text), before = shown.get(kind);
      if (before !== undefined && now() - before < ALERT_EVERY_MS) return;
      if (shown.size >= ALERTS_MAX) shown.clear();
      shown.set(kind, now());
      line(text);
    },
    draw(report) {
      const text = lineOf(report);
      names = report.processes.map(({ name }) => name);
      if (isScreen) {
        stream.write(ERASE + text.slice(0, Math.max(20, stream.columns - 1)));
        isDrawn = true;
      } else if (text !== printed && now() - printedMs >= PLAIN_EVERY_MS) {
        printed = text;
        printedMs = now();
        stream.write(`${text}\n`);
      }
    },
  };
}

/** At most 100 columns of what matters most; processes are told of when one is not running. */
export function lineOf(report: LiveReport): string {
  const { venue, tradingState, decidedAt, decisions, equity, equityStart, orders, openOrders, processes,
    restarts } = report;
  const running = processes.filter(({ state }) => state === "running").length;
  const processesUp = `${running} of ${processes.length} processes`;
  if (running < processes.length && decisions === 0) return `starting: ${processesUp}`;
  const gain = equity === null || equityStart === null ? "" : ` (${equity >= equityStart ? "+" : ""}`
    + `${formatPercent(equity / equityStart - 1)})`;
  return [MONEY[venue], tradingState === "HALTED" ? "HALTED: dmn live resume" : tradingState,
    decidedAt === null ? "no decision yet" : formatTime(decidedAt).slice(0, "2026-01-01T00:00".length),
    equity === null ? "no account yet" : `equity ${formatCount(Math.round(equity))}${gain}`,
    `${formatCount(orders)} orders${openOrders > 0 ? `, ${openOrders} open` : ""}`,
    ...(running < processes.length ? [processesUp] : []),
    ...(restarts > 0 ? [`${restarts} restarts`] : [])].join("  ");
}
