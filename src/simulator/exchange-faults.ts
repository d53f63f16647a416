/**
 * What goes wrong at a broker and on its streams, by script or by seed. Each kind of event is counted from 1;
 * a fault is a pure function of (kind, number), so that a failing seed is a reproducer. `of` is the number of
 * the fault in the design (live.md, section 6); those of the data REST wire are in faults.ts.
 *
 *   order       POST /v2/orders and PATCH          request   any call of the trading API
 *   cancel      DELETE /v2/orders/ID               update    a message of trade_updates
 *   connection  a websocket that authenticates     step      a moment of the market
 */
import { UserError } from "../base/error.ts";
import { random } from "../base/random.ts";

export const EXCHANGE_FAULTS = {
  "post-hung": { on: "order", of: 1, says: "accepted; no answer ever comes" },
  "post-time-out": { on: "order", of: 1, says: "accepted; answered 504" },
  "post-reset": { on: "order", of: 1, says: "accepted; the socket is destroyed" },
  "post-lost": { on: "order", of: 1, says: "never heard of; the socket is destroyed" },
  "post-refused": { on: "order", of: 1, says: "not accepted; answered 504" },
  "id-taken": { on: "order", of: 3, says: "accepted; answered 422 client_order_id must be unique" },
  "partial-fill": { on: "order", of: 4, says: "its first fill is half of it" },
  "rejected-later": { on: "order", of: 7, says: "accepted, then rejected by the venue" },
  "wash-refused": { on: "order", of: 8, says: "403 potential wash trade detected" },
  "money-refused": { on: "order", of: 14, says: "403 insufficient buying power" },
  "stuck-cancel": { on: "cancel", of: 5, says: "204, then pending_cancel for ever" },
  "fill-beats-cancel": { on: "cancel", of: 5, says: "204, then it is filled" },
  "cancel-hung": { on: "cancel", of: 5, says: "cancelled; no answer ever comes" },
  "too-many-calls": { on: "request", of: 9, says: "429 with Retry-After: 1" },
  "broker-down": { on: "request", of: 1, says: "503 before anything is done" },
  "field-missing": { on: "request", of: 13, says: "fields of the answer are gone" },
  "field-new": { on: "request", of: 13, says: "unknown fields, and words that no list has" },
  "wrong-account": { on: "request", of: 15, says: "401, as a live key gets from the paper host" },
  "update-missing": { on: "update", of: 6, says: "never sent" },
  "update-twice": { on: "update", of: 6, says: "sent twice, same execution id" },
  "update-swapped": { on: "update", of: 6, says: "sent after the next one" },
  "update-unknown": { on: "update", of: 6, says: "an event and a status that no list has" },
  "connection-limit": { on: "connection", of: 17, says: "406 connection limit exceeded" },
  "connection-unanswered": { on: "connection", of: 17, says: "404 auth timeout, after the key was sent" },
  "connection-mute": { on: "connection", of: 18, says: "authenticated, subscribed, then nothing" },
  "connection-deaf": { on: "connection", of: 20, says: "subscriptions are not heeded nor answered" },
  "slow-client": { on: "step", of: 17, says: "407 slow client, cut off" },
  "stream-mute": { on: "step", of: 18, says: "connected data streams go silent until they reconnect" },
  "stream-cut": { on: "step", of: 19, says: "data streams are cut" },
  "updates-cut": { on: "step", of: 19, says: "trade_updates is cut" },
  "frame-dropped": { on: "step", of: 21, says: "nothing is sent for this moment" },
  "bar-revised": { on: "step", of: 22, says: "a bar is wrong, and corrected with the next step" },
  "bar-twice": { on: "step", of: 31, says: "a bar is sent twice" },
  "bar-late": { on: "step", of: 31, says: "a bar is sent after the next step's" },
  "bar-missing": { on: "step", of: 21, says: "a bar is not sent" },
  "tick-times-ten": { on: "step", of: 33, says: "a bar's prices are ten times too high" },
  "tick-zero": { on: "step", of: 33, says: "a bar's prices are 0" },
  "tick-negative": { on: "step", of: 33, says: "a bar's prices are negative" },
  "quote-crossed": { on: "step", of: 33, says: "a quote whose bid is above its ask" },
  "halt": { on: "step", of: 12, says: "a symbol is halted for 3 steps" },
  "delist": { on: "step", of: 12, says: "a symbol stops trading for ever" },
  "margin-call": { on: "step", of: 14, says: "no buying power for 3 steps" },
  "manual-trade": { on: "step", of: 16, says: "somebody trades by hand" },
  "manual-order": { on: "step", of: 16, says: "somebody leaves a limit order by hand" },
  "clock-off": { on: "step", of: 31, says: "the broker's clock is an hour ahead for 3 steps" },
} as const satisfies Record<string, { on: string; of: number; says: string }>;
export type ExchangeFault = keyof typeof EXCHANGE_FAULTS;
export type Occasion = (typeof EXCHANGE_FAULTS)[ExchangeFault]["on"];

const NAMES = Object.keys(EXCHANGE_FAULTS) as ExchangeFault[];
/**
 * From which a client must recover by itself: not what a person has to mend, nor what ends a symbol for ever.
 */
export const EXCHANGE_ACCIDENTS: readonly ExchangeFault[] =
  NAMES.filter((name) => name !== "wrong-account" && name !== "delist");

export function faultsOn(occasion: Occasion,
  among: readonly ExchangeFault[] = NAMES): readonly ExchangeFault[] {
  return among.filter((name) => EXCHANGE_FAULTS[name].on === occasion);
}

/** The fault of the n-th event of a kind (from 1), or null. */
export type ExchangeSchedule = (occasion: Occasion, number: number) => ExchangeFault | null;

export const noExchangeFaults: ExchangeSchedule = () => null;

/** Exactly these: `[["post-reset", 3], ["update-twice", 1]]`: at the third order, at the first update. */
export function scriptedExchangeFaults(
  script: readonly (readonly [ExchangeFault, number])[],
): ExchangeSchedule {
  const at = new Map(script.map(([name, number]) => [`${EXCHANGE_FAULTS[name].on} ${number}`, name]));
  return (occasion, number) => at.get(`${occasion} ${number}`) ?? null;
}

/** Each event meets a fault with this probability, drawn from those of `names` that belong to it. */
export function seededExchangeFaults(seed: number, rate: number,
  names: readonly ExchangeFault[] = EXCHANGE_ACCIDENTS): ExchangeSchedule {
  return (occasion, number) => {
    const draw = random(seed, "exchange-fault", occasion, number);
    if (draw.uniform() >= rate) return null;
    const among = faultsOn(occasion, names);
    return among.length === 0 ? null : among[draw.below(among.length)];
  };
}

/**
 * A schedule by name, as sessions and flags have it: "none"; "seeded" or "seeded:0.05" (the rate); or a
 * script, "post-reset@3,update-twice@1". Throws UserError for anything else.
 */
export function exchangeFaultsOf(text: string, seed: number): ExchangeSchedule {
  if (text === "none" || text === "") return noExchangeFaults;
  const seeded = /^seeded(?::(0?\.\d+|0|1))?$/.exec(text);
  if (seeded !== null) return seededExchangeFaults(seed, Number(seeded[1] ?? 0.02));
  return scriptedExchangeFaults(text.split(",").map((part) => {
    const [name, at = "1"] = part.trim().split("@");
    if (!isExchangeFault(name) || !/^[1-9]\d*$/.test(at)) {
      throw new UserError(`"${part}" is no fault of the simulator`,
        `use none, seeded, seeded:0.05, or NAME@NUMBER with one of: ${NAMES.join(", ")}`);
    }
    return [name, Number(at)] as const;
  }));
}

export const isExchangeFault = (name: string): name is ExchangeFault => Object.hasOwn(EXCHANGE_FAULTS, name);

/** Counts events, and remembers what was asked for by hand: the next event of its kind, or one later. */
export class FaultCounter {
  readonly #schedule: ExchangeSchedule;
  readonly #counts = new Map<Occasion, number>();
  readonly #asked = new Map<string, ExchangeFault>();

  constructor(schedule: ExchangeSchedule) { this.#schedule = schedule; }

  /** Counts one more event; its fault and number. */
  next(occasion: Occasion): { readonly fault: ExchangeFault | null; readonly number: number } {
    const number = (this.#counts.get(occasion) ?? 0) + 1;
    this.#counts.set(occasion, number);
    const key = `${occasion} ${number}`, asked = this.#asked.get(key);
    this.#asked.delete(key);
    return { fault: asked ?? this.#schedule(occasion, number), number };
  }

  /** `later` 1: the next event of its kind. */
  ask(fault: ExchangeFault, later = 1): void {
    const { on } = EXCHANGE_FAULTS[fault];
    this.#asked.set(`${on} ${(this.#counts.get(on) ?? 0) + later}`, fault);
  }

  counts(): Readonly<Record<string, number>> { return Object.fromEntries(this.#counts); }
}
