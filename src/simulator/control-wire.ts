/**
 * What only a simulator has: /simulator/*, for tests, the feed's stepped clock and curious people. JSON in
 * and out.
 *
 *   GET  state                     POST step {count} or {barMs} · pace {kind, ...} · pause · resume
 *   POST fault {name, later} · cut {streams} · pages {rows}
 *   POST trade {symbol, quantity, price} · halt {symbol, isOn}
 *   POST split {symbol, ratio} · dividend {symbol, perShare} · rename {symbol, to} · delist {symbol}
 *   POST margin-call {isOn} · block {isOn}
 */
import { isExchangeFault } from "./exchange-faults.ts";
import type { World } from "./exchange-world.ts";
import { isDataFault } from "./faults.ts";
import type { Pace, Pacer } from "./pacer.ts";
import type { DataDesk } from "./simulator.ts";
import { orderJson } from "./trading-json.ts";
import type { TradingAnswer } from "./trading-wire.ts";

export interface SimulatorState {
  /** Simulated time, UTC ms, and that of the next step; null: the market is at its end. */
  readonly now: number;
  readonly nextAt: number | null;
  readonly step: number;
  /** Trades said on the streams so far. */
  readonly trades: number;
  readonly isDone: boolean;
  readonly isPaused: boolean;
  readonly pace: Pace;
  readonly openOrders: number;
  readonly clients: { readonly trading: number; readonly alpaca: number; readonly massive: number };
  readonly faults: Readonly<Record<string, number>>;
}

export interface Controls {
  readonly world: World;
  readonly pacer: Pacer;
  readonly data: Pick<DataDesk, "ask" | "setPageRows">;
  readonly state: () => SimulatorState;
  readonly cut: (streams: "data" | "updates" | "all") => void;
}

type Body = Readonly<Record<string, unknown>>;
const STEPS_MAX = 1_000_000;

const ACTIONS: Readonly<Record<string, (controls: Controls, body: Body) => object | string>> = {
  step: ({ pacer, state }, { count, barMs }) => ({ done: typeof barMs === "number" && barMs > 0
    ? pacer.stepBar(barMs) : pacer.step(Math.min(STEPS_MAX, Number(count ?? 1))), ...state() }),
  pace: ({ pacer, state }, body) => {
    const pace = paceOf(body);
    if (pace === null) return "a pace is paced {barsPerSecond}, recorded {speed}, fast or stepped";
    pacer.set(pace);
    return state();
  },
  pause: ({ pacer, state }) => { pacer.pause(); return state(); },
  resume: ({ pacer, state }) => { pacer.resume(); return state(); },
  fault: ({ world, data, state }, { name, later }) => {
    const text = String(name), after = Number(later ?? 1);
    if (isExchangeFault(text)) world.faults.ask(text, after);
    else if (isDataFault(text)) data.ask(text, after);
    else return `no such fault: ${text}`;
    return state();
  },
  pages: ({ data, state }, { rows }) => {
    if (!(Number.isInteger(rows) && Number(rows) > 0)) return "rows is how many a page of data has at most";
    data.setPageRows(Number(rows));
    return state();
  },
  cut: ({ cut, state }, { streams }) => {
    const isKnown = streams === "data" || streams === "updates" || streams === "all";
    if (!isKnown) return "streams is data, updates or all";
    cut(streams);
    return state();
  },
  trade: listed(({ world }, symbol, { quantity, price }) => {
    const isShown = Number(price) > 0 || (world.exchange.market(symbol)?.last ?? NaN) > 0;
    return Number.isFinite(quantity) && quantity !== 0 && isShown
      ? orderJson(world.exchange.trade(symbol, Number(quantity), Number(price ?? NaN), world.now()))
      : "a trade has a signed quantity, and a price unless the market has shown one";
  }),
  halt: listed(({ world, state }, symbol, { isOn }) => {
    world.halt(symbol, isOn !== false);
    return state();
  }),
  split: listed(({ world, state }, symbol, { ratio }) => {
    if (!(Number(ratio) > 0)) return "ratio is new shares per old share";
    world.exchange.split(symbol, Number(ratio), world.now());
    return state();
  }),
  dividend: listed(({ world, state }, symbol, { perShare }) => {
    if (!Number.isFinite(perShare)) return "perShare is money";
    world.exchange.dividend(symbol, Number(perShare));
    return state();
  }),
  rename: listed(({ world, state }, symbol, { to }) => {
    if (typeof to !== "string" || to === "" || world.exchange.asset(to) !== null) return "to is a new symbol";
    world.exchange.rename(symbol, to, world.now());
    return state();
  }),
  delist: listed(({ world, state }, symbol) => {
    world.exchange.delist(symbol, world.now());
    return state();
  }),
  "margin-call": ({ world, state }, { isOn }) => {
    world.exchange.callMargin(isOn !== false);
    return state();
  },
  block: ({ world, state }, { isOn }) => { world.exchange.blockTrading(isOn !== false); return state(); },
};

/** Null: no such action. */
export function answerControl(controls: Controls, method: string, path: string,
  body: Body): TradingAnswer | null {
  const name = path.slice("/simulator/".length);
  if (method === "GET" && name === "state") return { status: 200, body: controls.state() };
  if (method !== "POST" || !Object.hasOwn(ACTIONS, name)) return null;
  controls.pacer.catchUp();
  const answer = ACTIONS[name](controls, body);
  return typeof answer === "string" ? { status: 400, body: { message: answer } }
    : { status: 200, body: answer };
}

function listed(action: (controls: Controls, symbol: string, body: Body) => object | string) {
  return (controls: Controls, body: Body): object | string => {
    const symbol = String(body["symbol"]);
    return controls.world.exchange.asset(symbol) === null ? `not listed: ${symbol}`
      : action(controls, symbol, body);
  };
}

function paceOf({ kind, barsPerSecond, speed }: Body): Pace | null {
  const isPositive = (value: unknown): value is number => typeof value === "number" && value > 0;
  if (kind === "paced") return isPositive(barsPerSecond) ? { kind, barsPerSecond } : null;
  if (kind === "recorded") return isPositive(speed) ? { kind, speed } : null;
  return kind === "fast" || kind === "stepped" ? { kind } : null;
}
