/**
 * A vendor's stream in memory, behind the live feed's actor: history, bars as they close, and what a vendor
 * does with them on bad days.
 *
 *     start      listings ─> what closed meanwhile (backfilled) ─> ready
 *     live       heard ... heard     late, missing, wrong at first and revised later: as told by SpoiltStep
 *     break      lost ............ gap by REST (backfilled) ─> caught-up
 *     mute       silence ......... the actor asks to reconnect; then as above
 */
import type { Rim } from "../../live/actor.ts";
import type { FeedEffect, FeedOutcome, Heard } from "../../live/feeds/feed.ts";
import { BAR_FIELDS, type NoticeFact } from "../../live/message.ts";
import type { ColumnName } from "../../market/bars.ts";
import { instrument } from "../../market/instrument.ts";
import type { Timeframe } from "../../market/bars.ts";
import type { Host } from "./memory-process.ts";

const WIDTH = BAR_FIELDS.length;

/** Bars of N instruments at S common closes; the first `live` are history. */
export interface SimulatedMarket {
  readonly symbols: readonly string[];
  /** (S) closes, UTC ms, ascending. */
  readonly time: Float64Array;
  /** (S, N, BAR_FIELDS.length); a NaN close: no bar in that period. */
  readonly bars: Float64Array;
  /** The first step that is decided on. */
  readonly live: number;
}

export const barOf = ({ bars, symbols }: SimulatedMarket, step: number, i: number): Float64Array =>
  bars.subarray((step * symbols.length + i) * WIDTH, (step * symbols.length + i + 1) * WIDTH);

/** Something that the vendor gets wrong about one bar. */
export interface SpoiltStep {
  readonly step: number;
  readonly instrument: number;
  /** late: it comes after its step; revised: prices times `factor` at first, the right ones later. */
  readonly what: "late" | "missing" | "revised";
  readonly factor?: number;
}

/** From the close of a bar to its arrival, and to its correction. */
const ARRIVAL_MS = 20, CORRECTION_MS = 5_000, REST_MS = 150;

export class MemoryVendor {
  readonly #market: SimulatedMarket;
  readonly #timeframe: Timeframe;
  readonly #spoilt: readonly SpoiltStep[];
  readonly #now: () => number;
  #isUp = true;
  #streams: Stream[] = [];

  /** `now`: UTC ms, of nobody's own clock. */
  constructor(market: SimulatedMarket, timeframe: Timeframe, spoilt: readonly SpoiltStep[],
    now: () => number) {
    this.#market = market;
    this.#timeframe = timeframe;
    this.#spoilt = spoilt;
    this.#now = now;
  }

  connect(host: Host): Rim<FeedEffect, FeedOutcome> {
    const stream: Stream = { host, push: () => {}, isLost: false, heardStep: -1 };
    this.#streams = [stream];
    return {
      start: (push) => { stream.push = push; this.#begin(stream); return Promise.resolve(); },
      carryOut: (effect) => {
        if (effect.kind === "wake") host.after(effect.afterMs, () => { stream.push({ kind: "woken" }); });
        if (effect.kind === "reconnect") this.#lose(stream, effect.reason);
      },
      stop: () => Promise.resolve(),
    };
  }

  notice(notice: NoticeFact): void { for (const { push } of this.#streams) push({ kind: "noticed",
    notice }); }

  /** No more bars until `mend`. */
  fail(isMute: boolean): void {
    this.#isUp = false;
    if (!isMute) for (const stream of this.#streams) this.#lose(stream, "the vendor closed the connection");
  }

  mend(): void {
    this.#isUp = true;
    for (const stream of this.#streams) if (stream.isLost) this.#regain(stream);
  }

  #begin(stream: Stream): void {
    const { host, push } = stream, { time, symbols, live } = this.#market;
    symbols.forEach((symbol, i) => {
      const rows = time.subarray(0, live);
      const columns = Object.fromEntries(BAR_FIELDS.map((name, f) => [name satisfies ColumnName,
        Float64Array.from(rows, (_, step) => barOf(this.#market, step, i)[f])]));
      push({ kind: "listing", instrument: i, listing: { actions: [], adjustment: "raw", bars: {
        instrument: instrument(symbol), kind: "bars", timeframe: this.#timeframe, time: rows, columns } } });
    });
    stream.heardStep = live - 1;
    for (let step = live; step < time.length; step++) {
      const inMs = time[step] + ARRIVAL_MS - this.#now();
      if (inMs > 0) host.after(inMs, () => { this.#live(stream, step); });
    }
    if (!this.#isUp) { stream.isLost = true; return; }
    this.#fill(stream);
    push({ kind: "ready" });
  }

  #live(stream: Stream, step: number): void {
    if (!this.#isUp || stream.isLost) return;
    stream.heardStep = step;
    const spoilt = new Map(this.#spoilt.filter((one) => one.step === step)
      .map((one) => [one.instrument, one]));
    const heard = this.#heard("fresh", [step], (_, i, row) => {
      const one = spoilt.get(i);
      if (one?.what === "late" || one?.what === "missing") return null;
      return one?.factor === undefined ? row : row.map((value, f) => f < 4 ? value * one.factor! : value);
    });
    if (heard.time.length > 0) stream.push(heard);
    for (const [i, { what }] of spoilt) {
      if (what === "missing") continue;
      stream.host.after(CORRECTION_MS, () => {
        if (this.#isUp && !stream.isLost) stream.push(this.#heard(what === "late" ? "fresh" : "revised",
          [step],
          (_, other, row) => other === i ? row : null));
      });
    }
  }

  #lose(stream: Stream, reason: string): void {
    if (!stream.isLost) stream.push({ kind: "lost", reason });
    stream.isLost = true;
    if (this.#isUp) this.#regain(stream);
  }

  #regain(stream: Stream): void {
    stream.host.after(REST_MS, () => {
      if (!this.#isUp || !stream.isLost) return;
      stream.isLost = false;
      this.#fill(stream);
      // Who could not begin before begins now.
      stream.push({ kind: "ready" });
      stream.push({ kind: "caught-up" });
    });
  }

  /** What closed while nobody listened. */
  #fill(stream: Stream): void {
    const steps: number[] = [];
    for (let step = stream.heardStep + 1; step < this.#market.time.length; step++) {
      if (this.#market.time[step] + ARRIVAL_MS <= this.#now()) steps.push(step);
    }
    if (steps.length === 0) return;
    stream.heardStep = steps.at(-1)!;
    stream.push(this.#heard("backfilled", steps, (_, _i, row) => row));
  }

  #heard(how: Heard["how"], steps: readonly number[],
    take: (step: number, i: number, row: Float64Array) => Float64Array | null): Heard {
    const time: number[] = [], who: number[] = [], rows: Float64Array[] = [];
    for (const step of steps) {
      for (const i of this.#market.symbols.keys()) {
        const row = barOf(this.#market, step, i), told = row[3] > 0 ? take(step, i, row) : null;
        if (told === null) continue;
        time.push(this.#market.time[step]);
        who.push(i);
        rows.push(told);
      }
    }
    const bars = new Float64Array(rows.length * WIDTH);
    rows.forEach((row, k) => { bars.set(row, k * WIDTH); });
    return { kind: "heard", how, time: Float64Array.from(time), instrument: Int32Array.from(who), bars,
      isWhole: false };
  }
}

interface Stream {
  readonly host: Host;
  push: (outcome: FeedOutcome) => void;
  isLost: boolean;
  /** Newest step that it has heard of, by whatever way. */
  heardStep: number;
}
