/**
 * Bars to feature rows, bar by bar: the same incremental features as the batch, so the same bits.
 *
 *   market (n bars of one close) ──> Track of each instrument ──> features (n rows of one close)
 *
 *   Track   bars    | ring of the last BARS_KEPT            |     a bar that comes again with other values,
 *           states  ^ every 16    ^         ^         ^           or late, is put in its place and the rows
 *                                     x ───────────────>          from there are computed again, from the
 *                                 recomputed, "revised"           state saved before it
 *
 * What was taken in already is ignored, so that a hearer may be told the same twice. History that begins
 * again with its first two bars at other prices (a split: all of it is rescaled) starts the instrument anew.
 */
import { BAR_FIELDS, BAR_FLAGS, type AlertFact, type FeaturesFact, type MarketFact, type Spoken, type Tick }
  from "../message.ts";
import type { FeatureStream, Panel } from "../../features/panel.ts";
import type { Bars } from "../../market/bars.ts";
import { instrument } from "../../market/instrument.ts";
import type { Actor } from "../actor.ts";
import type { Session } from "../session.ts";

const STRIDE = 16;
const STATES_KEPT = 5;
/** Newest bars of each instrument that may be revised: at least 64. One more, so that one may be put in. */
const BARS_KEPT = STRIDE * STATES_KEPT + 1;
const WIDTH = BAR_FIELDS.length;

export interface FeaturesOptions {
  readonly session: Session;
  readonly panel: Panel;
  /** Instruments k with k % count === index are this one's; default: all. */
  readonly shard?: { readonly index: number; readonly count: number };
}

/** Told of each row that a bar led to; the row is valid during the call. */
type Say = (at: number, row: Float32Array, flag: number) => void;

/** Bars at or before the last one are duplicates or revisions; see the head of this file. */
export function featuresActor({ session, panel, shard = { index: 0, count: 1 } }: FeaturesOptions): Actor {
  const name = shard.count === 1 ? "features" : `features-${shard.index}`;
  const bar = new OneBar(panel);
  const tracks = session.symbols.map((_, i) =>
    i % shard.count === shard.index ? new Track(panel, bar) : null);
  return {
    name, hears: ["market"],
    handle(message: Spoken | Tick): readonly Spoken[] {
      if (message.kind !== "market") return [];
      const said = new Rows(panel.names.length, message), late: Spoken[] = [];
      for (let k = 0; k < message.instrument.length; k++) {
        const i = message.instrument[k], track = tracks[i];
        if (track === null || track === undefined) continue;
        const outcome = track.takeIn(message, k, (at, row, flag) => { said.add(at, i, row, flag); });
        if (outcome === "too-old") late.push(tooOld(session, name, message.at, i));
      }
      const facts = said.toFacts(shard.count > 1);
      return late.length === 0 ? facts : [...facts, ...late];
    },
  };
}

const tooOld = (session: Session, process: string, at: number, i: number): AlertFact => ({
  kind: "alert", at, severity: "warning", code: "revision-too-old", process,
  text: `a bar of ${session.symbols[i]} changed more than ${BARS_KEPT - 1 - STRIDE} bars later: `
    + "its features keep the former value",
});

/** The rows of one market message, by close: one close unless something was revised. */
class Rows {
  readonly #width: number;
  readonly #market: MarketFact;
  readonly #byTime = new Map<number,
    { instrument: number[]; flags: number[]; rows: Float32Array; n: number }>();

  constructor(width: number, market: MarketFact) { this.#width = width; this.#market = market; }

  add(at: number, instrument: number, row: Float32Array, flag: number): void {
    let one = this.#byTime.get(at);
    if (one === undefined) {
      one = { instrument: [], flags: [], n: 0,
        rows: new Float32Array(this.#market.instrument.length * this.#width) };
      this.#byTime.set(at, one);
    }
    one.rows.set(row, one.n++ * this.#width);
    one.instrument.push(instrument);
    one.flags.push(flag);
  }

  /** In order of time. `isAlways`: also a message without rows, by which a hearer counts shards. */
  toFacts(isAlways: boolean): readonly FeaturesFact[] {
    if (this.#byTime.size === 0) {
      if (!isAlways || !this.#market.flags.includes(BAR_FLAGS.fresh)) return [];
      return [{ kind: "features", at: this.#market.at, instrument: new Int32Array(0),
        rows: new Float32Array(0), flags: new Uint8Array(0) }];
    }
    const times = this.#byTime.size === 1 ? this.#byTime.keys()
      : [...this.#byTime.keys()].sort((a, b) => a - b);
    return Array.from(times, (at) => {
      const { instrument, rows, flags, n } = this.#byTime.get(at)!;
      return { kind: "features", at, instrument: Int32Array.from(instrument), flags: Uint8Array.from(flags),
        rows: n * this.#width === rows.length ? rows : rows.slice(0, n * this.#width) };
    });
  }
}

/** One bar in the form that features read; filled again for each bar of each instrument. */
class OneBar {
  readonly bars: Bars;
  /** (F) what the last update wrote. */
  readonly row: Float32Array;
  /** Columns that are read, and where they stand in a row of MarketFact.bars. */
  readonly #columns: readonly (readonly [Float64Array, number])[];

  constructor(panel: Panel) {
    const columns = panel.inputs.map((name) => [name, new Float64Array(1).fill(NaN)] as const);
    this.bars = { instrument: instrument("-"), kind: "bars", timeframe: panel.market.timeframe,
      time: new Float64Array(1), columns: Object.fromEntries(columns) };
    this.row = new Float32Array(panel.names.length);
    this.#columns = columns.flatMap(([name, values]) => {
      const at = (BAR_FIELDS as readonly string[]).indexOf(name);
      return at < 0 ? [] : [[values, at] as const];
    });
  }

  push(stream: FeatureStream, at: number, values: Float64Array, from: number): void {
    for (const [column, place] of this.#columns) column[0] = values[from + place];
    this.bars.time[0] = at;
    stream.update(this.bars, 0, 1, this.row);
  }
}

/** One instrument: its stream, and enough of the past to correct it. */
class Track {
  readonly #panel: Panel;
  readonly #bar: OneBar;
  readonly #stream: FeatureStream;
  /** Bars taken in so far; bar number b is at b % BARS_KEPT. */
  #count = 0;
  readonly #time = new Float64Array(BARS_KEPT);
  readonly #bars = new Float64Array(BARS_KEPT * WIDTH);
  /** The state before bar number s * STRIDE is at s % STATES_KEPT. */
  readonly #states: Float64Array[] = [];
  /** Bars number 0 and 1: the history may begin again. */
  readonly #beginTime = new Float64Array(2).fill(NaN);
  readonly #begin = new Float64Array(2 * WIDTH);
  /** Bar number 0 of a history that may have begun again. */
  #again: Float64Array | null = null;

  constructor(panel: Panel, bar: OneBar) {
    this.#panel = panel;
    this.#bar = bar;
    this.#stream = panel.start();
  }

  /** Takes in bar k of a message and says which rows follow. */
  takeIn({ at, bars, flags }: MarketFact, k: number, say: Say): "taken" | "known" | "too-old" {
    const from = k * WIDTH, flag = flags[k];
    if (flag === BAR_FLAGS.history) this.#noticeBeginning(at, bars, from);
    const last = this.#count - 1;
    if (last < 0 || at > this.#timeOf(last)) {
      this.#keep(this.#count++, at, bars, from);
      this.#advance(this.#count - 1);
      if (flag !== BAR_FLAGS.history || this.#count > this.#panel.warmup) say(at, this.#bar.row, flag);
      return "taken";
    }
    const oldest = Math.max(0, Math.floor(last / STRIDE) - STATES_KEPT + 1) * STRIDE;
    let b = last;
    while (b > oldest && this.#timeOf(b) > at) b--;
    if (this.#timeOf(b) === at) {
      if (isSame(this.#bars, (b % BARS_KEPT) * WIDTH, bars, from)) return "known";
      this.#keep(b, at, bars, from);
    } else if (b > oldest || at > this.#timeOf(b) || oldest === 0) {
      if (at > this.#timeOf(b)) b++;
      this.#insert(b, at, bars, from);
    } else return flag === BAR_FLAGS.history ? "known" : "too-old";
    this.#recompute(b, flag === BAR_FLAGS.backfilled ? flag : BAR_FLAGS.revised, say);
    return "taken";
  }

  #timeOf(b: number): number { return this.#time[b % BARS_KEPT]; }

  #keep(b: number, at: number, bars: Float64Array, from: number): void {
    const place = b % BARS_KEPT;
    if (b < 2) {
      this.#beginTime[b] = at;
      this.#begin.set(bars.subarray(from, from + WIDTH), b * WIDTH);
    }
    this.#time[place] = at;
    this.#bars.set(bars.subarray(from, from + WIDTH), place * WIDTH);
  }

  /** Moves bars from b on by one. */
  #insert(b: number, at: number, bars: Float64Array, from: number): void {
    for (let to = this.#count++; to > b; to--) {
      this.#keep(to, this.#timeOf(to - 1), this.#bars, ((to - 1) % BARS_KEPT) * WIDTH);
    }
    this.#keep(b, at, bars, from);
  }

  #advance(b: number): void {
    if (b % STRIDE === 0) {
      const place = (b / STRIDE) % STATES_KEPT;
      (this.#states[place] ??= new Float64Array(this.#panel.stateLength)).set(this.#stream.state);
    }
    this.#bar.push(this.#stream, this.#timeOf(b), this.#bars, (b % BARS_KEPT) * WIDTH);
  }

  #recompute(first: number, flag: number, say: Say): void {
    const saved = Math.floor(first / STRIDE);
    this.#stream.state.set(this.#states[saved % STATES_KEPT]);
    for (let b = saved * STRIDE; b < this.#count; b++) {
      this.#advance(b);
      if (b >= first) say(this.#timeOf(b), this.#bar.row, b === first ? flag : BAR_FLAGS.revised);
    }
  }

  /** Its first bar at another price, then its second: history begins again. One alone is a revision. */
  #noticeBeginning(at: number, bars: Float64Array, from: number): void {
    const again = this.#again;
    this.#again = null;
    const isOther = (b: number): boolean => at === this.#beginTime[b]
      && !isSame(this.#begin, b * WIDTH, bars, from);
    if (isOther(0)) this.#again = bars.slice(from, from + WIDTH);
    if (again === null || !isOther(1)) return;
    this.#stream.state.set(this.#panel.start().state);
    this.#count = 1;
    this.#keep(0, this.#beginTime[0], again, 0);
    this.#advance(0);
  }
}

const isSame = (a: Float64Array, atA: number, b: Float64Array, atB: number): boolean => {
  for (let j = 0; j < WIDTH; j++) if (!Object.is(a[atA + j], b[atB + j])) return false;
  return true;
};
