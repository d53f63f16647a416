/**
 * Settings that outlive a command: one `dmn.config.json` in the data root, environment variables over it.
 * Keys are not settings: they come from the environment or a 0600 file and are never part of this object.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { z } from "zod";
import { messageOf, UserError } from "./error.ts";
import { LOG_LEVELS } from "./log.ts";

export const CONFIG_FILE = "dmn.config.json";

/** A limit that is off unless a number is given. */
const limit = (meaning: string) => z.number().positive().nullable().default(null).describe(meaning);

export const configSchema = z.strictObject({
  log: z.enum(LOG_LEVELS).default("warn").describe("least severe log line that is written to stderr"),
  workers: z.int().min(0).max(256).default(0).describe("worker threads; 0 means one per core"),
  massive: z.strictObject({
    baseUrl: z.url().default("https://api.massive.com").describe("REST host"),
    callsPerMinute: z.int().min(1).max(100_000).default(5).describe("rate of the plan; the free plan has 5"),
  }).prefault({}),
  alpaca: z.strictObject({
    dataUrl: z.url().default("https://data.alpaca.markets").describe("market data host"),
    feed: z.enum(["iex", "sip"]).default("iex").describe("iex is free"),
  }).prefault({}),
  /** Limits on weights and orders, for every backtest and for live; fractions of equity, null is off. */
  risk: z.strictObject({
    positionMax: limit("largest |weight| of one instrument"),
    grossMax: limit("sum of |weight|"),
    netMax: limit("|sum of weights|"),
    leverageMax: limit("gross exposure, wanted or held"),
    classMax: limit("sum of |weight| of one asset class"),
    drawdownMax: limit("fall from the highest equity that closes everything for good"),
    dailyLossMax: limit("loss of a day after which nothing may grow until the next"),
    varHistoricalMax: limit("one-period 95 % value at risk, from the history of returns"),
    varParametricMax: limit("the same, from the history's standard deviation"),
    turnoverMax: limit("sum of |change of weight| at one decision"),
    collarBps: limit("distance of an order's price from the last price, basis points"),
    orderNotionalMax: limit("|quantity| x price of one order, money"),
    staleMs: limit("age of the last price an order may rely on, milliseconds"),
  }).prefault({}),
});

export type Config = z.infer<typeof configSchema>;

/** Which environment variable overrides which setting. */
export const CONFIG_ENVIRONMENT: Readonly<Record<string, readonly string[]>> = {
  DMN_LOG: ["log"],
  DMN_WORKERS: ["workers"],
  DMN_MASSIVE_URL: ["massive", "baseUrl"],
  DMN_MASSIVE_CALLS_PER_MINUTE: ["massive", "callsPerMinute"],
  DMN_ALPACA_DATA_URL: ["alpaca", "dataUrl"],
  DMN_ALPACA_FEED: ["alpaca", "feed"],
};

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The effective settings: defaults, then the file, then the environment. Throws UserError naming the bad
 * key.
 */
export function readConfig(root: string, environment: Environment = process.env): Config {
  const place = path.join(root, CONFIG_FILE);
  const settings: Record<string, unknown> = fs.existsSync(place) ? readSettings(place) : {};
  for (const [variable, keys] of Object.entries(CONFIG_ENVIRONMENT)) {
    const text = environment[variable];
    if (text !== undefined && text !== "") put(settings, keys, /^-?\d+$/.test(text) ? Number(text) : text);
  }
  const result = configSchema.safeParse(settings);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const where = issue.code === "unrecognized_keys" ? [...issue.path, issue.keys[0]] : issue.path;
  const variable = Object.entries(CONFIG_ENVIRONMENT).find(([name, keys]) =>
    keys.join(".") === where.join(".") && environment[name])?.[0];
  throw new UserError(`setting "${where.join(".")}" in ${variable ?? place}: ${issue.message}`,
    "see all settings and their meaning with: dmn config");
}

function readSettings(place: string): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(fs.readFileSync(place, "utf8"));
  } catch (error) {
    throw new UserError(`${place} is not valid JSON: ${messageOf(error)}`,
      "mend it, or remove it to use the defaults");
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw new UserError(`${place} must hold one JSON object`, "mend it, or remove it to use the defaults");
  }
  return parsed as Record<string, unknown>;
}

function put(settings: Record<string, unknown>, keys: readonly string[], value: unknown): void {
  const [first, ...rest] = keys;
  if (rest.length === 0) { settings[first] = value; return; }
  const inner = settings[first];
  const branch = typeof inner === "object" && inner !== null ? inner as Record<string, unknown> : {};
  settings[first] = branch;
  put(branch, rest, value);
}
