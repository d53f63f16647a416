/** A small live session for tests over memory: three equities by the minute, two toy models, a recipe of two features. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { bind, type Panel } from "../src/features/panel.ts";
import { readRecipe } from "../src/features/recipe.ts";
import type { AlertFact, SettledFact } from "../src/live/message.ts";
import type { Session } from "../src/live/session.ts";
import { calendar } from "../src/market/calendar.ts";
import { instrument } from "../src/market/instrument.ts";
import { findStrategy } from "../src/strategy/find.ts";
import { NO_LIMITS, type RiskLimits } from "../src/strategy/risk.ts";
import type { Strategy } from "../src/strategy/strategy.ts";
import { violationsOf, type SimulationRecord } from "../src/workflow/live/invariants.ts";
import { HONEST, type BrokerFaults, type VenueEntry } from "../src/workflow/live/memory-broker.ts";
import type { SimulatedMarket } from "../src/workflow/live/memory-feed.ts";
import { NO_FAULTS, randomMarket, simulate, simulatedSession, type FaultPlan, type SimulationOptions }
  from "../src/workflow/live/simulation.ts";

export const SYMBOLS = ["AAA", "BBB", "CCC"], HISTORY = 66, LIVE = 24, STEP_MS = 60_000;
/** A Wednesday, half an hour after the open. */
export const FROM = Date.UTC(2024, 0, 3, 15, 0);
export const PROCESSES = ["feed", "features", "lstm-1", "lstm-2", "decision", "execution"];
const PERIODS = calendar("us-equity").periodsPerYear("1m");

const follow = (name: string, sign: number): string =>
  `export const strategy = { name: "${name}", description: "follows the last bar",
  recipe: "toy", features: ["ret_1d", "daily_vol"], lookback: 2,
  decide: async ({ time, features, names }) => ({
    position: Float32Array.from(time, (_, b) => Math.tanh(${sign} * 300 * features[(b + 1) * 2 * names.length - 2])),
    volatility: Float32Array.from(time, (_, b) => Math.max(0.001, features[(b + 1) * 2 * names.length - 1])),
    confidence: new Float32Array(time.length).fill(1) }) };`;

export interface Toy {
  /** Data root with the recipe and the strategies. */
  readonly root: string;
  readonly panel: Panel;
  readonly strategies: ReadonlyMap<string, Strategy>;
  readonly session: Session;
}

export async function makeToy(given: Partial<Session> = {}): Promise<Toy> {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-toy-"));
  for (const folder of ["recipes", "strategies"]) fs.mkdirSync(path.join(root, folder));
  fs.writeFileSync(path.join(root, "recipes", "toy.json"),
    JSON.stringify({ name: "toy", features: [{ family: "return" }, { family: "volatility", span: 60 }] }));
  fs.writeFileSync(path.join(root, "strategies", "follow.ts"), follow("follow", 1));
  fs.writeFileSync(path.join(root, "strategies", "fade.ts"), follow("fade", -0.4));
  const panel = bind(await readRecipe(root, "toy"), { calendar: calendar("us-equity"), timeframe: "1m" });
  const strategies = new Map([["lstm-1", await findStrategy(root, "follow")], ["lstm-2", await findStrategy(root, "fade")]]);
  const models = [{ worker: "lstm-1", strategy: "follow" }, { worker: "lstm-2", strategy: "fade" }];
  return { root, panel, strategies, session: simulatedSession({ symbols: SYMBOLS, models, ...given }, panel) };
}

export const toyMarket = (seed: number, live = LIVE): SimulatedMarket =>
  randomMarket(seed, { symbols: SYMBOLS, from: FROM, stepMs: STEP_MS, history: HISTORY, live });

export function play({ session, panel, strategies }: Toy, seed: number, more: Partial<SimulationOptions> = {},
  limits: RiskLimits = NO_LIMITS): Promise<SimulationRecord> {
  return simulate({ session, market: toyMarket(seed), panel, instruments: SYMBOLS.map((symbol) => instrument(symbol)),
    periodsPerYear: PERIODS,
    limits, strategies: new Map([...strategies].map(([worker, strategy]) => [worker, () => strategy])), seed, ...more });
}

/** From here on no fault begins: a run can come to rest. */
const CALM_FROM_MS = (LIVE - 6) * STEP_MS;
export const faultPlan = (broker: Partial<BrokerFaults> = {}, mischief: FaultPlan["mischief"] = []): FaultPlan =>
  ({ ...NO_FAULTS, broker: { ...HONEST, delayMs: [5, 60], ...broker }, mischief, calmFromMs: CALM_FROM_MS });

/** Plays, and holds the run to every rule. */
export async function playByTheRules(toy: Toy, seed: number, faults: FaultPlan, session: Partial<Session>,
  more: Partial<SimulationOptions>): Promise<SimulationRecord> {
  const record = await play({ ...toy, session: { ...toy.session, ...session } }, seed, { faults, ...more });
  assert.deepEqual(violationsOf(record), [], `seed ${seed}`);
  return record;
}

export const submits = ({ venue }: SimulationRecord): VenueEntry[] => venue.filter(({ what }) => what === "submit");
export const said = <Fact>(record: SimulationRecord, kind: string): Fact[] => record.entries
  .filter(({ what, message }) => what === "said" && message?.kind === kind).map(({ message }) => message as Fact);
export const alerts = (record: SimulationRecord): string[] => said<AlertFact>(record, "alert").map(({ code }) => code);
export const settledAt = (record: SimulationRecord): number =>
  Math.max(...said<SettledFact>(record, "settled").map(({ at }) => at));
