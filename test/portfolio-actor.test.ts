import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { describe, test } from "node:test";
import type { Clock } from "../src/base/clock.ts";
import { openLog } from "../src/base/log.ts";
import { random } from "../src/base/random.ts";
import { timeMs } from "../src/base/units.ts";
import type { Actor } from "../src/live/actor.ts";
import { openPortfolioRim, snapshotFile } from "../src/live/actors/portfolio-rim.ts";
import { portfolioActor, type PortfolioEffect, type PortfolioOptions, type PortfolioOutcome }
  from "../src/live/actors/portfolio.ts";
import { BAR_FLAGS, type AlertFact, type ControlCommand, type Spoken, type TargetCommand } from "../src/live/message.ts";
import { PORTS, type Session } from "../src/live/session.ts";
import { instrument } from "../src/market/instrument.ts";
import { openShaper } from "../src/strategy/optimise/shaper.ts";
import { NO_LIMITS, type RiskLimits } from "../src/strategy/risk.ts";

const SYMBOLS = ["A", "B"], DAY = 86_400_000, START = Date.UTC(2026, 0, 5, 21);
const SIZING = { volatilityTarget: 0.15, weightMax: null, portfolioTarget: null, method: "volatility", isFractional: true,
  capital: 100_000 } as const;

const sessionOf = (sizing: Partial<Session["sizing"]> = {}): Session => ({
  id: "test", venue: "simulator", feed: "simulator", wire: "alpaca", strategyName: "toy", symbols: SYMBOLS, timeframe: "1d",
  calendar: "us-equity", recipe: "dmn", recipeHash: "0", history: null,
  clock: { kind: "market", isStepped: true, barsPerSecond: null }, models: [{ worker: "toy-1", strategy: "toy" }], quorum: 1,
  deadlineMs: 100, mixture: "equal", isConfidenceWeighted: false, sizing: { ...SIZING, ...sizing }, risk: {},
  execution: { style: "market", slices: 1, timeoutMs: 1000, callsPerMinute: 200 }, ports: PORTS, host: "127.0.0.1", seed: 0,
  faults: "none", simulatorUrl: null,
});

/** An actor, and what it says, sorted. */
class Desk {
  readonly targets: TargetCommand[] = [];
  readonly alerts: AlertFact[] = [];
  readonly controls: ControlCommand[] = [];
  kept: PortfolioOutcome | null = null;
  readonly #actor: Actor<PortfolioEffect, PortfolioOutcome>;

  constructor(limits: Partial<RiskLimits> = {}, sizing: Partial<Session["sizing"]> = {}, more: Partial<PortfolioOptions> = {}) {
    this.#actor = portfolioActor({ session: sessionOf(sizing), instruments: SYMBOLS.map((symbol) => instrument(symbol)),
      periodsPerYear: 252, limits: { ...NO_LIMITS, ...limits }, ...more });
  }

  hear(message: Spoken | PortfolioOutcome, now = "at" in message ? message.at : START): void {
    const said = this.#actor.handle(message, now);
    assert.ok(!(said instanceof Promise));
    for (const one of said) {
      if (one.kind === "target") this.targets.push(one);
      else if (one.kind === "alert") this.alerts.push(one);
      else if (one.kind === "control") this.controls.push(one);
      else if (one.kind === "keep") this.kept = { kind: "kept", snapshot: structuredClone(one.snapshot) };
    }
  }

  /** Closes of day `day`; NaN: no bar. */
  bars(day: number, closes: readonly number[], flag: number = BAR_FLAGS.fresh): void {
    const present = [...closes.keys()].filter((i) => !Number.isNaN(closes[i]));
    this.hear({ kind: "market", at: START + day * DAY, instrument: Int32Array.from(present),
      bars: Float64Array.from(present.flatMap((i) => [closes[i], closes[i], closes[i], closes[i], 1, closes[i], 1])),
      flags: new Uint8Array(present.length).fill(flag) });
  }

  decide(day: number, positions: readonly number[], { volatility = 0.01, hasQuorum = true, now = START + day * DAY } = {}): void {
    this.hear({ kind: "decision", at: START + day * DAY, instrument: Int32Array.from(positions.keys()),
      position: Float32Array.from(positions), volatility: new Float32Array(positions.length).fill(volatility),
      confidence: new Float32Array(positions.length).fill(1), members: ["toy-1"], hasQuorum }, now);
  }

  account(day: number, cash: number, units: readonly number[] = [0, 0], equity = cash, isReconciled = true): void {
    this.hear({ kind: "account", at: START + day * DAY, equity, cash, buyingPower: equity, units: Float64Array.from(units),
      isReconciled });
  }

  state(day: number, state: "ACTIVE" | "REDUCING" | "HALTED", by = "user"): void {
    this.hear({ kind: "trading-state", at: START + day * DAY, state, reason: "test", by });
  }

  get last(): TargetCommand { return this.targets.at(-1)!; }
  get reasons(): string[] { return this.last.actions.map((action) => action.reason); }
}

/** With prices of yesterday and 100,000 in cash. */
function ready(limits: Partial<RiskLimits> = {}, sizing: Partial<Session["sizing"]> = {},
  more: Partial<PortfolioOptions> = {}): Desk {
  const desk = new Desk(limits, sizing, more);
  desk.bars(0, [100, 50], BAR_FLAGS.history);
  desk.account(0, 100_000);
  return desk;
}

// 0.15 / (0.01 sqrt 252) = 0.94491 of an instrument at full strength, half of it as one of two. Volatilities are float32.
const WEIGHT = 0.15 / (Math.fround(0.01) * Math.sqrt(252)) / 2;

function near(found: ArrayLike<number>, hoped: readonly number[], tolerance = 1e-9): void {
  assert.equal(found.length, hoped.length);
  hoped.forEach((value, i) => { assert.ok(Math.abs(found[i] - value) <= tolerance, `${i}: ${found[i]} instead of ${value}`); });
}

describe("the portfolio in live", () => {
  test("positions 1 and -0.5 at 1 % a day become 0.4725 and -0.2362 of the equity, 467.8 and -482.1 units at 101 and 49", () => {
    const desk = ready();
    desk.bars(1, [101, 49]);
    desk.decide(1, [1, -0.5]);
    near(desk.last.weight, [WEIGHT, -WEIGHT / 2]);
    near(desk.last.units, [WEIGHT * 1e5 / 101, -WEIGHT / 2 * 1e5 / 49]);
    assert.deepEqual([[...desk.last.instrument], [...desk.last.price], desk.last.equity], [[0, 1], [101, 49], 100_000]);
    const whole = ready({}, { isFractional: false });
    whole.bars(1, [101, 49]);
    whole.decide(1, [1, -0.5]);
    assert.deepEqual([...whole.last.units], [467, -482]);
  });

  test("a decision ahead of its bars waits for them; one for a past step and one heard twice are not answered", () => {
    const desk = ready();
    desk.decide(1, [1, 1]);
    assert.equal(desk.targets.length, 0);
    desk.bars(1, [101, 49]);
    assert.equal(desk.targets.length, 1);
    desk.decide(1, [1, 1]);
    desk.bars(2, [102, 48]);
    desk.decide(1, [-1, -1]);
    assert.equal(desk.targets.length, 1);
  });

  test("equity moves with fills and closes: 400 units bought at 101 for 10 are worth 100,390 at 102", () => {
    const desk = ready();
    desk.bars(1, [101, 49]);
    desk.decide(1, [1, 0]);
    const fill = { kind: "fill", at: START + DAY + 1, orderId: "1", executionId: "1", instrument: 0, quantity: 400, price: 101,
      fee: 10, position: 400 } as const;
    desk.hear(fill);
    desk.hear(fill);                  // heard twice counts once
    desk.bars(2, [102, 49]);
    desk.decide(2, [1, 0]);
    assert.equal(desk.last.equity, 100_390);
  });

  test("without a bar, halted or with a bar over 60 s old it is left alone; with a bar and no decision it is closed", () => {
    const desk = ready({ staleMs: 60_000 });
    desk.bars(1, [101, NaN]);
    desk.decide(1, [1, 1]);
    assert.deepEqual([...desk.last.instrument], [0]);
    desk.hear({ kind: "notice", at: START + DAY, instrument: 0, what: "halt", value: 0 });
    desk.bars(2, [101, 50]);
    desk.decide(2, [1, 1]);
    assert.deepEqual([[...desk.last.instrument], desk.reasons], [[1], ["halted-symbol"]]);
    desk.hear({ kind: "notice", at: START + 2 * DAY, instrument: 0, what: "resume", value: 0 });
    desk.bars(3, [101, 50]);
    desk.decide(3, [1, 1], { now: START + 3 * DAY + 61_000 });
    assert.deepEqual([[...desk.last.instrument], desk.reasons], [[], ["stale-data", "stale-data"]]);
    desk.account(3, 0, [1000, 0], 101_000);
    desk.bars(4, [101, 50]);
    desk.hear({ kind: "decision", at: START + 4 * DAY, instrument: Int32Array.of(1), position: Float32Array.of(1),
      volatility: Float32Array.of(0.01), confidence: Float32Array.of(1), members: [], hasQuorum: true });
    assert.deepEqual([[...desk.last.instrument], desk.last.units[0]], [[0, 1], 0]);
  });

  test("a lost quorum closes all that is held, also what has no bar now", () => {
    const desk = ready();
    desk.account(0, 50_000, [250, 500], 100_000);
    desk.bars(1, [100, NaN]);
    desk.decide(1, [1, 1], { hasQuorum: false });
    assert.deepEqual([[...desk.last.instrument], [...desk.last.units], desk.reasons], [[0, 1], [0, 0], ["quorum-lost"]]);
  });

  test("without an account, before its books are reconciled, and while halted targets are of 0 instruments", () => {
    const desk = new Desk();
    desk.bars(1, [101, 49]);
    desk.decide(1, [1, 1]);
    desk.account(1, 100_000, [0, 0], 100_000, false);
    desk.bars(2, [101, 49]);
    desk.decide(2, [1, 1]);
    desk.account(2, 100_000);
    desk.state(2, "HALTED");
    desk.bars(3, [101, 49]);
    desk.decide(3, [1, 1]);
    assert.deepEqual([desk.targets.map((target) => target.instrument.length), desk.reasons], [[0, 0, 0], ["kill-switch"]]);
  });

  test("while reducing, 100 units may shrink and not grow", () => {
    const desk = ready();
    desk.account(0, 90_000, [100, 0], 100_000);
    desk.state(0, "REDUCING");
    desk.bars(1, [100, 50]);
    desk.decide(1, [1, 1]);
    near(desk.last.units, [100, 0]);
    desk.bars(2, [100, 50]);
    desk.decide(2, [0.1, 0]);
    near(desk.last.units, [WEIGHT / 10 * 1e5 / 100, 0], 1e-4);
  });
});

describe("drawdown", () => {
  test("a fall of 12 % between decisions under a limit of 10 % asks to flatten, once, and later targets are all 0", () => {
    const desk = ready({ drawdownMax: 0.1 });
    desk.account(0, 50_000, [500, 0], 100_000);
    desk.bars(1, [81, 50]);
    assert.equal(desk.controls.length, 0);
    desk.bars(2, [76, 50]);
    assert.deepEqual(desk.controls.map(({ action, by }) => [action, by]), [["flatten", "risk"]]);
    assert.deepEqual(desk.alerts.map(({ code, severity }) => [code, severity]), [["drawdown-limit", "critical"]]);
    desk.decide(2, [1, 1]);
    assert.deepEqual([...desk.last.units], [0, 0]);
    desk.bars(3, [70, 50]);
    assert.equal(desk.controls.length, 1);
  });

  test("a person who resumes counts the drawdown from there; anybody else's ACTIVE does not", () => {
    for (const [by, isTrading] of [["user", true], ["execution", false]] as const) {
      const desk = ready({ drawdownMax: 0.1 });
      desk.account(0, 50_000, [500, 0], 100_000);
      desk.bars(1, [76, 50]);
      desk.state(1, "HALTED", "risk");
      desk.account(1, 88_000);
      desk.state(1, "ACTIVE", by);
      desk.bars(2, [76, 50]);
      desk.decide(2, [1, 1]);
      assert.equal(desk.last.units[0] !== 0, isTrading, by);
    }
  });

  test("a split of 2 : 1 is no loss, whether the notice or the split books come first", () => {
    for (const order of ["notice", "account"]) {
      const desk = ready({ drawdownMax: 0.1 });
      desk.account(0, 50_000, [500, 0], 100_000);
      desk.bars(1, [100, 50]);
      const notice = { kind: "notice", at: START + 2 * DAY - 1, instrument: 0, what: "split", value: 2 } as const;
      if (order === "notice") desk.hear(notice);
      desk.account(1, 50_000, [1000, 0], 100_000);
      if (order === "account") desk.hear(notice);
      desk.bars(2, [50.5, 50]);
      desk.decide(2, [1, 1]);
      near([desk.last.equity], [100_500]);
      desk.bars(3, [51, 50]);
      desk.decide(3, [1, 1]);
      assert.deepEqual([desk.controls, desk.last.equity], [[], 101_000], order);
    }
  });

  test("after a restart old prices on their way here are no loss: the account first, in the middle, or last", () => {
    for (const place of [0, 1, 2]) {
      const desk = new Desk({ drawdownMax: 0.1 });
      for (let day = 0; day < 3; day++) {
        if (day === place) desk.account(3, -50_000, [1000, 1000], 100_000);
        desk.bars(day, [20 + day, 10], BAR_FLAGS.history);
      }
      desk.bars(3, [100, NaN]);
      desk.decide(3, [1, 1]);
      assert.deepEqual([desk.controls, desk.last.equity], [[], 100_000], `${place}`);      // B is still at its old price of 10
      desk.bars(4, [100, 50]);
      desk.decide(4, [1, 1]);
      assert.deepEqual([desk.controls, desk.last.equity], [[], 100_000], `${place}`);
    }
  });

  test("without limits even an equity below 0 by wrong prices flattens nothing", () => {
    const desk = ready();
    desk.account(0, 200_000, [-1000, 0], 100_000);
    desk.bars(1, [1000, 50]);
    desk.decide(1, [1, 1]);
    assert.deepEqual([desk.controls, desk.last.equity], [[], 100_000]);
  });
});

/** 150 days of two random instruments under a second scaling; `restart`: the day the process dies and comes back. */
function life(restart: number | null): number[][] {
  const sizing = { portfolioTarget: 0.1 }, draw = random(7, "life"), closes: [number, number][] = [[100, 50]];
  for (let day = 1; day < 150; day++) {
    const [a, b] = closes[day - 1];
    closes.push([a * Math.exp(0.01 * draw.normal()), b * Math.exp(0.02 * draw.normal())]);
  }
  let desk = new Desk({ varHistoricalMax: 0.02 }, sizing, { isKept: true });
  const units: number[][] = [];
  closes.forEach((pair, day) => {
    if (day === restart) {
      const again = new Desk({ varHistoricalMax: 0.02 }, sizing, { isKept: true });
      if (desk.kept !== null) again.hear(desk.kept);
      for (let before = 0; before < day; before++) again.bars(before, closes[before], BAR_FLAGS.history);
      desk = again;
    }
    desk.account(day - 1, 100_000);
    desk.bars(day, pair);
    desk.decide(day, [Math.sin(day / 9), Math.cos(day / 7)]);
    units.push([...desk.last.units]);
  });
  return units;
}

describe("restarts", () => {
  test("with its snapshot and the history again, 150 days end in the same bits whichever day it died on", () => {
    const whole = life(null);
    assert.ok(new Set(whole.map((pair) => pair.join())).size > 140);
    for (const day of [1, 30, 80, 149]) assert.deepEqual(life(day), whole, `day ${day}`);
  });

  test("the rim keeps the newest snapshot, and gives it back to the same strategy and symbols only", async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "portfolio-"));
    try {
      const warnings: string[] = [], log = openLog("warn", (line) => { warnings.push(line); }), session = sessionOf();
      const desk = ready({}, {}, { isKept: true });
      for (let day = 1; day < 4; day++) { desk.bars(day, [100 + day, 50]); desk.decide(day, [1, 1]); }
      assert.ok(desk.kept !== null);
      // Time stands still until it is told to stop.
      const clock: Clock = { now: () => timeMs(0), sleep: (_, signal) => new Promise((_resolve, reject) => {
        signal!.addEventListener("abort", () => { reject(new Error("stopped")); });
      }) };
      const { snapshot } = desk.kept, rim = openPortfolioRim({ session, folder, clock, log });
      await rim.start(() => { assert.fail("there is nothing yet"); });
      rim.carryOut({ kind: "keep", snapshot: { ...snapshot, decisions: 1 } });
      rim.carryOut({ kind: "keep", snapshot });
      // Its orders go first: two flushes at once take longer, each.
      await fs.promises.readdir(folder);
      assert.deepEqual([await fs.promises.readdir(folder), rim.isIdle()], [[], false]);
      await rim.stop();
      assert.ok(rim.isIdle());
      const found: PortfolioOutcome[] = [];
      await openPortfolioRim({ session, folder, clock, log }).start((outcome) => { found.push(outcome); });
      assert.deepEqual(found, [{ kind: "kept", snapshot }]);
      const other = { ...session, symbols: ["A", "C"] };
      await openPortfolioRim({ session: other, folder, clock, log }).start(() => { assert.fail("other symbols"); });
      fs.writeFileSync(path.join(folder, snapshotFile("simulator")), "{ torn");
      await openPortfolioRim({ session, folder, clock, log }).start(() => { assert.fail("damaged"); });
      assert.equal(warnings.length, 1);
    } finally { fs.rmSync(folder, { recursive: true }); }
  });
});

test("with equal risk 2 instruments share risk by their positions; before 60 returns plain weights and a reason", async () => {
  const shaper = await openShaper("erc", 2), desk = new Desk({}, { method: "erc" }, { shaper }), draw = random(9, "erc");
  for (let day = 0, a = 100, b = 50; day < 70; day++) {
    desk.account(day - 1, 100_000);
    desk.bars(day, [a, b]);
    desk.decide(day, [1, -0.25]);
    const common = 0.01 * draw.normal();
    a *= 1 + common + 0.005 * draw.normal();
    b *= 1 + common + 0.005 * draw.normal();
  }
  assert.deepEqual([desk.targets[40].actions[0].reason, desk.reasons], ["short-history", []]);
  near(desk.targets[40].weight, [WEIGHT, -WEIGHT / 4]);
  const [a, b] = desk.last.weight;
  // Opposite positions in instruments that move together hedge, so the risk was small and so is the hedged weight's share.
  assert.ok(a > 0 && b < 0 && Math.abs(b) > WEIGHT / 4, `${a} ${b}`);
});
