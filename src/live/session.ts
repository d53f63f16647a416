/**
 * What one run of `dmn live` is, as data: the supervisor writes it to storage/live/session.json, every
 * process reads it. It holds no keys: those come from the environment or a 0600 file, process by process.
 */
import { z } from "zod";
import { TIMEFRAMES, type Timeframe } from "../market/bars.ts";
import { CALENDARS } from "../market/calendar.ts";

/** One bind per port; the stable side binds. The founding communication document's map, ours from 5568. */
export const PORTS = {
  data: 5555, features: 5556, predictions: 5557, execution: 5558,
  health: 5564, performance: 5565, alerts: 5566, dashboard: 5567,
  orders: 5568, control: 5569, feedQuestions: 5570, featuresQuestions: 5571, decisions: 5572, simulator: 5573,
  records: 5574, decisionsQuestions: 5575, executionQuestions: 5576,
} as const;
export type PortName = keyof typeof PORTS;

const port = z.int().min(1).max(65_535);
/** A JSON number cannot be Infinity: a limit that is off is null. */
const limit = z.number().positive().nullable();

export const sessionSchema = z.strictObject({
  id: z.string().min(1),
  /** Which broker: our simulator on loopback, Alpaca's paper host, or real money. */
  venue: z.enum(["simulator", "alpaca-paper", "alpaca-live"]),
  /** Where prices come from. */
  feed: z.enum(["simulator", "alpaca", "massive"]),
  /** Wire that the simulator's or vendor's market data speaks. */
  wire: z.enum(["alpaca", "massive"]),
  strategyName: z.string().min(1),
  symbols: z.array(z.string().min(1)).min(1).max(10_000)
    .refine((symbols) => new Set(symbols).size === symbols.length, "a symbol is named twice"),
  timeframe: z.enum(Object.keys(TIMEFRAMES) as [Timeframe, ...Timeframe[]]),
  calendar: z.enum(CALENDARS),
  recipe: z.string().min(1),
  recipeHash: z.string().min(1),
  /** Dataset: bars before `from` are history, and the simulator replays it from there; null: a vendor's. */
  history: z.strictObject({ dataset: z.string(), from: z.number(), to: z.number() }).nullable(),
  /** wall: the machine's clock. market: time is what the bars say; stepped waits for `settled`. */
  clock: z.strictObject({ kind: z.enum(["wall", "market"]), isStepped: z.boolean(),
    barsPerSecond: z.number().positive().nullable() }),
  models: z.array(z.strictObject({ worker: z.string(), strategy: z.string() })).min(1).max(64),
  /** Members that must answer, and how long they are waited for, ms. */
  quorum: z.int().min(1), deadlineMs: z.number().positive(),
  mixture: z.enum(["equal", "adaptive"]), isConfidenceWeighted: z.boolean(),
  sizing: z.strictObject({ volatilityTarget: z.number().positive(), weightMax: limit,
    portfolioTarget: limit,
    method: z.enum(["volatility", "erc", "hrp", "min-variance", "mean-variance", "cvar"]),
    isFractional: z.boolean(), capital: z.number().positive() }),
  risk: z.record(z.string(), limit),
  execution: z.strictObject({ style: z.enum(["market", "limit-at-touch", "twap"]),
    slices: z.int().min(1).max(100), timeoutMs: z.number().positive(), callsPerMinute: z.int().min(1) }),
  ports: z.record(z.string(), port),
  host: z.string(),
  seed: z.int().min(0),
  /** Name of a fault schedule of the simulator; "none". */
  faults: z.string(),
  simulatorUrl: z.string().nullable(),
  /** Where networks answer; cuda: all workers in one process, which owns the GPU. Absent: cpu. */
  device: z.enum(["cpu", "cuda"]).optional(),
  /** What they compute in on the GPU. Absent: float32. */
  precision: z.enum(["float32", "float16", "bfloat16"]).optional(),
});
export type Session = z.infer<typeof sessionSchema>;
