/** The run on a screen: one line that is drawn again twice a second; elsewhere a plain line each five seconds. */
import { formatCount, formatPercent } from "../../base/table.ts";
import { formatTime } from "../../base/units.ts";
import type { LiveReport } from "./live.ts";

export interface Display {
  /** Says something for good. */
  line(text: string): void;
  draw(report: LiveReport): void;
  clear(): void;
}

const PLAIN_EVERY_MS = 5_000;
const ERASE = "\r\u001b[2K";

export function openDisplay(stream: NodeJS.WriteStream, now: () => number = () => performance.now()): Display {
  const isScreen = stream.isTTY && !process.env["CI"];
  let isDrawn = false, printedMs = now();
  const clear = (): void => {
    if (isDrawn) stream.write(ERASE);
    isDrawn = false;
  };
  return {
    clear,
    line(text) { clear(); stream.write(`${text}\n`); },
    draw(report) {
      const text = lineOf(report);
      if (isScreen) {
        stream.write(ERASE + text.slice(0, Math.max(20, stream.columns - 1)));
        isDrawn = true;
      } else if (now() - printedMs >= PLAIN_EVERY_MS) {
        printedMs = now();
        stream.write(`${text}\n`);
      }
    },
  };
}

export function lineOf(report: LiveReport): string {
  const { tradingState, decidedAt, decisions, equity, equityStart, orders, openOrders, fills, processes } = report;
  const running = processes.filter(({ state }) => state === "running").length;
  if (running < processes.length && decisions === 0) return `starting: ${running} of ${processes.length} processes`;
  const gain = equity === null || equityStart === null ? "" : ` (${equity >= equityStart ? "+" : ""}`
    + `${formatPercent(equity / equityStart - 1)})`;
  return [tradingState, decidedAt === null ? "no decision yet" : formatTime(decidedAt), `${decisions} decisions`,
    equity === null ? "no account yet" : `equity ${formatCount(Math.round(equity))}${gain}`,
    `${orders} orders${openOrders > 0 ? `, ${openOrders} open` : ""}`, `${fills} fills`,
    `${running}/${processes.length} processes${report.restarts > 0 ? `, ${report.restarts} restarts` : ""}`].join("  ");
}
