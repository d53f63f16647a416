/**
 * `dmn live report --day D`: did live do what the backtest would have done? The recorded day is lived again
 * and compared, number by number:
 *
 *     features    what live computed bar by bar           computeFeatures over all bars at once
 *     positions   predictions, decisions                  the same strategies on the same windows
 *     targets     units wanted                            the same portfolio, limits and holdings
 *     orders      what was sent                           the same execution
 *     fills       what came back                          of orders that the replay sends, too
 *
 * On a day without faults there is no difference. A session that began on an earlier day is lived from there.
 */
import type { Context } from "../../base/context.ts";
import { UserError } from "../../base/error.ts";
import { formatTable } from "../../base/table.ts";
import { formatTime } from "../../base/units.ts";
import { computeFeatures, type Panel } from "../../features/panel.ts";
import { BAR_FIELDS, BAR_FLAGS, type DecisionFact, type FeaturesFact, type PredictionFact, type Spoken,
  type TargetCommand } from "../../live/message.ts";
import { journalDays, readDay, type Recorded } from "../../live/recorder/journal.ts";
import type { Session } from "../../live/session.ts";
import { calendar } from "../../market/calendar.ts";
import { instrument } from "../../market/instrument.ts";
import { findStrategy } from "../../strategy/find.ts";
import { openShaper } from "../../strategy/optimise/shaper.ts";
import { limitsOf } from "../../strategy/risk.ts";
import type { Strategy } from "../../strategy/strategy.ts";
import { panelOf } from "./choose-session.ts";
import { livedOut } from "./report-order.ts";
import { replayRecorded } from "./report-replay.ts";
import { confirming, isRounded, predictionsOf, roundingOf, type Confirmed } from "./report-rounding.ts";
import { instrumentsOf, versionOf } from "./session-facts.ts";

export const COMPARED = ["features", "positions", "decisions", "targets", "orders", "fills"] as const;
export type Compared = (typeof COMPARED)[number];

export interface Difference {
  readonly what: Compared;
  /** UTC ms. */
  readonly at: number;
  readonly symbol: string;
  /** Which number: a feature's name, "lstm-1 position", "units", ... */
  readonly of: string;
  /** Null: there was none. */
  readonly live: number | null;
  readonly replay: number | null;
}

export interface LiveReport {
  readonly day: string;
  readonly sessions: readonly string[];
  /** Numbers compared. */
  readonly compared: Readonly<Record<Compared, number>>;
  /** All of them counted; the first ones listed. */
  readonly differing: Readonly<Record<Compared, number>>;
  readonly differences: readonly Difference[];
  /** Of networks that a GPU was asked, confirmed by the CPU; null: there were none. */
  readonly confirmed: Readonly<Confirmed> | null;
}

export interface LiveReportOptions {
  /** UTC, YYYY-MM-DD. */
  readonly day: string;
}

/** Differences of each kind that are listed. */
const LISTED_MAX = 100;
/** Quantities are kept to nine decimals. */
const UNITS_SLACK = 1e-9;

/** UserError when nothing was recorded, a file is damaged, or a model or recipe is not there any more. */
export async function liveReport({ day }: LiveReportOptions, context: Context): Promise<LiveReport> {
  const { root } = context, comparison = new Comparison();
  const ids = new Set([...readDay(root, day)].map(({ session }) => session.id));
  for (const id of ids) {
    const recorded = journalDays(root).filter((one) => one <= day)
      .flatMap((one) => [...readDay(root, one, id)]
      .map((entry) => ({ ...entry, isCompared: one === day })));
    context.signal.throwIfAborted();
    await compareSession(recorded, context, comparison);
  }
  return { day, sessions: [...ids], ...comparison.result() };
}

/** For a person: the report, or a UserError that names the first differences, or that there is nothing. */
export function reportText({ day, sessions, compared, differing, differences,
  confirmed }: LiveReport): string {
  const columns = [{ title: "what" }, { title: "compared", align: "right" },
    { title: "differ", align: "right" }] as const;
  const table = formatTable(columns,
    COMPARED.map((what) => [what, String(compared[what]), String(differing[what])]));
  const plural = sessions.length === 1 ? "" : "s";
  const head = `${day}: ${sessions.length} session${plural} (${sessions.join(", ")})`;
  // What was never decided on agrees with everything.
  if (COMPARED.every((what) => compared[what] === 0)) {
    throw new UserError(`${head}\nnothing was compared: no decision of that day was recorded`,
      "let a session run until it decides; whether its recorder kept up is in logs/system");
  }
  if (differences.length === 0) {
    return `${head}\n${table}\nLive and replay agree in every number${roundingText(confirmed)}.`;
  }
  throw new UserError(`${head}\n${table}\nLive and replay differ; first of each kind:\n${
    COMPARED.flatMap((what) => differences.filter((one) => one.what === what).slice(0, 3).map(sentenceOf))
      .join("\n")}`,
  `all of them: dmn live report --day ${day} --json`);
}

/** Ends the sentence about a whole day; nothing where every number is the same, as when the GPU was lost. */
const roundingText = (confirmed: LiveReport["confirmed"]): string =>
  confirmed === null || confirmed.count === 0 ? ""
    : `;\nthe networks' answers came from a GPU, and the CPU confirms them to ${confirmed.within} (farthest: `
      + `${confirmed.largest.toExponential(1)})`;

const sentenceOf = ({ what, at, symbol, of, live, replay }: Difference): string =>
  `  ${what}: ${symbol} at ${formatTime(at)}, ${of}: live ${live ?? "none"}, replay ${replay ?? "none"}`;

type Row = Pick<Recorded, "heardAt" | "message" | "session"> & { readonly isCompared: boolean };

async function compareSession(rows: readonly Row[], { root }: Context,
  comparison: Comparison): Promise<void> {
  const [{ session }] = rows, recorded = livedOut(rows, session);
  const panel = await panelOf(root, session.recipe, session.calendar, session.timeframe);
  if (panel.hash !== session.recipeHash) {
    throw new UserError(`recipe "${session.recipe}" has changed since session ${session.id} `
      + `(hash ${session.recipeHash.slice(0, 12)}, now ${panel.hash.slice(0, 12)})`,
    "restore the recipe as it was that day, then run the same command again");
  }
  const strategies = new Map<string, Strategy>();
  for (const { worker, strategy } of session.models) {
    const found = await findStrategy(root, strategy, { threads: 1, isTrainedAllowed: true });
    const isOther = isRounded(session, found);
    if (isOther) comparison.confirmed ??= { within: 0, count: 0, largest: 0 };
    strategies.set(worker, !isOther ? found : confirming(found,
      predictionsOf(recorded.map(({ message }) => message), worker, versionOf(root, strategy)),
      { within: roundingOf(session), confirmed: comparison.confirmed! }));
  }
  const { symbols, sizing: { method, weightMax } } = session;
  const said = await replayRecorded({ session, recorded, panel, strategies, limits: limitsOf(session.risk),
    instruments: instrumentsOf(root, session),
    periodsPerYear: calendar(session.calendar).periodsPerYear(session.timeframe),
    shaper: await openShaper(method, symbols.length, { weightMax: weightMax ?? Infinity }) });
  compareRecorded(recorded, said, panel, comparison);
}

/** Pure: what was recorded against what the replay said. */
export function compareRecorded(recorded: readonly Row[], replayed: readonly Spoken[], panel: Panel,
  comparison: Comparison): void {
  const [{ session }] = recorded,
    live = recorded.filter((one) => one.isCompared).map(({ message }) => message);
  const from = live.reduce((first, { kind, at }) =>
    (kind === "decision" ? Math.min(first, at) : first), Infinity);
  const replay = replayed.filter(({ at, kind }) => kind === "order-state" || kind === "fill" || at >= from);
  comparison.symbols = session.symbols;
  comparison.compare("features", featureNumbers(live, panel), batchNumbers(recorded, session, panel),
    0);
  comparison.compare("positions", predictionNumbers(live), predictionNumbers(replay), 0);
  comparison.compare("decisions", decisionNumbers(live), decisionNumbers(replay), 0);
  comparison.compare("targets", targetNumbers(live), targetNumbers(replay), UNITS_SLACK);
  const orders = orderNumbers(live), fills = fillNumbers(live);
  comparison.compare("orders", orders, dropUnknown(orders, orderNumbers(replay), from), UNITS_SLACK);
  comparison.compare("fills", fills, fillNumbers(replay), UNITS_SLACK, false);
}

/** One number: its place, and which it is. */
interface Place { readonly at: number; readonly instrument: number; readonly of: string }
type Numbers = Map<string, Place & { readonly value: number }>;
const put = (numbers: Numbers, at: number, instrument: number, of: string, value: number): void =>
  void numbers.set(`${at} ${instrument} ${of}`, { at, instrument, of, value });

/** Rows that models decided on, as last told. */
function featureNumbers(messages: readonly Spoken[], { columns }: Panel): Numbers {
  const numbers: Numbers = new Map();
  for (const message of messages) {
    if (message.kind !== "features") continue;
    const { at, instrument: who, rows, flags } = message satisfies FeaturesFact;
    who.forEach((i, k) => {
      if (flags[k] === BAR_FLAGS.history) return;
      columns.forEach(({ name, role }, f) => {
        // A target reads the next bar, which live has not seen.
        if (role === "input") put(numbers, at, i, name, rows[k * columns.length + f]);
      });
    });
  }
  return numbers;
}

/** The same rows, computed over all bars at once; an instrument whose history was told again begins there. */
function batchNumbers(recorded: readonly Row[], session: Session, panel: Panel): Numbers {
  const bars = session.symbols.map(() => new Map<number, Float64Array>()), width = BAR_FIELDS.length;
  for (const { message } of recorded) {
    if (message.kind !== "market") continue;
    message.instrument.forEach((i, k) =>
      { bars[i].set(message.at, message.bars.slice(k * width, (k + 1) * width)); });
  }
  const numbers: Numbers = new Map(), { names } = panel;
  bars.forEach((own, i) => {
    if (own.size === 0) return;
    const time = Float64Array.from(own.keys()).sort();
    const columns = Object.fromEntries(BAR_FIELDS.map((name, f) =>
      [name, time.map((at) => own.get(at)![f])]));
    const { values } = computeFeatures(panel, { kind: "bars", timeframe: session.timeframe, time, columns,
      instrument: instrument(session.symbols[i]) });
    time.forEach((at, row) =>
      { names.forEach((name, f) => { put(numbers, at, i, name, values[row * names.length + f]); }); });
  });
  return numbers;
}

const DECIDED = ["position", "volatility", "confidence"] as const;

function predictionNumbers(messages: readonly Spoken[]): Numbers {
  const numbers: Numbers = new Map();
  for (const message of messages) {
    if (message.kind !== "prediction") continue;
    decided(numbers, message, `${message.model} `);
  }
  return numbers;
}

function decisionNumbers(messages: readonly Spoken[]): Numbers {
  const numbers: Numbers = new Map();
  for (const message of messages) if (message.kind === "decision") decided(numbers, message, "");
  return numbers;
}

function decided(numbers: Numbers, fact: PredictionFact | DecisionFact, who: string): void {
  fact.instrument.forEach((i, k) => {
    for (const name of DECIDED) put(numbers, fact.at, i, who + name, fact[name][k]);
  });
}

function targetNumbers(messages: readonly Spoken[]): Numbers {
  const numbers: Numbers = new Map();
  for (const message of messages) {
    if (message.kind !== "target") continue;
    const { at, instrument: who, units } = message satisfies TargetCommand;
    who.forEach((i, k) => { put(numbers, at, i, "units", units[k]); });
  }
  return numbers;
}

/** Orders of ours, as first told. */
function orderNumbers(messages: readonly Spoken[]): Numbers {
  const numbers: Numbers = new Map();
  for (const message of messages) {
    if (message.kind !== "order-state" || Number.isNaN(message.order.decidedAt)) continue;
    const { order: { id, instrument: i, decidedAt, quantity, limitPrice } } = message;
    if (numbers.has(`${decidedAt} ${i} quantity of ${id}`)) continue;
    put(numbers, decidedAt, i, `quantity of ${id}`, quantity);
    if (!Number.isNaN(limitPrice)) put(numbers, decidedAt, i, `limit of ${id}`, limitPrice);
  }
  return numbers;
}

/** Orders of earlier days that the replay lived through as well are another day's. */
const dropUnknown = (live: Numbers, replay: Numbers, from: number): Numbers =>
  new Map([...replay].filter(([key, { at }]) => at >= from || live.has(key)));

function fillNumbers(messages: readonly Spoken[]): Numbers {
  const numbers: Numbers = new Map();
  for (const message of messages) {
    if (message.kind !== "fill") continue;
    const { at, instrument: i, orderId, executionId, quantity, price, position } = message;
    const of = `fill ${executionId} of ${orderId}`;
    // Booked a moment later or earlier, it is the same fill.
    for (const [name, value] of Object.entries({ quantity, price, "position after": position })) {
      numbers.set(`${of} ${name}`, { at, instrument: i, of: `${of}, ${name}`, value });
    }
  }
  return numbers;
}

const zeros = (): Record<Compared, number> =>
  ({ features: 0, positions: 0, decisions: 0, targets: 0, orders: 0, fills: 0 });

/** Counts, and keeps the first of each kind. */
export class Comparison {
  symbols: readonly string[] = [];
  confirmed: Confirmed | null = null;
  readonly #compared = zeros();
  readonly #differing = zeros();
  readonly #differences: Difference[] = [];

  /**
   * `isTwoSided`: what only the replay has is a difference, too. In order of time: the first one tells most.
   */
  compare(what: Compared, live: Numbers, replay: Numbers, slack: number,
    isTwoSided = what !== "features"): void {
    const extra = isTwoSided ? [...replay].filter(([key]) => !live.has(key)) : [];
    this.#compared[what] += live.size;
    const all = extra.length === 0 ? live : [...live, ...extra].sort(([, a], [, b]) => a.at - b.at);
    for (const [key, place] of all) {
      const one = live.get(key)?.value ?? null, other = replay.get(key)?.value ?? null;
      if (one === null || other === null || !isEqual(one, other, slack)) this.#differ(what, place, one,
        other);
    }
  }

  #differ(what: Compared, { at, instrument: i, of }: Place, live: number | null,
    replay: number | null): void {
    if (this.#differing[what]++ >= LISTED_MAX) return;
    this.#differences.push({ what, at, symbol: this.symbols[i] ?? "", of, live, replay });
  }

  result(): Omit<LiveReport, "day" | "sessions"> {
    return { compared: this.#compared, differing: this.#differing, differences: this.#differences,
      confirmed: this.confirmed };
  }
}

const isEqual = (a: number, b: number, slack: number): boolean =>
  Object.is(a, b) || a === b || Math.abs(a - b) <= slack * Math.max(1, Math.abs(a), Math.abs(b));
