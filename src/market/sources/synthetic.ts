/** Source: an invented market, the same for one seed everywhere, and labelled wherever it goes. */
import { UserError } from "../../base/error.ts";
import { day, formatDay, MS_PER_DAY, type Day } from "../../base/units.ts";
import { calendar, type Session } from "../calendar.ts";
import { DAILY_MODEL, dailyBars, Factors } from "./synthetic-daily.ts";
import { DAILY_END, DAILY_ORIGIN, MINUTE_ORIGIN, MINUTE_START, syntheticInstruments,
  type SyntheticInstrument } from "./synthetic-instruments.ts";
import { MINUTE_MODEL, minuteBars } from "./synthetic-minute.ts";
import type { Delivery, FetchRequest, Source } from "./source.ts";

/** The market one gets without --seed; its calibration is in test/synthetic.test.ts. */
export const SYNTHETIC_SEED = 17;
const LAST_DAY = day(Date.UTC(2099, 11, 31) / MS_PER_DAY);

interface Plan {
  readonly isMinute: boolean;
  readonly instruments: readonly SyntheticInstrument[];
  readonly from: Day;
  readonly to: Day;
}

/** The request with its defaults. Throws UserError for what the generator does not make. */
function plan(request: FetchRequest): Plan {
  const timeframe = request.timeframe ?? "1d";
  if (timeframe !== "1d" && timeframe !== "1m") {
    throw new UserError(`the synthetic market has no ${timeframe} bars`,
      "ask for --timeframe 1d or --timeframe 1m");
  }
  const isMinute = timeframe === "1m", origin = isMinute ? MINUTE_ORIGIN : DAILY_ORIGIN;
  if (request.path !== null) {
    throw new UserError("the synthetic source reads no file", "leave --path out, or say --source csv");
  }
  if (request.calendar != null && request.calendar !== calendarName(isMinute)) {
    throw new UserError(
      `synthetic ${timeframe} bars are on the ${calendarName(isMinute)} calendar`,
      "leave --calendar out");
  }
  const from = request.from ?? (isMinute ? MINUTE_START : DAILY_ORIGIN);
  const to = request.to ?? DAILY_END;
  if (from < origin || to > LAST_DAY) {
    const life = `${formatDay(origin)} to ${formatDay(LAST_DAY)}`;
    throw new UserError(`the synthetic ${timeframe} market lives from ${life}`,
      `choose --from and --to inside; ${formatDay(from)} to ${formatDay(to)} is not`);
  }
  if (calendar(calendarName(isMinute)).sessions(from, to).length === 0) {
    throw new UserError(`there is no session from ${formatDay(from)} to ${formatDay(to)}`,
      "change --from or --to");
  }
  const instruments = syntheticInstruments(request.symbols, isMinute, request.seed);
  return { isMinute, instruments, from, to };
}

const calendarName = (isMinute: boolean): "us-equity" | "24x5" => isMinute ? "us-equity" : "24x5";

export const syntheticSource: Source = {
  name: "synthetic",
  describe(request) {
    const { isMinute } = plan(request);
    const model = isMinute ? `minute model ${MINUTE_MODEL}` : `daily model ${DAILY_MODEL}`;
    return Promise.resolve({
      source: "synthetic", isSynthetic: true, kind: "bars", timeframe: isMinute ? "1m" : "1d",
      calendar: calendar(calendarName(isMinute)), adjustment: "raw",
      provenance: `synthetic market, not real: ${model}, seed ${request.seed}`,
    });
  },
  instruments(request) {
    return Promise.resolve(plan(request).instruments.map((one) => one.instrument));
  },
  async *fetch(request, context, have) {
    const { isMinute, instruments, from, to } = plan(request);
    const market = new Market(request.seed, isMinute, from, to);
    let rows = 0;
    for (const one of instruments) {
      context.signal.throwIfAborted();
      if (have.has(one.instrument.symbol)) { rows++; continue; }
      const bars = market.bars(one);
      rows += bars.time.length;
      if (bars.time.length > 0) yield { bars, actions: [] } satisfies Delivery;
    }
    if (rows === 0) {
      throw new UserError(
        `no synthetic instrument has a bar from ${formatDay(from)} to ${formatDay(to)}`,
        "SYN0001 and its like start on 2010-01-01: change --from or --to");
    }
  },
};

/** Sessions and factors of each group, worked out once. */
class Market {
  readonly #seed: number;
  readonly #isMinute: boolean;
  readonly #from: Day;
  readonly #to: Day;
  readonly #groups = new Map<Day,
    { sessions: readonly Session[]; first: number; factors: Factors }>();

  constructor(seed: number, isMinute: boolean, from: Day, to: Day) {
    this.#seed = seed;
    this.#isMinute = isMinute;
    this.#from = from;
    this.#to = to;
  }

  bars(one: SyntheticInstrument): Delivery["bars"] {
    const { sessions, first, factors } = this.#group(one.origin);
    return this.#isMinute ? minuteBars(one, this.#seed, sessions, first)
      : dailyBars(one, this.#seed, factors, sessions, first);
  }

  #group(origin: Day): { sessions: readonly Session[]; first: number; factors: Factors } {
    let group = this.#groups.get(origin);
    if (group === undefined) {
      const sessions = calendar(calendarName(this.#isMinute)).sessions(origin, this.#to);
      const at = sessions.findIndex((session) => session.day >= this.#from);
      const factors = new Factors(this.#seed, sessions.length);
      group = { sessions, first: at < 0 ? sessions.length : at, factors };
      this.#groups.set(origin, group);
    }
    return group;
  }
}
