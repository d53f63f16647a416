/** The sections as the page gets them: JSON, where a number that there is none of (NaN) becomes null. */
import { TIMEFRAMES } from "../../market/bars.ts";
import type { Hop } from "../actors/performance.ts";
import type { ProcessHealth } from "../actors/health.ts";
import { isTerminal } from "../message.ts";
import { SECTIONS, type Board, type ListedAlert, type Section } from "./board.ts";

/** What is asked of the other actors of the monitor's process. */
export interface Monitors {
  readonly hops: () => readonly Hop[];
  readonly processes: () => readonly ProcessHealth[];
}
/** Instruments listed: those of the greatest value or target. */
export const POSITIONS_MAX = 200;

/** As it arrives: NaN is no JSON. */
type Maybe = number | null;

/**
 * All that the page can be told. Money in the account's currency, shares and weights as fractions, times
 * UTC ms.
 */
export interface View {
  readonly session: {
    readonly id: string; readonly venue: string; readonly feed: string; readonly strategy: string;
    readonly timeframe: string; readonly barMs: number; readonly instruments: number;
    readonly clock: string;
  };
  readonly trading: {
    readonly state: string; readonly reason: string; readonly by: string; readonly at: Maybe;
  };
  readonly account: {
    readonly at: Maybe; readonly equity: Maybe; readonly cash: Maybe; readonly buyingPower: Maybe;
    /** Since the start of the session, and since the end of the UTC day before. */
    readonly gain: Maybe; readonly gainShare: Maybe; readonly dayGain: Maybe; readonly dayShare: Maybe;
    readonly peak: Maybe; readonly drawdown: Maybe; readonly sharpe: Maybe;
    readonly gross: Maybe; readonly net: Maybe; readonly isReconciled: boolean;
  };
  readonly curve: { readonly at: readonly number[]; readonly equity: readonly number[] };
  /** What came to the curve since the last event: time, equity. */
  readonly points: readonly (readonly [number, number])[];
  readonly positions: {
    readonly rows: readonly {
      readonly symbol: string; readonly units: number; readonly target: Maybe; readonly price: Maybe;
      readonly value: Maybe; readonly weight: Maybe; readonly targetWeight: Maybe; readonly gain: Maybe;
    }[];
    readonly held: number;
    readonly total: number;
  };
  readonly orders: readonly {
    readonly id: string; readonly at: number; readonly symbol: string; readonly quantity: number;
    readonly filled: number; readonly type: string; readonly price: Maybe; readonly state: string;
    readonly isOpen: boolean; readonly reason: string | null;
  }[];
  readonly fills: readonly {
    readonly id: string; readonly at: number; readonly symbol: string; readonly quantity: number;
    readonly price: number; readonly fee: number; readonly position: number;
  }[];
  readonly risk: {
    readonly limits: readonly { readonly name: string; readonly limit: Maybe; readonly now: Maybe }[];
    readonly actions: readonly { readonly reason: string; readonly at: number; readonly count: number }[];
  };
  readonly models: readonly {
    readonly model: string; readonly version: string; readonly weight: Maybe; readonly confidence: Maybe;
    readonly at: Maybe; readonly scored: number; readonly hitRate: Maybe; readonly meanReturn: Maybe;
  }[];
  readonly hops: readonly Hop[];
  readonly processes: readonly {
    readonly process: string; readonly health: string; readonly state: string; readonly pid: Maybe;
    readonly cpuShare: Maybe; readonly memoryBytes: Maybe; readonly loopDelayMs: Maybe;
    readonly handled: Maybe;
    readonly restarts: number; readonly silentMs: number;
  }[];
  readonly alerts: readonly ListedAlert[];
  /** By the session's clock. */
  readonly now: Maybe;
}

const VIEWS: { readonly [S in Section]: (board: Board, monitors: Monitors) => View[S] } = {
  session: ({ session }) => ({
    id: session.id, venue: session.venue, feed: session.feed, strategy: session.strategyName,
    timeframe: session.timeframe, barMs: TIMEFRAMES[session.timeframe], instruments: session.symbols.length,
    clock: session.clock.kind === "wall" ? "real time" : "market time",
  }),
  trading: ({ trading }) => trading ?? { state: "UNKNOWN", reason: "nothing heard yet", by: "", at: null },
  account: viewAccount,
  curve: ({ curve }) => ({ at: curve.at, equity: curve.equity }),
  points: ({ pending }) => pending,
  positions: viewPositions,
  orders: ({ orders, session }) => [...orders.values()].toReversed().map(({ at, order }) => ({
    id: order.id, at, symbol: session.symbols[order.instrument] ?? "?", quantity: order.quantity,
    filled: order.filled, type: order.type, state: order.state, isOpen: !isTerminal(order.state),
    price: order.averagePrice > 0 ? order.averagePrice : order.limitPrice, reason: order.reason,
  })),
  fills: ({ fills, session }) => fills.map((fill) => ({
    id: fill.executionId, at: fill.at, symbol: session.symbols[fill.instrument] ?? "?",
    quantity: fill.quantity, price: fill.price, fee: fill.fee, position: fill.position,
  })),
  risk: (board) => ({
    limits: viewLimits(board),
    actions: [...board.actions].map(([reason, { at, count }]) => ({ reason, at, count }))
      .sort((a, b) => b.at - a.at),
  }),
  models: viewModels,
  hops: (_, { hops }) => hops(),
  processes: (_, { processes }) => processes().map(({ process, health, silentMs, restarts, heartbeat }) => ({
    process, health, restarts, silentMs: Math.round(silentMs), state: heartbeat?.state ?? "expected",
    pid: heartbeat?.pid ?? null, cpuShare: heartbeat?.cpuShare ?? null,
    memoryBytes: heartbeat?.memoryBytes ?? null, loopDelayMs: heartbeat?.loopDelayMs ?? null,
    handled: heartbeat?.handled ?? null,
  })),
  alerts: ({ alerts }) => alerts.toSorted((a, b) => b.at - a.at),
  now: ({ now }) => now,
};

/** One section, as of now. */
export const viewOf = <S extends Section>(name: S, board: Board, monitors: Monitors): View[S] =>
  VIEWS[name](board, monitors);

/** All of them, for a page that has just opened. */
export const wholeView = (board: Board, monitors: Monitors): Partial<View> => Object.fromEntries(
  SECTIONS.filter((name) => name !== "points").map((name) => [name, viewOf(name, board, monitors)]));

/** What was marked since the last call; the marks are gone then. */
export function changedView(board: Board, monitors: Monitors): Partial<View> | null {
  if (board.changed.size === 0) return null;
  // A curve that was thinned out is sent whole, and then holds the points as well.
  if (board.changed.has("curve")) board.changed.delete("points");
  const view = Object.fromEntries([...board.changed].map((name) => [name, viewOf(name, board, monitors)]));
  forgetChanges(board);
  return view;
}

export function forgetChanges(board: Board): void {
  board.changed.clear();
  board.pending = [];
}

function exposureOf({ units, price, account }: Board): { gross: number; net: number; largest: number } {
  let gross = 0, net = 0, largest = 0;
  units.forEach((held, i) => {
    const value = held === 0 ? 0 : held * price[i];
    gross += Math.abs(value);
    net += value;
    largest = Math.max(largest, Math.abs(value));
  });
  const equity = account?.equity ?? NaN;
  return { gross: gross / equity, net: net / equity, largest: largest / equity };
}

function viewAccount(board: Board): View["account"] {
  const { account, performance, startEquity, dayEquity } = board, { gross, net } = exposureOf(board);
  const equity = account?.equity ?? NaN;
  return {
    at: account?.at ?? null, equity, cash: account?.cash ?? null, buyingPower: account?.buyingPower ?? null,
    gain: equity - startEquity, gainShare: equity / startEquity - 1,
    dayGain: equity - dayEquity, dayShare: equity / dayEquity - 1,
    peak: performance?.peak ?? null, drawdown: performance?.drawdown ?? null,
    sharpe: performance?.sharpe ?? null, gross, net, isReconciled: account?.isReconciled ?? false,
  };
}

function viewPositions(board: Board): View["positions"] {
  const { session, units, price, spent, target, account } = board, equity = account?.equity ?? NaN;
  const wanted = new Map<number, number>();
  target?.instrument.forEach((i, k) => wanted.set(i, k));
  const rows: View["positions"]["rows"][number][] = [];
  session.symbols.forEach((symbol, i) => {
    const k = wanted.get(i), aim = k === undefined || target === null ? NaN : target.units[k];
    const value = units[i] === 0 ? 0 : units[i] * price[i], gain = value - spent[i];
    if (units[i] === 0 && !(Math.abs(aim) > 0) && spent[i] === 0) return;
    rows.push({ symbol, units: units[i], target: aim, price: price[i], value, weight: value / equity, gain,
      targetWeight: k === undefined || target === null ? NaN : target.weight[k] });
  });
  const sizeOf = (row: (typeof rows)[number]): number =>
    Math.max(Math.abs(row.value ?? 0) || 0, Math.abs(row.target ?? 0) * (row.price ?? 0) || 0);
  rows.sort((a, b) => sizeOf(b) - sizeOf(a) || a.symbol.localeCompare(b.symbol));
  return { rows: rows.slice(0, POSITIONS_MAX), held: units.reduce((n, held) => n + (held === 0 ? 0 : 1), 0),
    total: rows.length };
}

/** Every limit of the session with what is known of its use now. */
function viewLimits(board: Board): View["risk"]["limits"] {
  const { session, account, performance, dayEquity } = board, { gross, net, largest } = exposureOf(board);
  const used: Readonly<Record<string, number>> = {
    positionMax: largest, grossMax: gross, netMax: Math.abs(net), leverageMax: gross,
    drawdownMax: performance?.drawdown ?? NaN, turnoverMax: turnoverOf(board),
    dailyLossMax: Math.max(0, 1 - (account?.equity ?? NaN) / dayEquity),
  };
  return Object.entries(session.risk).map(([name, limit]) => ({ name, limit, now: used[name] ?? null }));
}

/** Sum of |weight wanted - weight held| of the last target. */
function turnoverOf({ target, units, price, account }: Board): number {
  if (target === null || account === null) return NaN;
  let sum = 0;
  target.instrument.forEach((i, k) => {
    const held = units[i] === 0 ? 0 : units[i] * price[i] / account.equity;
    sum += Math.abs(target.weight[k] - held);
  });
  return sum;
}

function viewModels({ session, voices, mixture, performance }: Board): View["models"] {
  const names = new Set([...session.models.map(({ worker }) => worker), ...voices.keys(), ...mixture.keys(),
    ...(performance?.models ?? []).map(({ model }) => model)]);
  return [...names].map((model) => {
    const voice = voices.get(model), score = performance?.models.find((one) => one.model === model);
    return { model, version: voice?.version ?? score?.version ?? "", weight: mixture.get(model) ?? null,
      confidence: voice?.confidence ?? null, at: voice?.at ?? null, scored: score?.scored ?? 0,
      hitRate: score === undefined || score.scored === 0 ? null : score.hits / score.scored,
      meanReturn: score?.meanReturn ?? null };
  });
}
