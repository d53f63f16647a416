/**
 * Everything a replay needs, made once: decisions, timeline, plans. Then any number of replays
 * under different terms.
 *
 *     input --align, decide--> answers \
 *           --merge times--> timeline   > Stage --replay(terms)--> Book, as the vector engine's
 */
import { calendar } from "../market/calendar.ts";
import { NO_COSTS } from "../strategy/costs.ts";
import type { Alignment } from "./align.ts";
import { adjustedPrices, rawPrices } from "./event-market.ts";
import { buildTimeline, planRun, runsOf, type RunPlan } from "./event-plan.ts";
import { Replay, type Scene, type Terms } from "./event-replay.ts";
import type { Run } from "./event-run.ts";
import type { Tape } from "./event-orders.ts";
import { sizingOf, type BacktestInput, type InstrumentInput } from "./input.ts";
import { hasLimits } from "./scale.ts";
import type { Book, Stretch } from "./simulate.ts";
import type { Answers } from "./vector.ts";

export interface Stage {
  readonly input: BacktestInput;
  readonly alignment: Alignment;
  readonly stretches: readonly Stretch[];
  readonly scene: Scene;
  readonly plans: readonly RunPlan[];
  readonly clipped: number;
  readonly unscaled: number;
  readonly unshaped: Answers["unshaped"];
}

/**
 * Trades at quoted prices, in shares; else at adjusted prices, where a share is a fractional claim.
 */
export function tradesRaw(input: BacktestInput): boolean {
  return input.dataset.adjustment === "raw" || input.dataset.adjustment === "unknown";
}

export function setStage(input: BacktestInput, answers: Answers): Stage {
  const { instruments, settings } = input;
  const { alignment, stretches, weight, clipped, unscaled, unshaped } = answers;
  const times = instruments.map((one) => one.bars.time);
  const timeline = buildTimeline(times);
  const scene: Scene = {
    instruments: instruments.map((one) => one.instrument), timeline, weight,
    adjustedClose: instruments.map((one) => one.adjustedClose), capital: settings.capital,
    periodsPerYear: settings.periodsPerYear, sessions: calendar(input.dataset.calendar),
    rules: { sizing: sizingOf(settings), portfolioTarget: settings.portfolioTarget, limits: settings.limits,
      isLimited: hasLimits(settings), lag: settings.lag },
  };
  const plans = runsOf(stretches).map((run) => planRun(timeline, alignment, times, run, settings.lag));
  return { input, alignment, stretches, scene, plans, clipped, unscaled, unshaped };
}

/**
 * No friction at all: adjusted closes, fractions, nothing paid. The vector engine's world, on an
 * account.
 */
export function frictionless(input: BacktestInput): Terms {
  return {
    prices: input.instruments.map(adjustedPrices), lag: input.settings.lag, isFilledAtOpen: false,
    costs: NO_COSTS, slippageBps: 0, participationMax: Infinity, isFractional: true, isGated: false,
  };
}

/** What the settings ask for. */
export function termsOf(input: BacktestInput): Terms {
  const { settings } = input;
  const { collarBps, orderNotionalMax, staleMs } = settings.limits;
  const isRaw = tradesRaw(input), sessions = calendar(input.dataset.calendar);
  return {
    prices: input.instruments.map((one) => isRaw ? rawPrices(one, sessions) : adjustedPrices(one)),
    lag: settings.lag,
    isFilledAtOpen: settings.lag === 1 && input.instruments.some(hasOpen), costs: settings.costs,
    slippageBps: settings.slippageBps, participationMax: settings.participationMax,
    isFractional: settings.isFractional || !isRaw,
    isGated: Math.min(collarBps, orderNotionalMax, staleMs) < Infinity,
  };
}

const hasOpen = (one: InstrumentInput): boolean => one.bars.columns.open !== undefined;

/** One replay of all runs. */
export interface Performance {
  /** (D of the alignment) each. */
  readonly book: Book;
  readonly runs: readonly Run[];
  readonly tapes: readonly Tape[];
}

export function perform(stage: Stage, terms: Terms): Performance {
  return putTogether(stage, stage.plans.map((plan) => {
    stage.input.signal?.throwIfAborted();
    const replay = new Replay(stage.scene, plan, terms);
    return { run: replay.play(), tape: replay.tape };
  }));
}

/** One book of what was played, in the order of the stage's plans. */
export function putTogether(stage: Stage,
  played: readonly { readonly run: Run; readonly tape: Tape }[]): Performance {
  const zeros = (): Float64Array => new Float64Array(stage.alignment.time.length);
  const book: Book = { gross: zeros(), cost: zeros(), turnover: zeros(), grossExposure: zeros(),
    netExposure: zeros(), active: zeros() };
  played.forEach(({ run }, r) => {
    const { from } = stage.plans[r].stretches[0];
    book.gross.set(run.netReturn.map((net, row) => net + run.cost[row]), from);
    book.cost.set(run.cost, from);
    book.turnover.set(run.turnover, from);
    book.grossExposure.set(run.grossExposure, from);
    book.netExposure.set(run.netExposure, from);
    book.active.set(run.active, from);
  });
  return { book, runs: played.map(({ run }) => run), tapes: played.map(({ tape }) => tape) };
}

/** Compounded net return of the reported rows, all windows one after the other. */
export function totalReturn(book: Book, stretches: readonly Stretch[]): number {
  let growth = 1;
  for (const { from, to, isReported } of stretches) {
    if (!isReported) continue;
    for (let d = from; d < to; d++) growth *= 1 + book.gross[d] - book.cost[d];
  }
  return growth - 1;
}
