/** A session and a trading day of facts for the tests of recorder, monitor and dashboard: small, and known by heart. */
import type { AccountFact, DecisionFact, FillFact, HeartbeatFact, MarketFact, MeterRow, OrderFacts, Spoken,
  TargetCommand } from "../src/live/message.ts";
import { BAR_FIELDS } from "../src/live/message.ts";
import { PORTS, sessionSchema, type Session } from "../src/live/session.ts";

export const OPEN = Date.parse("2026-11-20T14:30:00Z");
export const MINUTE = 60_000;

export function makeSession(change: Partial<Session> = {}): Session {
  return sessionSchema.parse({
    id: "20261120-143000-a1b2", venue: "simulator", feed: "simulator", wire: "alpaca", strategyName: "ensemble",
    symbols: ["AAA", "BBB", "CCC"], timeframe: "1m", calendar: "us-equity", recipe: "dmn", recipeHash: "cafe",
    history: null, clock: { kind: "wall", isStepped: false, barsPerSecond: null },
    models: [{ worker: "lstm-1", strategy: "a" }, { worker: "transformer-1", strategy: "b" }],
    quorum: 1, deadlineMs: 50, mixture: "adaptive", isConfidenceWeighted: true,
    sizing: { volatilityTarget: 0.15, weightMax: 1, portfolioTarget: null, method: "volatility", isFractional: false,
      capital: 100_000 },
    risk: { positionMax: 0.5, grossMax: 1.5, netMax: null, drawdownMax: 0.1 },
    execution: { style: "market", slices: 1, timeoutMs: 5000, callsPerMinute: 200 },
    ports: PORTS, host: "127.0.0.1", seed: 1, faults: "none", simulatorUrl: null, ...change,
  });
}

export function market(at: number, closes: readonly number[], flag = 0): MarketFact {
  const bars = new Float64Array(closes.length * BAR_FIELDS.length);
  closes.forEach((close, i) => bars.set([close, close, close, close, 100, close, 5], i * BAR_FIELDS.length));
  return { kind: "market", at, instrument: Int32Array.from(closes, (_, i) => i), bars,
    flags: new Uint8Array(closes.length).fill(flag) };
}
export const order = (change: Partial<OrderFacts> = {}): OrderFacts => ({ id: "o-1", decidedAt: OPEN, instrument: 0,
  quantity: 10, type: "market", limitPrice: NaN, brokerId: null, state: "intended", filled: 0, averagePrice: NaN,
  reason: null, ...change });
export const orderState = (at: number, change: Partial<OrderFacts> = {}): Spoken =>
  ({ kind: "order-state", at, order: order(change) });
export const fill = (at: number, change: Partial<FillFact> = {}): FillFact => ({ kind: "fill", at, orderId: "o-1",
  executionId: "x-1", instrument: 0, quantity: 10, price: 101, fee: 0.05, position: 10, ...change });
export const account = (at: number, equity: number, units: readonly number[] = [0, 0, 0]): AccountFact => ({
  kind: "account", at, equity, cash: equity - 1000, buyingPower: 2 * equity, units: Float64Array.from(units),
  isReconciled: true });
export const heartbeat = (at: number, process: string, change: Partial<HeartbeatFact> = {}): HeartbeatFact => ({
  kind: "heartbeat", at, process, pid: 4000 + process.length, state: "running", cpuShare: 0.12,
  memoryBytes: 150e6, loopDelayMs: 3, handled: 1234, ...change });
export const meterRow = (name: string, change: Partial<MeterRow> = {}): MeterRow => ({ name, count: 1000, errors: 0,
  bytes: 2e6, mean: 60, p50: 50, p95: 120, p99: 180, p999: 400, max: 900, perSecond: 30, compression: 1, ...change });
export const decision = (at: number, position: readonly number[]): DecisionFact => ({ kind: "decision", at,
  instrument: Int32Array.from(position, (_, i) => i), position: Float32Array.from(position),
  volatility: new Float32Array(position.length).fill(0.01), confidence: new Float32Array(position.length).fill(0.5),
  members: ["lstm-1", "transformer-1"], hasQuorum: true });
export const target = (at: number, units: readonly number[], price: readonly number[]): TargetCommand => ({
  kind: "target", at, instrument: Int32Array.from(units, (_, i) => i),
  weight: Float64Array.from(units, (u, i) => u * price[i] / 100_000), units: Float64Array.from(units),
  price: Float64Array.from(price), equity: 100_000,
  actions: [{ reason: "position-limit", instrument: 1, before: 0.8, after: 0.5 }] });

/** Ten minutes of trading, each fact with the moment at which it is heard. */
export function tradingDay(): readonly (readonly [number, Spoken])[] {
  const said: [number, Spoken][] = [];
  const say = (at: number, message: Spoken): void => { said.push([at, message]); };
  say(OPEN, { kind: "trading-state", at: OPEN, state: "ACTIVE", reason: "started", by: "execution" });
  say(OPEN, account(OPEN, 100_000));
  for (let k = 1; k <= 10; k++) {
    const at = OPEN + k * MINUTE, price = 100 + k;
    say(at + 1, market(at, [price, 200 - k, 50]));
    say(at + 2, decision(at, [0.5, -0.25, 0]));
    say(at + 3, target(at, [10 * k, -5, 0], [price, 200 - k, 50]));
    say(at + 4, orderState(at, { id: `o-${k}`, decidedAt: at }));
    say(at + 5, orderState(at + 5, { id: `o-${k}`, decidedAt: at, state: "filled", filled: 10, averagePrice: price,
      brokerId: `b-${k}` }));
    say(at + 5, fill(at + 5, { orderId: `o-${k}`, executionId: `x-${k}`, price, position: 10 * k }));
    say(at + 6, account(at + 6, 100_000 + 50 * k, [10 * k, 0, 0]));
    say(at + 7, heartbeat(at + 7, "execution"));
    say(at + 8, { kind: "meter", at: at + 8, process: "execution", rows: [meterRow("order to broker")] });
  }
  say(OPEN + 11 * MINUTE, { kind: "alert", at: OPEN + 11 * MINUTE, severity: "warning", code: "feed-stale",
    text: "no bar for 60 s", process: "feed" });
  return said;
}
