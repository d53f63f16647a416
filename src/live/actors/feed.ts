/**
 * What vendors say, as facts that can be traded on: bars of one close together (a *step*), in order, once.
 *
 *   heard ──> possible? ──> held until the step is whole ──> market (fresh)
 *               │             (all symbols, a later close, or assemblyMs)
 *               └ no: left out, alert "bad-tick"
 *   after its step was said:  same values: nothing    others: market (revised)    new: market (backfilled)
 *
 * Until `ready`, and from `lost` to `caught-up`, bars are held back; then the newest step is fresh and what
 * came before it is backfilled: nobody trades on a gap. Silence inside the session is announced (`notice`
 * stale, alert "feed-stale") and answered by a new connection. Before the first bar of a split's ex-date come
 * its `notice` and the instrument's history again, as adjusted by it.
 */
import { messageOf } from "../../base/error.ts";
import { formatTime, MS_PER_HOUR, MS_PER_MINUTE } from "../../base/units.ts";
import { TIMEFRAMES } from "../../market/bars.ts";
import { calendar } from "../../market/calendar.ts";
import type { Actor, Said } from "../actor.ts";
import { BAR_FIELDS, BAR_FLAGS, type AlertFact, type MarketFact, type NoticeFact, type Spoken,
  type Tick } from "../message.ts";
import type { Session } from "../session.ts";
import { impossibleQuote } from "../feeds/bad-bar.ts";
import { BarStore, WIDTH } from "../feeds/bar-store.ts";
import { BarBuilder, barCloses, type Make } from "../feeds/bar-builder.ts";
import type { FeedEffect, FeedOutcome, Heard, Parts } from "../feeds/feed.ts";
import { overdueAt } from "../feeds/staleness.ts";
import { Steps } from "../feeds/steps.ts";
import { Suspects } from "../feeds/suspects.ts";

/** Rows kept of all instruments together (60 bytes each), and of one at least and at most. */
const ROWS_MAX = 1 << 21, ROWS_EACH_LEAST = 512, ROWS_EACH_MAX = 20_000;
/** How long a stepped replay may be silent before it is asked again, ms. */
const STEP_PATIENCE_MS = 10_000;

export interface FeedOptions {
  readonly session: Session;
  /** How long a step waits for symbols that are not there, ms. Minutes without trades have no bar. */
  readonly assemblyMs?: number;
}

export function feedActor(options: FeedOptions): Actor<FeedEffect, FeedOutcome> { return new Feed(options); }

type Out = (Spoken | FeedEffect)[];
interface Made { readonly at: number; readonly i: number; readonly row: Float64Array }
const CLOSE = BAR_FIELDS.indexOf("close");

class Feed implements Actor<FeedEffect, FeedOutcome> {
  readonly name = "feed";
  readonly hears = ["settled", "control"] as const;
  readonly #session: Session;
  readonly #assemblyMs: number;
  /** A market clock knows no other time than that of the bars. */
  readonly #isWall: boolean;
  readonly #stores: readonly BarStore[];
  readonly #steps: Steps;
  readonly #suspects: Suspects;
  /** Of trades and shorter bars: (N) the last price of each instrument. */
  readonly #barClose: (time: number) => number;
  readonly #builder: BarBuilder;
  readonly #partSuspects: Suspects;
  readonly #lastPart: Float64Array;
  /** Nothing is said before history is complete, and while there is a gap. */
  #isReady = false;
  #isLost = false;
  /** Close of the newest step that was said; and of the newest bar ever heard. */
  #saidAt = -Infinity;
  #newest = -Infinity;
  /** Newest step for which the rim was asked to wake this one. */
  #wokenFor = -Infinity;
  #overdueAt = Infinity;
  #isStale = false;
  /** Stepped: when the next step was asked for, NaN while one is under way. */
  #steppedAt = NaN;
  #isEnded = false;
  /** Trades heard in this step, and what the rim was told of it when it was played. */
  #trades = 0;
  #played: Extract<FeedOutcome, { readonly kind: "played" }> | null = null;
  /** A replay begins when everybody has taken in the history: told by "advance". */
  #isReleased: boolean;
  #isResumed = false;

  constructor({ session, assemblyMs = 500 }: FeedOptions) {
    const N = session.symbols.length;
    this.#session = session;
    this.#assemblyMs = assemblyMs;
    this.#isWall = session.clock.kind === "wall";
    this.#isReleased = session.feed !== "simulator";
    const rowsMax = Math.max(ROWS_EACH_LEAST, Math.min(ROWS_EACH_MAX, Math.floor(ROWS_MAX / N)));
    this.#stores = session.symbols.map((symbol) => new BarStore({ symbol, rowsMax,
      timeframe: session.timeframe, calendar: calendar(session.calendar) }));
    this.#steps = new Steps(N);
    this.#suspects = new Suspects(session.symbols);
    this.#barClose = barCloses(session.timeframe, calendar(session.calendar));
    this.#builder = new BarBuilder(N, this.#barClose);
    this.#partSuspects = new Suspects(session.symbols);
    this.#lastPart = new Float64Array(N).fill(NaN);
  }

  handle(message: Spoken | Tick | FeedOutcome, now: number): Said<FeedEffect> {
    const out: Out = [];
    switch (message.kind) {
      case "listing":
        this.#stores[message.instrument].load(message.listing.bars, message.listing.actions,
          message.listing.adjustment);
        break;
      case "ready": this.#begin(now, out); break;
      case "heard": this.#hear(message, now, out); break;
      case "parts": this.#build(message, now, out); break;
      case "played": this.#played = message; this.#endPlayed(now, out); break;
      case "quoted": this.#quote(message.at, message.instrument, message.quotes, out); break;
      case "noticed": this.#notice(message.notice, out); break;
      case "lost":
        if (!this.#isLost) out.push(this.#alert(now, "warning", "feed-lost", message.reason));
        this.#isLost = true;
        this.#builder.abandon(this.#barClose(now));
        break;
      case "caught-up": this.#catchUp(now, out); break;
      case "ended":
        this.#isEnded = true;
        // Trades of the last step may still be on their way.
        if (this.#played === null) this.#finish(Infinity, now, out);
        out.push(this.#alert(now, "info", "replay-ended", "the replay is over"));
        break;
      case "trouble": out.push(this.#alert(now, message.severity, message.code, message.text)); break;
      case "settled":
        if (message.at >= this.#saidAt) this.#step(now, out);
        break;
      case "control":
        if (message.action === "advance") this.#release(now, out);
        break;
      case "tick": case "woken":
        if (this.#isWall) this.#finish(now - this.#assemblyMs, now, out);
        if (message.kind === "tick") this.#watch(now, out);
        break;
      default:
    }
    if (this.#isReady && !this.#isLost) this.#flush(now, out);
    return out;
  }

  /** Says the history of all instruments, step by step, as adjusted up to now; then what came meanwhile. */
  #begin(now: number, out: Out): void {
    if (this.#isReady) return;
    this.#isReady = true;
    const first = this.#steps.open()[0]?.at ?? Infinity;
    const last = Math.max(...this.#stores.map(({ time }) => time));
    const past = new Steps(this.#stores.length);
    for (const i of this.#stores.keys()) {
      this.#readHistory(i, now, out, (at, rows, from) => {
        if (at < first) past.put(at, i, rows, from, BAR_FLAGS.history, now);
        else if (!this.#steps.has(at, i)) this.#steps.put(at, i, rows, from, BAR_FLAGS.backfilled, now);
      });
    }
    for (const { at } of past.open()) out.push(past.take(at));
    this.#saidAt = Math.min(first - 1, last);
    this.#goOn(now, out);
  }

  /** Says an instrument's history again: all of it reads otherwise. */
  #retell(i: number, now: number, out: Out): void {
    this.#readHistory(i, now, out, (at, rows, from) => {
      if (at <= this.#saidAt) {
        out.push({ kind: "market", at, instrument: Int32Array.of(i), bars: rows.slice(from, from + WIDTH),
          flags: Uint8Array.of(BAR_FLAGS.history) });
      }
    });
  }

  #readHistory(i: number, now: number, out: Out,
    read: (at: number, rows: Float64Array, from: number) => void): void {
    try {
      const { time, rows } = this.#stores[i].history();
      for (let t = 0; t < time.length; t++) read(time[t], rows, t * WIDTH);
    } catch (error) {
      out.push(this.#alert(now, "critical", "bad-action", messageOf(error).split("\n")[0]));
    }
  }

  /** Of what was held back only the newest step may be decided on. */
  #goOn(now: number, out: Out): void {
    for (const { at } of this.#steps.open().slice(0, -1)) {
      this.#say(this.#steps.take(at, BAR_FLAGS.backfilled), out);
    }
    this.#expectAfter(Math.max(this.#isWall ? now : this.#saidAt, this.#newest));
    this.#step(now, out);
  }

  #hear({ how, time, instrument, bars, isWhole }: Heard, now: number, out: Out): void {
    let newest = -Infinity;
    for (let k = 0; k < time.length; k++) {
      const i = instrument[k], at = time[k], store = this.#stores[i];
      const verdict = this.#suspects.judge(i, at, bars, k * WIDTH, store.closeBefore(at));
      if (verdict.alert !== null) out.push(this.#alert(now, "warning", "bad-tick", verdict.alert));
      if (!verdict.isGood) continue;
      const { before } = verdict;
      if (before !== null) this.#takeIn(before.at, i, before.row, 0, "backfilled", now, out);
      this.#takeIn(at, i, bars, k * WIDTH, how, now, out);
      newest = Math.max(newest, at);
    }
    if (newest > this.#newest) {
      this.#newest = newest;
      this.#expectAfter(newest);
      if (this.#isWall && newest > now + TIMEFRAMES[this.#session.timeframe]) {
        out.push(this.#alert(now, "warning", "clock-skew",
          `a bar closes ${Math.round((newest - now) / 1000)} s after this machine's clock`));
      }
    }
    if (isWhole && newest > this.#saidAt) this.#steps.complete(newest);
    else if (this.#steps.last > this.#wokenFor && this.#steps.open().at(-1)?.isWhole === false) {
      this.#wokenFor = this.#steps.last;
      out.push({ kind: "wake", afterMs: this.#assemblyMs });
    }
  }

  /** Bars of trades, or of shorter bars; a wrong trade is left out before it is in a bar. */
  #build({ time, instrument, bars }: Parts, now: number, out: Out): void {
    const made: Made[] = [], make: Make = (at, i, rows, from) => {
      made.push({ at, i, row: rows.slice(from, from + WIDTH) });
    };
    for (let k = 0; k < time.length; k++) {
      const i = instrument[k], from = k * WIDTH;
      const { isGood, before, alert } = this.#partSuspects.judge(i, time[k], bars, from, this.#lastPart[i]);
      if (alert !== null) out.push(this.#alert(now, "warning", "bad-tick", alert));
      if (!isGood) continue;
      if (before !== null) this.#builder.take(before.at, i, before.row, 0, make);
      this.#builder.take(time[k], i, bars, from, make);
      this.#lastPart[i] = bars[from + CLOSE];
    }
    this.#hearMade(made, now, out);
    this.#trades += time.length;
    this.#endPlayed(now, out);
  }

  /** A step of trades is over when all of them have been heard: its bars are made, and decided on. */
  #endPlayed(now: number, out: Out): void {
    if (this.#played === null || this.#trades < this.#played.trades) return;
    const { close } = this.#played, before = this.#saidAt;
    this.#played = null;
    this.#trades = 0;
    this.#finish(close, now, out);
    this.#flush(now, out);
    if (this.#saidAt === before) this.#step(now, out);
  }

  #finish(upTo: number, now: number, out: Out): void {
    const made: Made[] = [];
    this.#builder.finish(upTo,
      (at, i, rows, from) => { made.push({ at, i, row: rows.slice(from, from + WIDTH) }); });
    this.#hearMade(made, now, out);
  }

  /** All bars of a close are made at once. */
  #hearMade(made: readonly Made[], now: number, out: Out): void {
    for (const own of Map.groupBy(made, ({ at }) => at).values()) {
      this.#hear({ kind: "heard", how: "fresh", isWhole: true, time: Float64Array.from(own, ({ at }) => at),
        instrument: Int32Array.from(own, ({ i }) => i),
        bars: Float64Array.from(own.flatMap(({ row }) => [...row])) }, now, out);
    }
  }

  #takeIn(at: number, i: number, rows: Float64Array, from: number, how: Heard["how"], now: number,
    out: Out): void {
    const store = this.#stores[i];
    // An ex-date has come: all prices before it read otherwise from now on.
    const due = store.applyDue(at);
    for (const { kind, exTime, value } of due) {
      out.push({ kind: "notice", at: exTime, instrument: i, what: kind, value });
    }
    if (due.length > 0) this.#retell(i, now, out);
    const came = store.put(at, rows, from);
    if (at > this.#saidAt) {
      // What is known and not held is history that will be told.
      if (came === "added" || this.#steps.has(at, i)) this.#steps.put(at, i, rows, from, BAR_FLAGS[how], now);
      return;
    }
    if (came === "known") return;
    const flag = came === "replaced" ? BAR_FLAGS.revised : BAR_FLAGS.backfilled;
    out.push({ kind: "market", at, instrument: Int32Array.of(i), bars: rows.slice(from, from + WIDTH),
      flags: Uint8Array.of(flag) });
  }

  #quote(at: number, instrument: Int32Array, quotes: Float64Array, out: Out): void {
    const good = Array.from(instrument.keys()).filter((k) => impossibleQuote(quotes, k * 4) === null);
    if (good.length === 0) return;
    out.push(good.length === instrument.length ? { kind: "quote", at, instrument, quotes }
      : { kind: "quote", at, instrument: Int32Array.from(good, (k) => instrument[k]),
        quotes: Float64Array.from(good.flatMap((k) => [...quotes.subarray(k * 4, k * 4 + 4)])) });
  }

  /** Splits and dividends are said with the first bar of their ex-date. */
  #notice(notice: NoticeFact, out: Out): void {
    const { what, instrument, at, value } = notice;
    const isAction = what === "split" || what === "dividend";
    if (isAction) this.#stores[instrument].owe({ kind: what, exTime: at, value }); else out.push(notice);
  }

  #catchUp(now: number, out: Out): void {
    if (!this.#isLost) return;
    this.#isLost = false;
    out.push(this.#alert(now, "info", "feed-back",
      `the stream is back and its gap is filled (${this.#steps.size} steps)`));
    this.#goOn(now, out);
  }

  /** Says steps that are whole: all symbols, all said by the vendor, a later one begun, or waited enough. */
  #flush(now: number, out: Out): void {
    for (const { at, openedAt, isWhole } of this.#steps.open()) {
      const isLast = at === this.#steps.last;
      if (isLast && !isWhole && now < openedAt + this.#assemblyMs) return;
      this.#say(this.#steps.take(at, this.#isOld(at, now) ? BAR_FLAGS.backfilled : null), out);
    }
  }

  /** On the wall clock, a bar that took longer than the next one to come is no news. */
  #isOld(at: number, now: number): boolean {
    return this.#isWall && now > overdueAt(at, this.#session.timeframe, calendar(this.#session.calendar));
  }

  #say(market: MarketFact, out: Out): void {
    this.#saidAt = Math.max(this.#saidAt, market.at);
    if (this.#isStale) {
      this.#isStale = false;
      for (const i of this.#session.symbols.keys()) out.push(this.#staleness(i, market.at, "fresh"));
    }
    this.#steppedAt = NaN;
    out.push(market);
  }

  #expectAfter(at: number): void {
    this.#overdueAt = at === -Infinity ? Infinity
      : overdueAt(at, this.#session.timeframe, calendar(this.#session.calendar));
  }

  #watch(now: number, out: Out): void {
    if (this.#isReady && !this.#isLost && !this.#isEnded && now > this.#overdueAt) {
      const last = Math.max(this.#newest, this.#saidAt);
      const reason = `no bar of ${this.#session.symbols.length} symbols since `
        + `${last > 0 ? formatTime(last) : "the stream began"}, inside the session`;
      if (!this.#isStale) {
        this.#isStale = true;
        for (const i of this.#session.symbols.keys()) out.push(this.#staleness(i, now, "stale"));
        out.push(this.#alert(now, "critical", "feed-stale", reason));
      }
      // Asked again as often as a bar would come.
      this.#overdueAt = now + Math.min(TIMEFRAMES[this.#session.timeframe] || MS_PER_MINUTE, MS_PER_HOUR);
      out.push({ kind: "reconnect", reason });
    }
    if (now > this.#steppedAt + STEP_PATIENCE_MS) {
      out.push(this.#alert(now, "warning", "step-late",
        "the replay has not played the step that it was asked for"));
      this.#step(now, out);
    }
  }

  #release(now: number, out: Out): void {
    const isNew = !this.#isReleased;
    this.#isReleased = true;
    if (isNew && this.#isReady) this.#step(now, out);
  }

  /** The next step, please; a paced replay goes on by itself once it was let go. */
  #step(now: number, out: Out): void {
    if (this.#session.feed !== "simulator" || !this.#isReady || !this.#isReleased || this.#isLost
      || this.#isEnded) return;
    if (!this.#session.clock.isStepped) {
      if (!this.#isResumed) out.push({ kind: "resume" });
      this.#isResumed = true;
      return;
    }
    this.#steppedAt = now;
    out.push({ kind: "step" });
  }

  #staleness(instrument: number, at: number, what: "stale" | "fresh"): NoticeFact {
    return { kind: "notice", at, instrument, what, value: 0 };
  }

  #alert(at: number, severity: AlertFact["severity"], code: string, text: string): AlertFact {
    return { kind: "alert", at, severity, code, text, process: this.name };
  }
}
