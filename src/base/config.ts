/**
 * Settings that outlive a command: one `dmn.config.json` in the data root, environment variables over it.
 * Keys are not settings: they come from the environment or a 0600 file and are never part of this object.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { z } from "zod";
import { messageOf, UserError } from "./error.ts";
import { LOG_LEVELS } from "./log.ts";
import { suggestion } from "./suggest.ts";

export const CONFIG_FILE = "dmn.config.json";

/** A limit that is off unless a number is given; the second kind is a share of the equity. */
const limit = (meaning: string) => z.number().positive().nullable().default(null).describe(meaning);
const share = (meaning: string) => z.number().positive().max(1).nullable().default(null).describe(meaning);

const severity = (meaning: string, least: "info" | "warning" | "critical") =>
  z.enum(["never", "info", "warning", "critical"]).default(least).describe(meaning);

export const configSchema = z.strictObject({
  log: z.enum(LOG_LEVELS).default("warn").describe("least severe log line written to stderr"),
  workers: z.int().min(0).max(256).default(0).describe("worker threads; 0 means one per core"),
  engine: z.enum(["auto", "native", "ort"]).default("auto")
    .describe("what trains: auto, native kernels, ONNX Runtime"),
  massive: z.strictObject({
    baseUrl: z.url().default("https://api.massive.com").describe("REST host"),
    callsPerMinute: z.int().min(1).max(100_000).default(5).describe("rate of the plan; the free plan has 5"),
  }).prefault({}),
  alpaca: z.strictObject({
    dataUrl: z.url().default("https://data.alpaca.markets").describe("market data host"),
    feed: z.enum(["iex", "sip"]).default("iex").describe("iex is free"),
  }).prefault({}),
  /** Limits on weights and orders, for every backtest and for live; fractions of equity. */
  risk: z.strictObject({
    positionMax: limit("largest |weight| of one instrument"),
    grossMax: limit("sum of |weight|"),
    netMax: limit("|sum of weights|"),
    leverageMax: limit("gross exposure, wanted or held"),
    classMax: limit("sum of |weight| of one asset class"),
    drawdownMax: share("fall from the top that closes all for good"),
    dailyLossMax: share("loss of a session after which nothing may grow"),
    varHistoricalMax: share("95 % value at risk of a bar, from past returns"),
    varParametricMax: share("the same, from their standard deviation"),
    turnoverMax: limit("sum of |change of weight| at one decision"),
    marginMax: share("what openings may use of the buying power"),
    collarBps: limit("order's price from the last one, basis points"),
    orderNotionalMax: limit("|quantity| x price of one order, money"),
    staleMs: limit("age of the price an order relies on, ms"),
    ordersPerMinuteMax: limit("orders in any 60 seconds (live)"),
  }).prefault({}),
  tune: z.strictObject({
    portBase: z.int().min(1024).max(65_000).default(5559).describe("first of a study's five ports"),
    host: z.string().min(1).default("127.0.0.1")
      .describe("where workers reach the coordinator"),
    workersMax: z.int().min(1).max(4096).default(2).describe("workers of a study, but for --workers"),
    workerCpus: z.number().min(0.01).max(1024).default(1).describe("CPUs that a cluster gives a worker"),
    workerGpus: z.number().min(0).max(64).default(0).describe("GPUs of a worker; a fraction on Ray"),
    workerGiB: z.number().positive().nullable().default(null).describe("memory of a cluster's worker, GiB"),
    slurmRest: z.string().min(1).nullable().default(null)
      .describe("slurmrestd, unix:/PATH or http://...; or sbatch"),
    slurmPartition: z.string().min(1).nullable().default(null).describe("partition of a study's workers"),
    slurmAccount: z.string().min(1).nullable().default(null).describe("account that they are charged to"),
    slurmMinutes: z.int().min(1).nullable().default(null).describe("time limit of a worker"),
  }).prefault({}),
  live: z.strictObject({
    /** One of three: the flag --live and a sentence typed by a person are the others. */
    realMoney: z.boolean().default(false).describe("`dmn live --live` may trade real money"),
    portBase: z.int().min(1024).max(65_000).default(5555).describe("first port of the graph"),
    host: z.string().min(1).default("127.0.0.1").describe("interface that the graph's sockets bind"),
    memoryMaxMiB: z.int().min(128).default(2048).describe("a process above this is restarted"),
    restartsMax: z.int().min(0).max(1000).default(10)
      .describe("restarts of a process before trading is halted"),
    cores: z.string().nullable().default(null)
      .describe('cores (Linux only): "execution=1,feed=0"'),
    /** Trading history is kept for good. */
    recordedDays: z.int().min(1).max(10_000).default(90)
      .describe("days that journals, logs, metrics are kept"),
    recordedGiB: z.number().positive().default(20).describe("journals together; the oldest make room"),
    alerts: z.strictObject({
      log: severity("least severe alert that is written to the log", "info"),
      webhook: severity("least severe alert for DMN_ALERT_WEBHOOK", "warning"),
      email: severity("least severe alert that is mailed", "critical"),
      quietMinutes: z.number().min(0).default(15).describe("the same alert is told once in this time"),
      keyDaysMax: z.number().positive().default(30).describe("age at which a key is an alert, days"),
      smtpHost: z.string().min(1).nullable().default(null)
        .describe("mail server (DMN_SMTP_USER, DMN_SMTP_PASSWORD)"),
      smtpPort: z.int().min(1).max(65_535).default(587).describe("its port; 465 is TLS from the start"),
      mailFrom: z.string().min(1).nullable().default(null).describe("sender of mailed alerts"),
      mailTo: z.string().min(1).nullable().default(null).describe("who gets them, comma-separated"),
    }).prefault({}),
  }).prefault({}),
});

export type Config = z.infer<typeof configSchema>;

/** Which environment variable overrides which setting. */
export const CONFIG_ENVIRONMENT: Readonly<Record<string, readonly string[]>> = {
  DMN_LOG: ["log"],
  DMN_WORKERS: ["workers"],
  DMN_ENGINE: ["engine"],
  DMN_MASSIVE_URL: ["massive", "baseUrl"],
  DMN_MASSIVE_CALLS_PER_MINUTE: ["massive", "callsPerMinute"],
  DMN_ALPACA_DATA_URL: ["alpaca", "dataUrl"],
  DMN_ALPACA_FEED: ["alpaca", "feed"],
  DMN_TUNE_PORT_BASE: ["tune", "portBase"],
  DMN_LIVE_PORT_BASE: ["live", "portBase"],
};

type Environment = Readonly<Record<string, string | undefined>>;

export interface Setting {
  /** As in messages: "massive.callsPerMinute". */
  readonly key: string;
  readonly meaning: string;
  /** As JSON would have it; a limit that is off is null. */
  readonly value: string | number | boolean | null;
}

/** Every setting with its meaning (from the schema) and its value, in the order of the schema. */
export function listSettings(config: Config): Setting[] {
  const walk = (branch: JsonSchema, values: unknown, prefix: string): Setting[] =>
    Object.entries(branch.properties ?? {}).flatMap(([name, leaf]) => {
      const key = `${prefix}${name}`, value = (values as Record<string, unknown>)[name];
      if (leaf.properties !== undefined) return walk(leaf, value, `${key}.`);
      return [{ key, meaning: leaf.description ?? "", value: value as Setting["value"] }];
    });
  return walk(z.toJSONSchema(configSchema) as JsonSchema, config, "");
}

interface JsonSchema {
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly description?: string;
}

/** Defaults, then the file, then the environment. Throws UserError that names the bad setting. */
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
  const key = where.join(".");
  const variable = Object.entries(CONFIG_ENVIRONMENT).find(([name, keys]) =>
    keys.join(".") === key && environment[name])?.[0];
  if (issue.code === "unrecognized_keys") {
    const known = listSettings(configSchema.parse({})).map((setting) => setting.key);
    throw new UserError(`there is no setting "${key}" (in ${place})`, suggestion(key, known));
  }
  throw new UserError(`setting "${key}" in ${variable ?? place}: ${issue.message}`,
    variable === undefined ? `mend it, or remove ${place} to use the defaults`
      : `set another value, or: unset ${variable}`);
}

function readSettings(place: string): Record<string, unknown> {
  const remedy = "mend it, or remove it to use the defaults";
  let text: string, parsed: unknown;
  try { text = fs.readFileSync(place, "utf8"); } catch (error) {
    throw new UserError(`cannot read ${place}: ${messageOf(error)}`, remedy);
  }
  try { parsed = JSON.parse(text); } catch (error) {
    throw new UserError(`${place} is not valid JSON: ${messageOf(error)}`, remedy);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw new UserError(`${place} must hold one JSON object`, remedy);
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
