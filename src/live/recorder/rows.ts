/**
 * What the databases keep of what is said: one message, its rows. Pure, and the only place that knows, so
 * that a database rebuilt from the journals (rebuild.ts) holds what was written the first time.
 */
import type { Kind, Spoken } from "../message.ts";
import type { Session } from "../session.ts";
import type { Cell, Row, TableName } from "./schema.ts";

/** A process's heartbeat is kept this often, ms of the session's clock; a change of its state always. */
export const HEARTBEAT_ROW_MS = 10_000;

/** What rows depend on besides their message. */
export interface RowState {
  readonly session: Session;
  /** Units last written per instrument: only changes are rows. */
  readonly units: Float64Array;
  readonly heartbeats: Map<string, { at: number; state: string }>;
}

export const startRows = (session: Session): RowState =>
  ({ session, units: new Float64Array(session.symbols.length), heartbeats: new Map() });

/** The row that says what a session is. */
export function sessionRow(session: Session, startedAt: number): Row {
  return { table: "sessions", cells: [session.id, Math.round(startedAt), session.venue, session.feed,
    session.strategyName, session.timeframe, session.symbols.join(" "), JSON.stringify(session)] };
}

/** Kinds that become no row: the journal alone keeps them. */
type Unlisted = "market" | "quote" | "notice" | "features" | "prediction" | "mixture" | "settled" | "tick";
type Listed = Exclude<Kind, Unlisted>;
type Maker<K extends Kind> = (message: Extract<Spoken, { kind: K }>, state: RowState,
  row: (table: TableName, ...cells: readonly (Cell | boolean)[]) => void) => void;

const MAKERS: { readonly [K in Listed]: Maker<K> } = {
  decision: (message, { session }, row) => {
    const members = message.members.join(" ");
    message.instrument.forEach((i, k) => row("decisions", session.symbols[i], message.position[k],
      message.volatility[k], message.confidence[k], members, message.hasQuorum));
  },
  target: (message, { session }, row) => {
    message.instrument.forEach((i, k) => row("targets", session.symbols[i], message.weight[k],
      message.units[k], message.price[k]));
    for (const { reason, instrument, before, after } of message.actions) {
      row("risk_actions", reason, session.symbols[instrument] ?? null, before, after);
    }
  },
  "order-state": ({ order }, { session }, row) => {
    row("orders", order.id, Math.round(order.decidedAt), session.symbols[order.instrument] ?? null,
      order.quantity, order.type, order.limitPrice, order.brokerId, order.state, order.filled,
      order.averagePrice, order.reason);
    row("order_states", order.id, order.state, order.filled, order.averagePrice, order.reason);
  },
  fill: (fill, state, row) => {
    const symbol = state.session.symbols[fill.instrument] ?? null;
    row("fills", fill.executionId, fill.orderId, symbol, fill.quantity, fill.price, fill.fee, fill.position);
    if (symbol === null) return;
    state.units[fill.instrument] = fill.position;
    row("positions", symbol, fill.position);
  },
  account: (account, state, row) => {
    row("equity", account.equity, account.cash, account.buyingPower, account.isReconciled);
    account.units.forEach((units, i) => {
      if (i >= state.units.length || Object.is(state.units[i], units)) return;
      state.units[i] = units;
      row("positions", state.session.symbols[i], units);
    });
  },
  "trading-state": ({ state, reason, by }, _, row) => row("trading_states", state, reason, by),
  alert: ({ severity, code, text, process }, _, row) => row("alerts", severity, code, text, process),
  control: ({ action, by, subject, value }, _, row) => row("controls", action, by, subject, value),
  heartbeat: (beat, { heartbeats }, row) => {
    const last = heartbeats.get(beat.process);
    if (last !== undefined && last.state === beat.state && beat.at - last.at < HEARTBEAT_ROW_MS) return;
    heartbeats.set(beat.process, { at: beat.at, state: beat.state });
    row("processes", beat.process, beat.pid, beat.state, beat.cpuShare, Math.round(beat.memoryBytes),
      beat.loopDelayMs, beat.handled);
  },
  meter: ({ process, rows }, _, row) => {
    for (const m of rows) {
      row("latencies", process, m.name, m.count, m.errors, Math.round(m.bytes), m.mean, m.p50, m.p95, m.p99,
        m.p999, m.max, m.perSecond, m.compression);
    }
  },
  performance: ({ equity, peak, drawdown, sharpe, models }, _, row) => {
    row("performance", equity, peak, drawdown, sharpe);
    for (const m of models) row("models", m.model, m.version, m.weight, m.scored, m.hits, m.meanReturn);
  },
};

/** The rows of one message, in order; most messages have none. */
export function rowsOf(state: RowState, message: Spoken): readonly Row[] {
  if (!Object.hasOwn(MAKERS, message.kind)) return [];
  const make = MAKERS[message.kind as keyof typeof MAKERS] as unknown as Maker<Listed>;
  const rows: Row[] = [], { id } = state.session, at = Math.round(message.at);
  make(message as Extract<Spoken, { kind: Listed }>, state, (table, ...cells) => {
    rows.push({ table, cells: [id, at, ...cells.map(toCell)] });
  });
  return rows;
}

const toCell = (cell: Cell | boolean): Cell =>
  typeof cell === "boolean" ? Number(cell) : typeof cell === "number" && !Number.isFinite(cell) ? null : cell;
