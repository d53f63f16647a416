/**
 * The last word on weights and orders, the same for vector engine, event engine and live. Pure: a
 * function of the weights wanted, the weights held and the state of the account; every change of a
 * weight carries a reason code.
 *
 *     weights wanted --position--class--gross--net--VaR--turnover--> allowed (until nothing moves)
 *                        each step only scales down; no sign ever flips
 *
 *     mode   NORMAL --daily loss, held exposure above leverageMax--> REDUCING: nothing may grow
 *            NORMAL, REDUCING --drawdownMax--> HALTED (all closed, for good)
 *
 * Weights are **fractions of equity** (w_i / N), exposures sums of them. Trades that reduce are
 * never held back: the turnover cap limits what is opened or enlarged. Order-level gates (price
 * collar, notional, stale, halted) are at the end. Every limit is off (Infinity) by default.
 */
import { BPS } from "../base/units.ts";
import { ASSET_CLASSES, type AssetClass } from "../market/instrument.ts";
import { valueAtRiskOf, type ValueAtRisk } from "./value-at-risk.ts";

export interface RiskLimits {
  /** Largest |weight| of one instrument, fraction of equity. */
  readonly positionMax: number;
  /** Sum of |weight|. */
  readonly grossMax: number;
  /** |sum of weights|. */
  readonly netMax: number;
  /** Gross exposure, wanted or held: when what is *held* has drifted above it, nothing may grow. */
  readonly leverageMax: number;
  /** Sum of |weight| of one asset class. */
  readonly classMax: number;
  /** Fall from the highest equity, fraction: reached, everything is closed for good. */
  readonly drawdownMax: number;
  /** Loss since the last equity of the session before, fraction: reached, nothing may grow until the next. */
  readonly dailyLossMax: number;
  /** One-period 95 % value at risk from the history of returns, fraction of equity. */
  readonly varHistoricalMax: number;
  /** The same, 1.645 standard deviations of that history. */
  readonly varParametricMax: number;
  /**
   * Sum of |change of weight| at one decision; trades that reduce count, and are never held back.
   */
  readonly turnoverMax: number;
  /** Largest distance of an order's price from the last price, basis points. */
  readonly collarBps: number;
  /** Largest |quantity| x price of one order, money. */
  readonly orderNotionalMax: number;
  /** Oldest last price an order may rely on, milliseconds. */
  readonly staleMs: number;
  /** Orders in any 60 seconds. */
  readonly ordersPerMinuteMax: number;
  /** Share of the buying power that openings may use. */
  readonly marginMax: number;
}

export const NO_LIMITS: RiskLimits = {
  positionMax: Infinity, grossMax: Infinity, netMax: Infinity, leverageMax: Infinity,
  classMax: Infinity, drawdownMax: Infinity, dailyLossMax: Infinity, varHistoricalMax: Infinity,
  varParametricMax: Infinity, turnoverMax: Infinity, collarBps: Infinity, orderNotionalMax: Infinity,
  staleMs: Infinity, ordersPerMinuteMax: Infinity, marginMax: Infinity,
};

/** Why a weight was changed or an order refused. */
export const RISK_REASONS = {
  "not-finite": "the weight or order was not a finite number, so it is 0",
  "drawdown-limit": "equity has fallen from its highest by the drawdown limit: everything is closed",
  "daily-loss": "the session's loss has reached its limit: nothing may grow until the next one",
  "held-leverage": "what is held has drifted above the leverage limit: nothing may grow",
  "position-limit": "the weight of one instrument was above its limit",
  "class-limit": "the exposure to one asset class was above its limit",
  "gross-limit": "the gross exposure was above its limit",
  "leverage-limit": "the gross exposure was above the leverage limit",
  "net-limit": "the net exposure was above its limit; the larger side was reduced",
  "var-historical": "the historical value at risk was above its limit",
  "var-parametric": "the parametric value at risk was above its limit",
  "turnover-cap": "more would have been traded than the turnover cap allows; openings were reduced",
  "limits-conflict": "the limits pull against each other: nothing may grow at this decision",
  "halted-symbol": "trading in the symbol is halted",
  "stale-data": "the last price is older than allowed",
  "price-collar": "the order's price is too far from the last price",
  "order-notional": "the order is larger than allowed",
  "reduce-only": "trading may only reduce: nothing may grow",
  "intraday-margin": "what would be opened costs more than the buying power",
  "quorum-lost": "too few models answered: everything is closed",
  "kill-switch": "trading is halted",
  "order-rate": "more orders would go out in a minute than allowed",
  "duplicate-order": "the same order is open already",
  "self-cross": "an open order of our own is on the other side",
} as const satisfies Record<string, string>;
export type RiskReason = keyof typeof RISK_REASONS;

export interface RiskAction {
  readonly reason: RiskReason;
  /** Index of the instrument, or -1 when all or a group were changed. */
  readonly instrument: number;
  /**
   * The quantity that was limited, before and after (exposure, weight, value at risk or turnover).
   */
  readonly before: number;
  readonly after: number;
}

export type RiskMode = "NORMAL" | "REDUCING" | "HALTED";

/**
 * What the limits need to know of the account. Owned by whoever owns the account; changed by the
 * functions below.
 */
export interface RiskState {
  mode: RiskMode;
  /** (N) index into ASSET_CLASSES. */
  readonly classOf: Uint8Array;
  equity: number;
  /** Highest equity so far. */
  peak: number;
  /** Last equity of the session before. */
  dayStart: number;
  /** Session day, any number that grows with days. */
  day: number;
  /** A person or the broker allows reductions only. */
  isReduceOnly: boolean;
  /** What may be opened, fraction of equity; Infinity: unknown, or nobody lends. */
  buyingPower: number;
  /** (HISTORY, N) latest returns of one period, a ring; empty until the first `observeReturns`. */
  history: Float64Array;
  /** Rows ever observed; the ring holds the last HISTORY of them. */
  observed: number;
}

/**
 * Periods of returns the value at risk looks back on; with fewer than VAR_ROWS_MIN there is no
 * estimate and no limit.
 */
export const VAR_HISTORY = 250;
export const VAR_ROWS_MIN = 60;
/** A limit is broken only beyond rounding, so that a second call finds nothing to do. */
const SLACK = 1 + 1e-12;
const PASSES_MAX = 8;

export function startRisk(classes: readonly AssetClass[], equity: number): RiskState {
  return {
    mode: "NORMAL", classOf: Uint8Array.from(classes, (name) => ASSET_CLASSES.indexOf(name)),
    equity, peak: equity, dayStart: equity, day: -Infinity, isReduceOnly: false, buyingPower: Infinity, history: new Float64Array(0), observed: 0,
  };
}

/** Tells the equity at a moment of a day (any number that grows with days). */
export function observeEquity(state: RiskState, equity: number, day: number): void {
  if (day !== state.day) { state.dayStart = state.equity; state.day = day; }
  state.equity = equity;
  if (equity > state.peak) state.peak = equity;
}

/** Whether `observeReturns` is worth calling. */
export function needsReturns(limits: RiskLimits): boolean {
  return limits.varHistoricalMax < Infinity || limits.varParametricMax < Infinity;
}

/** Tells one period's returns of all instruments; an instrument without one has 0. */
export function observeReturns(state: RiskState, returns: Float64Array): void {
  const count = state.classOf.length;
  if (state.history.length === 0) state.history = new Float64Array(VAR_HISTORY * count);
  state.history.set(returns, (state.observed % VAR_HISTORY) * count);
  state.observed++;
}

/**
 * Scales `weights` (N, fractions of equity) down in place until every limit holds; sets
 * `state.mode`. `previous` (N) is what is held now. Calling it again with the same arguments
 * changes nothing.
 */
export function applyLimits(weights: Float64Array, previous: Float64Array, state: RiskState,
  limits: RiskLimits): RiskAction[] {
  const actions: RiskAction[] = [];
  for (let i = 0; i < weights.length; i++) {
    if (!Number.isFinite(weights[i])) {
      actions.push({ reason: "not-finite", instrument: i, before: weights[i], after: 0 });
      weights[i] = 0;
    }
  }
  setMode(previous, state, limits, actions);
  if (state.mode === "HALTED") return closeAll(weights, actions);
  for (let pass = 0; pass < PASSES_MAX; pass++) {
    if (!scaleOnce(weights, previous, state, limits, actions)) return actions;
  }
  // Limits that pull against each other: give up growing, then take the two limits that reducing
  // can break.
  act(actions, "limits-conflict", grossOf(weights), NaN);
  forbidGrowth(weights, previous);
  limitNet(weights, limits, actions);
  limitValueAtRisk(weights, state, limits, actions);
  return actions;
}

/** Whether the drawdown limit is reached, or everything is lost. */
export function isDrawnDown({ equity, peak }: RiskState, { drawdownMax }: RiskLimits): boolean {
  return equity <= peak * (1 - drawdownMax) || equity <= 0;
}

/** HALTED is for good; REDUCING is decided anew each time. */
function setMode(previous: Float64Array, state: RiskState, limits: RiskLimits,
  actions: RiskAction[]): void {
  if (state.mode === "HALTED") return;
  if (isDrawnDown(state, limits)) {
    const drawdown = 1 - state.equity / state.peak;
    act(actions, "drawdown-limit", drawdown, limits.drawdownMax);
    state.mode = "HALTED";
    return;
  }
  state.mode = "NORMAL";
  if (state.equity <= state.dayStart * (1 - limits.dailyLossMax)) {
    const loss = 1 - state.equity / state.dayStart;
    act(actions, "daily-loss", loss, limits.dailyLossMax);
    state.mode = "REDUCING";
  }
  if (state.isReduceOnly) {
    act(actions, "reduce-only", grossOf(previous), NaN);
    state.mode = "REDUCING";
  }
  if (limits.leverageMax < Infinity) {
    const held = grossOf(previous);
    if (held > limits.leverageMax * SLACK) {
      act(actions, "held-leverage", held, limits.leverageMax);
      state.mode = "REDUCING";
    }
  }
}

/** Notes an action on a group or on everything. */
const act = (actions: RiskAction[], reason: RiskReason, before: number, after: number): void =>
  void actions.push({ reason, instrument: -1, before, after });

function closeAll(weights: Float64Array, actions: RiskAction[]): RiskAction[] {
  const gross = grossOf(weights);
  const isSaid = actions.some((action) => action.reason === "drawdown-limit");
  if (gross > 0 && !isSaid) act(actions, "drawdown-limit", gross, 0);
  weights.fill(0);
  return actions;
}

/** One pass over all limits; false when none of them had to act. */
function scaleOnce(weights: Float64Array, previous: Float64Array, state: RiskState, limits: RiskLimits,
  actions: RiskAction[]): boolean {
  const before = actions.length;
  if (limits.positionMax < Infinity) limitPositions(weights, limits.positionMax, actions);
  if (limits.classMax < Infinity) limitClasses(weights, state.classOf, limits.classMax, actions);
  limitGross(weights, limits, actions);
  limitNet(weights, limits, actions);
  limitValueAtRisk(weights, state, limits, actions);
  const hasShrunk = state.mode === "REDUCING" && forbidGrowth(weights, previous);
  if (limits.turnoverMax < Infinity) limitTurnover(weights, previous, limits.turnoverMax, actions);
  return actions.length > before || hasShrunk;
}

function limitPositions(weights: Float64Array, most: number, actions: RiskAction[]): void {
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i];
    if (Math.abs(weight) <= most * SLACK) continue;
    weights[i] = weight > 0 ? most : -most;
    actions.push({ reason: "position-limit", instrument: i, before: weight, after: weights[i] });
  }
}

function limitClasses(weights: Float64Array, classOf: Uint8Array, most: number,
  actions: RiskAction[]): void {
  const exposure = new Float64Array(ASSET_CLASSES.length);
  for (let i = 0; i < weights.length; i++) exposure[classOf[i]] += Math.abs(weights[i]);
  for (let name = 0; name < exposure.length; name++) {
    if (exposure[name] <= most * SLACK) continue;
    const factor = most / exposure[name];
    for (let i = 0; i < weights.length; i++) if (classOf[i] === name) weights[i] *= factor;
    act(actions, "class-limit", exposure[name], most);
  }
}

function limitGross(weights: Float64Array, limits: RiskLimits, actions: RiskAction[]): void {
  const most = Math.min(limits.grossMax, limits.leverageMax);
  if (most === Infinity) return;
  const gross = grossOf(weights);
  if (gross <= most * SLACK) return;
  scaleAll(weights, most / gross);
  act(actions, limits.grossMax <= limits.leverageMax ? "gross-limit" : "leverage-limit", gross, most);
}

/** Reduces the larger side until the difference of the sides is the limit. */
function limitNet(weights: Float64Array, limits: RiskLimits, actions: RiskAction[]): void {
  if (limits.netMax === Infinity) return;
  let long = 0, short = 0;
  for (const weight of weights) if (weight > 0) long += weight; else short -= weight;
  const net = long - short;
  // Rounding is relative to the sides, not to their small difference.
  if (Math.abs(net) <= limits.netMax + (long + short) * 1e-12) return;
  const factor = net > 0 ? (short + limits.netMax) / long : (long + limits.netMax) / short;
  for (let i = 0; i < weights.length; i++) if (weights[i] > 0 === net > 0) weights[i] *= factor;
  act(actions, "net-limit", net, Math.sign(net) * limits.netMax);
}

function limitValueAtRisk(weights: Float64Array, state: RiskState, limits: RiskLimits,
  actions: RiskAction[]): void {
  if (!needsReturns(limits) || state.observed < VAR_ROWS_MIN) return;
  const risk = valueAtRisk(weights, state);
  if (risk.historical > limits.varHistoricalMax * SLACK) {
    const factor = limits.varHistoricalMax / risk.historical;
    scaleAll(weights, factor);
    act(actions, "var-historical", risk.historical, limits.varHistoricalMax);
    risk.parametric *= factor;
  }
  if (risk.parametric > limits.varParametricMax * SLACK) {
    scaleAll(weights, limits.varParametricMax / risk.parametric);
    act(actions, "var-parametric", risk.parametric, limits.varParametricMax);
  }
}

/** Of these weights over the returns observed so far. */
export function valueAtRisk(weights: Float64Array, state: RiskState): ValueAtRisk {
  return valueAtRiskOf(weights, state.history, Math.min(state.observed, VAR_HISTORY));
}

/** What grows shares what the reductions leave of the cap. */
function limitTurnover(weights: Float64Array, previous: Float64Array, most: number,
  actions: RiskAction[]): void {
  let reduced = 0, grown = 0, size = most;
  for (let i = 0; i < weights.length; i++) {
    const kept = keptPart(weights[i], previous[i]);
    size += Math.abs(weights[i]);
    reduced += Math.abs(previous[i] - kept);
    grown += Math.abs(weights[i] - kept);
  }
  const budget = Math.max(0, most - reduced);
  // Rounding is relative to the weights, not to their small changes.
  if (grown <= budget + size * 1e-12) return;
  const factor = budget / grown;
  for (let i = 0; i < weights.length; i++) {
    const kept = keptPart(weights[i], previous[i]);
    weights[i] = kept + (weights[i] - kept) * factor;
  }
  act(actions, "turnover-cap", reduced + grown, reduced + budget);
}

/** Nothing grows or changes side; true when a weight had to change. */
function forbidGrowth(weights: Float64Array, previous: Float64Array): boolean {
  let hasChanged = false;
  for (let i = 0; i < weights.length; i++) {
    const kept = keptPart(weights[i], previous[i]);
    if (kept !== weights[i]) { weights[i] = kept; hasChanged = true; }
  }
  return hasChanged;
}

/** The part of the wanted weight that is held already: same side, and not more than is held. */
function keptPart(wanted: number, held: number): number {
  if (wanted > 0) return held > 0 ? Math.min(wanted, held) : 0;
  return held < 0 ? Math.max(wanted, held) : 0;
}

function scaleAll(weights: Float64Array, factor: number): void {
  for (let i = 0; i < weights.length; i++) weights[i] *= factor;
}

function grossOf(weights: Float64Array): number {
  let gross = 0;
  for (const weight of weights) gross += Math.abs(weight);
  return gross;
}

/** An order as the gates see it. */
export interface GatedOrder {
  /** Signed. */
  readonly quantity: number;
  /** Limit price, or the price a market order is expected to get. */
  readonly price: number;
}

export interface MarketView {
  readonly lastPrice: number;
  /** Of the last price. */
  readonly lastTimeMs: number;
  readonly nowMs: number;
  readonly isHalted: boolean;
}

export interface Refusal {
  readonly reason: RiskReason;
  readonly found: number;
  readonly limit: number;
}

/** Whether one order may go out: null, or the first reason why not. */
export function gateOrder(order: GatedOrder, market: MarketView, limits: RiskLimits): Refusal | null {
  const notional = Math.abs(order.quantity) * order.price;
  if (!Number.isFinite(notional)) return { reason: "not-finite", found: notional, limit: NaN };
  if (market.isHalted) return { reason: "halted-symbol", found: 1, limit: 0 };
  const ageMs = market.nowMs - market.lastTimeMs;
  if (!(ageMs <= limits.staleMs)) return { reason: "stale-data", found: ageMs, limit: limits.staleMs };
  const distanceBps = Math.abs(order.price / market.lastPrice - 1) / BPS;
  if (!(distanceBps <= limits.collarBps)) {
    return { reason: "price-collar", found: distanceBps, limit: limits.collarBps };
  }
  if (notional > limits.orderNotionalMax) {
    return { reason: "order-notional", found: notional, limit: limits.orderNotionalMax };
  }
  return null;
}
