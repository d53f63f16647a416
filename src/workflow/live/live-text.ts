/** A run in tables: processes, what was traded, how long each hop took. */
import { formatCount, formatNumber, formatPercent, formatTable } from "../../base/table.ts";
import { formatTime } from "../../base/units.ts";
import { LATENCY_TARGETS } from "../../live/actors/performance.ts";
import { MONEY } from "./display.ts";
import type { LiveReport } from "./live.ts";

const MiB = 1 << 20;

export function liveText(report: LiveReport): string {
  const { session, venue, dataset, seconds, tradingState, reason, decidedAt, decisions, equity, equityStart,
    orders, openOrders, rejected, fills, held, isReconciled, alerts, restarts, ended, dashboard, processes,
    networks, hops } = report;
  const gain = equity === null || equityStart === null ? null : equity / equityStart - 1;
  const money = (value: number | null): string => value === null ? "unknown" : formatCount(Math.round(value));
  const facts: readonly (readonly [string, string])[] = [
    [MONEY[venue], `${AT_STAKE[venue]}${dataset === null ? "" : `; bars of dataset ${dataset}`}`],
    ["session", `${session}, ${Math.round(seconds)} s${ended === null ? "" : `, ended: ${ended}`}`],
    ["trading", `${tradingState}${reason === "" ? "" : ` (${reason})`}`],
    ["decisions",
      `${formatCount(decisions)}${decidedAt === null ? "" : `, last of ${formatTime(decidedAt)}`}`],
    ["equity", `${money(equity)}${gain === null ? "" : ` (${gain >= 0 ? "+" : ""}${formatPercent(gain)})`}, `
      + `${held} instruments held${isReconciled ? "" : ", NOT reconciled with the broker"}`],
    ["orders", `${formatCount(orders)}, ${openOrders} open, ${rejected} rejected; `
      + `${formatCount(fills)} fills`],
    ...(networks === null ? [] : [["device", networks] as const]),
    ["alerts", `${alerts.critical} critical, ${alerts.warning} warnings (all in logs/); `
      + `${restarts} restarts`],
    ...(ended === null && dashboard !== null ? [["dashboard", dashboard] as const] : []),
    ["next", nextOf(report)],
  ];
  const width = Math.max(...facts.map(([name]) => name.length));
  return [facts.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join("\n"), "",
    processTable(processes, ended !== null),
    ...(hops.length === 0 ? [] : ["", hopTable(hops)])].join("\n");
}

function nextOf({ ended, session, tradingState }: LiveReport): string {
  if (tradingState === "HALTED") {
    return `${ended === null ? "" : "dmn live --paper starts halted; then "}dmn live resume (trades again)`;
  }
  return ended === null ? "dmn live halt (no new orders), dmn live stop (the end)"
    : `dmn live report --day ${session.slice(0, "2026-01-01".length)} (does the backtest say the same?)`;
}

const AT_STAKE = {
  simulator: "no money, no broker: orders are filled by the simulator",
  "alpaca-paper": "no money: Alpaca's paper account",
  "alpaca-live": "Alpaca's live account",
} as const satisfies Record<LiveReport["venue"], string>;

/** Of a run that has ended nobody asks which process had which number. */
function processTable(processes: LiveReport["processes"], isOver: boolean): string {
  const rows = processes.map(({ name, state, pid, restarts, cpuShare, memoryBytes, loopDelayMs, handled }) =>
    [name, ...(isOver ? [] : [state, pid === null ? "-" : String(pid)]), String(restarts),
      formatPercent(cpuShare, 0), String(Math.round(memoryBytes / MiB)), formatNumber(loopDelayMs, 1),
      formatCount(handled)]);
  return formatTable([{ title: "process" }, ...(isOver ? [] : [{ title: "state" }, right("pid")]),
    right("restarts"), right("CPU"), right("MiB"), right("loop ms"), right("handled")], rows);
}

function hopTable(hops: LiveReport["hops"]): string {
  return formatTable([{ title: "microseconds" }, right("count"), right("p50"), right("p99"), right("p99.9"),
    right("max")],
  hops.filter(({ name, count }) => count > 0 && name in LATENCY_TARGETS).map(({ name, count, p50, p99, p999,
    max }) =>
    [name, formatCount(count), ...[p50, p99, p999, max].map((one) => formatNumber(one, 0))]));
}

const right = (title: string): { title: string; align: "right" } => ({ title, align: "right" });
