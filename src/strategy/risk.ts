/**
 * The last word on weights and orders, the same for vector engine, event engine and live. Pure: a
 * function of the weights wanted, the weights held and the state of the account; every change of a
 * weight carries a reason code.
 *
 *     weights wanted --position--class--gross--net--VaR--turnover--margin--> allowed (until nothing moves)
 *                        each step only scales down; no sign ever flips
 *
 *     mode   NORMAL --daily loss, reduce only, held exposure above leverageMax--> REDUCING: nothing may grow
 *            NORMAL, REDUCING --drawdownMax--> HALTED (all closed, for good)
 *
 * Weights are **fractions of equity** (w_i / N), exposures sums of them. Trades that reduce are
 * never held back: turnover cap and margin limit what is opened or enlarged. risk-table.ts says what can be
 * limited, risk-order.ts holds the gates of single orders. Every limit is off (Infinity) by default.
 */
import { ASSET_CLASSES, type AssetClass } from "../market/instrument.ts";
import type { RiskAction, RiskLimits, RiskReason } from "./risk-table.ts";
import { ReturnWindow } from "./risk-window.ts";
import { RiskScreen, valueAtRiskOf, type ValueAtRisk } from "./value-at-risk.ts";

export { gateLiveOrder, gateOrder, type AccountView, type GatedOrder, type MarketView, type OpenOrder,
  type Refusal } from "./risk-order.ts";
export { limitsOf, NO_LIMITS, RISK_REASONS, type RiskAction, type RiskLimits, type RiskReason }
  from "./risk-table.ts";

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
  /** Latest returns of one period. */
  readonly window: ReturnWindow;
  readonly screen: RiskScreen;
}

/** With fewer returns there is no estimate of the value at risk, and no limit. */
export const VAR_ROWS_MIN = 60;
/** A limit is broken only beyond rounding, so that a second call finds nothing to do. */
const SLACK = 1 + 1e-12;
const PASSES_MAX = 8;

export function startRisk(classes: readonly AssetClass[], equity: number): RiskState {
  const window = new ReturnWindow(classes.length);
  return {
    mode: "NORMAL", classOf: Uint8Array.from(classes, (name) => ASSET_CLASSES.indexOf(name)),
    equity, peak: equity, dayStart: equity, day: -Infinity, isReduceOnly: false, buyingPower: Infinity,
    window, screen: new RiskScreen(window),
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
export function observeReturns(state: RiskState, returns: Float64Array): void { state.window.add(returns); }

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
export const act = (actions: RiskAction[], reason: RiskReason, before: number, after: number): void =>
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
  if (limits.marginMax < Infinity && state.buyingPower < Infinity) {
    const budget = Math.max(0, limits.marginMax * state.buyingPower);
    limitGrowth(weights, previous, budget, budget, 0, "intraday-margin", actions);
  }
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

/** Of each class; scratch of the next function. */
const exposure = new Float64Array(ASSET_CLASSES.length);

function limitClasses(weights: Float64Array, classOf: Uint8Array, most: number,
  actions: RiskAction[]): void {
  exposure.fill(0);
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
  for (let i = 0; i < weights.length; i++) if (weights[i] > 0) long += weights[i]; else short -= weights[i];
  const net = long - short;
  // Rounding is relative to the sides, not to their small difference.
  if (Math.abs(net) <= limits.netMax + (long + short) * 1e-12) return;
  const factor = net > 0 ? (short + limits.netMax) / long : (long + limits.netMax) / short;
  for (let i = 0; i < weights.length; i++) if (weights[i] > 0 === net > 0) weights[i] *= factor;
  act(actions, "net-limit", net, Math.sign(net) * limits.netMax);
}

function limitValueAtRisk(weights: Float64Array, state: RiskState, limits: RiskLimits,
  actions: RiskAction[]): void {
  if (!needsReturns(limits) || state.window.rows < VAR_ROWS_MIN) return;
  const risk = state.screen.excess(weights, limits.varHistoricalMax * SLACK, limits.varParametricMax * SLACK);
  if (risk === null) return;
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
  return valueAtRiskOf(weights, state.window);
}

/** What grows shares what the reductions leave of the cap. */
function limitTurnover(weights: Float64Array, previous: Float64Array, most: number,
  actions: RiskAction[]): void {
  let reduced = 0;
  for (let i = 0; i < weights.length; i++) {
    reduced += Math.abs(previous[i] - keptPart(weights[i], previous[i]));
  }
  limitGrowth(weights, previous, Math.max(0, most - reduced), most, reduced, "turnover-cap", actions);
}

/** Scales what grows down to `budget`. `most`: how large numbers may be; `base`: what is told besides. */
function limitGrowth(weights: Float64Array, previous: Float64Array, budget: number, most: number,
  base: number, reason: RiskReason, actions: RiskAction[]): void {
  let grown = 0, size = most;
  for (let i = 0; i < weights.length; i++) {
    size += Math.abs(weights[i]);
    grown += Math.abs(weights[i] - keptPart(weights[i], previous[i]));
  }
  // Rounding is relative to the weights, not to their small changes.
  if (grown <= budget + size * 1e-12) return;
  const factor = budget / grown;
  for (let i = 0; i < weights.length; i++) {
    const kept = keptPart(weights[i], previous[i]);
    weights[i] = kept + (weights[i] - kept) * factor;
  }
  act(actions, reason, base + grown, base + budget);
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
  for (let i = 0; i < weights.length; i++) gross += Math.abs(weights[i]);
  return gross;
}
