/**
 * The glossary of flags: each is declared here once, for all verbs. A verb lists the names it takes; type,
 * help and parsing follow from this table (rule 6). test/flags.test.ts holds every verb to it.
 */
import { InvalidArgumentError } from "commander";
import { parseDay } from "../src/base/units.ts";
import { isName } from "../src/base/data-root.ts";

interface Flag {
  /** commander's syntax: "--from <day>". */
  readonly syntax: string;
  readonly help: string;
  readonly choices?: readonly string[];
  readonly parse?: (text: string, previous?: unknown) => unknown;
}

function refuse(expected: string): never { throw new InvalidArgumentError(`expected ${expected}.`); }

const wholeNumber = (low: number, high: number) => (text: string): number => {
  const value = Number(text);
  const isGood = /^\d+$/.test(text) && value >= low && value <= high;
  return isGood ? value : refuse(`a whole number from ${low} to ${high}`);
};
const realNumber = (low: number, high: number) => (text: string): number => {
  const value = Number(text);
  const isGood = text.trim() !== "" && value >= low && value <= high;
  return isGood ? value : refuse(`a number from ${low} to ${high}`);
};
const dayText = (text: string): string => parseDay(text) === null ? refuse("a day such as 2015-12-31") : text;
const nameText = (text: string): string =>
  isName(text) ? text
    : refuse("letters, digits, dot, dash or underscore, at most 64, not starting with a dot");
const list = (text: string): string[] => {
  const parts = text.split(",").map((part) => part.trim()).filter((part) => part !== "");
  return parts.length > 0 ? parts : refuse("names separated by commas");
};
const wordList = (text: string, previous?: unknown): string[] =>
  [...(Array.isArray(previous) ? previous as string[] : []), ...list(text)];
/** Said several times: all of them, in order. */
const collected = (text: string, previous?: unknown): string[] =>
  [...(Array.isArray(previous) ? previous as string[] : []), text];
const lagText = (text: string): number =>
  wholeNumber(1, 100_000)(/^lag=(.+)$/.exec(text)?.[1] ?? refuse("lag=L, such as lag=4"));
/** "hidden=40", each added to the settings said before it. */
const setting = (text: string, previous?: unknown): Record<string, number | string> => {
  const [, name, value] = /^([A-Za-z]\w*)=(.+)$/.exec(text) ?? refuse("a setting such as hidden=40");
  const said = value.trim() === "" || Number.isNaN(Number(value)) ? value : Number(value);
  return { ...previous as Record<string, number | string> | undefined, [name]: said };
};
const yearList = (text: string): number[] => list(text).map(wholeNumber(1900, 2200)).sort((a, b) => a - b);

export const FLAGS = {
  dataset: { syntax: "--dataset <name>", help: "dataset in the data root", parse: nameText },
  recipe: { syntax: "--recipe <name>", help: "feature recipe: dmn, technical, or a JSON file" },
  model: { syntax: "--model <architecture>", help: "network architecture" },
  name: { syntax: "--name <artifact>", help: "name of the artifact to write, or of the study",
    parse: nameText },
  strategy: { syntax: "--strategy <name>", help: "long-only, tsmom, macd, or a file" },
  engine: { syntax: "--engine <engine>",
    help: "vector (weights), event (orders and fills) or live (the processes of dmn live, in memory)",
    choices: ["vector", "event", "live"] },
  on: { syntax: "--on <where>", help: "where workers run", choices: ["local", "ray", "slurm"] },
  from: { syntax: "--from <day>", help: "first day, YYYY-MM-DD", parse: dayText },
  to: { syntax: "--to <day>", help: "last day, YYYY-MM-DD, inclusive", parse: dayText },
  seed: { syntax: "--seed <n>", help: "seed of everything random", parse: wholeNumber(0, 2 ** 32 - 1) },
  workers: { syntax: "--workers <n>", help: "worker threads, of a study processes; 0: as many as fit",
    parse: wholeNumber(0, 256) },
  json: { syntax: "--json", help: "print one JSON object instead of text" },
  source: { syntax: "--source <source>", help: "where data comes from",
    choices: ["synthetic", "csv", "massive", "alpaca"] },
  path: { syntax: "--path <file>", help: "the CSV file (.csv, .csv.gz); live: the backup's folder" },
  symbols: { syntax: "--symbols <list...>", help: "instruments, separated by commas or spaces",
    parse: wordList },
  timeframe: { syntax: "--timeframe <length>", help: "length of a bar",
    choices: ["1d", "1h", "30m", "15m", "5m", "1m", "1s", "tick"] },
  calendar: { syntax: "--calendar <name>", help: "trading calendar", choices: ["us-equity", "24x5"] },
  stamps: { syntax: "--stamps <meaning>",
    help: "what intraday stamps in the file mean: each bar's start or its close",
    choices: ["start", "close"] },
  update: { syntax: "--update", help: "fetch only what is new since the last fetch" },
  check: { syntax: "--check", help: "print gaps, stale runs, jumps and bad ticks per instrument" },
  verify: { syntax: "--verify", help: "prove causality, warm-up and batch = stream of each feature" },
  list: { syntax: "--list", help: "print the feature families and their columns" },
  windows: { syntax: "--windows <years>", help: "first years of the test windows: 1995,2000,2005",
    parse: yearList },
  windowYears: { syntax: "--window-years <n>", help: "length of a test window in years",
    parse: wholeNumber(1, 100) },
  costBps: { syntax: "--cost-bps <n>", help: "cost of trading, basis points of the amount traded",
    parse: realNumber(0, 1000) },
  slippageBps: { syntax: "--slippage-bps <n>",
    help: "event engine: fills are worse than the bar's price by this much",
    parse: realNumber(0, 1000) },
  borrowBps: { syntax: "--borrow-bps <n>", help: "cost of a short position, basis points a year",
    parse: realNumber(0, 10_000) },
  financingBps: { syntax: "--financing-bps <n>",
    help: "cost of exposure above the equity, basis points a year",
    parse: realNumber(0, 10_000) },
  lag: { syntax: "--lag <bars>", help: "0: trade at the close decided on; 1: one bar later",
    choices: ["0", "1"] },
  weightMax: { syntax: "--weight-max <n>", help: "largest |weight| of one instrument",
    parse: realNumber(0.01, 1000) },
  volatilityTarget: { syntax: "--volatility-target <fraction>",
    help: "annual volatility each instrument is scaled to",
    parse: realNumber(0.001, 10) },
  portfolioTarget: { syntax: "--portfolio-target <fraction>",
    help: "scale the whole portfolio to this annual volatility too",
    parse: realNumber(0.001, 10) },
  portfolio: { syntax: "--portfolio <method>", help: "how risk is spread over instruments",
    choices: ["volatility", "erc", "hrp", "min-variance", "mean-variance", "cvar"] },
  benchmark: { syntax: "--benchmark <strategy>", help: "strategy of the benchmark column" },
  capital: { syntax: "--capital <amount>", help: "equity at the start (event engine; live: of the simulator)",
    parse: realNumber(1, 1e15) },
  participationMax: { syntax: "--participation-max <share>",
    help: "event engine: largest share of a bar's volume that one order may fill",
    parse: realNumber(0.0001, 1) },
  inSample: { syntax: "--in-sample", help: "let a model answer also for days that it was trained on" },
  halfSpread: { syntax: "--half-spread", help: "charge each instrument's own half-spread, where known, too" },
  fractional: { syntax: "--fractional", help: "fractions of a share may be traded (event engine, live)" },
  report: { syntax: "--report <file>", help: "write the report as one self-contained HTML page" },
  formulas: { syntax: "--formulas", help: "print the formula of each metric" },
  as: { syntax: "--as <form>",
    help: "graph: ir, the graph of our own ops, or onnx, its nodes; tune export: the model's name",
    parse: nameText },
  training: { syntax: "--training", help: "the whole training step, not the network alone" },
  device: { syntax: "--device <device>",
    help: "where networks run: on the CPU, our engine on the GPU, or what is there",
    choices: ["cpu", "cuda", "auto"] },
  precision: { syntax: "--precision <type>",
    help: "what networks on the GPU compute in: float32 as on the CPU, float16 is much faster",
    choices: ["float32", "float16", "bfloat16"] },
  models: { syntax: "--models <list...>",
    help: "live: who decides, lstm-1=model:NAME/seed-0,...; bench: networks of the suite",
    parse: wordList },
  peers: { syntax: "--peers", help: "run the peers of this suite beside it (needs Python)" },
  set: { syntax: "--set <name=value>", help: "one hyperparameter; may be repeated", parse: setting },
  features: { syntax: "--features <list...>",
    help: "the recipe's columns that the network is fed; else those in standard deviations",
    parse: wordList },
  seeds: { syntax: "--seeds <n>", help: "networks per fold, from seeds 0, 1, ...",
    parse: wholeNumber(1, 100) },
  trials: { syntax: "--trials <n>",
    help: "train-export: settings of the papers' grid tried per fold; tune: trials of the study",
    parse: wholeNumber(0, 10_000) },
  embargo: { syntax: "--embargo <bars>", help: "bars left out between training and test",
    parse: wholeNumber(0, 10_000) },
  mode: { syntax: "--mode <mode>",
    help: "replay: each decision sees its window alone; carry: an LSTM's state goes on, bar to bar",
    choices: ["replay", "carry"] },
  resume: { syntax: "--resume", help: "go on with what was begun under this name" },
  force: { syntax: "--force", help: "throw away what is there under this name" },
  paper: { syntax: "--paper", help: "no real money: a paper account, or without keys a simulator (default)" },
  live: { syntax: "--live", help: "real money; needs the setting live.realMoney and a typed confirmation" },
  replay: { syntax: "--replay <dataset>", help: "play this dataset's bars through the simulator",
    parse: nameText },
  pace: { syntax: "--pace <speed>", help: "of a replay: bars a second, real (as recorded), or max (stepped)",
    parse: (text: string): number | "max" | "real" =>
      text === "max" || text === "real" ? text : realNumber(1e-3, 1e6)(text) },
  duration: { syntax: "--duration <seconds>", help: "end by itself after so many seconds",
    parse: realNumber(0.1, 1e9) },
  feed: { syntax: "--feed <vendor>", help: "where prices come from", choices: ["alpaca", "massive"] },
  wire: { syntax: "--wire <vendor>", help: "whose stream the simulator speaks", 
    choices: ["alpaca", "massive"] },
  mixture: { syntax: "--mixture <rule>", help: "how models are weighted: alike, or by what they earned",
    choices: ["equal", "adaptive"] },
  orders: { syntax: "--orders <style>", help: "how orders are worked",
    choices: ["market", "limit-at-touch", "twap"] },
  day: { syntax: "--day <day>", help: "a recorded day (UTC), YYYY-MM-DD", parse: dayText },
  faults: { syntax: "--faults <schedule>",
    help: "of the simulator: none, seeded, seeded:0.05, NAME@NUMBER,..." },
  portBase: { syntax: "--port-base <port>", help: "first port of the graph", 
    parse: wholeNumber(1024, 65_000) },
  headless: { syntax: "--headless", help: "no dashboard" },
  emergency: { syntax: "--emergency", help: "stop: cancel all orders at once, stay halted" },
  flatten: { syntax: "--flatten", help: "emergency stop: close all positions too" },
  objectives: { syntax: "--objectives <list...>",
    help: "what trials are judged by: sharpe,calmar,...; dmn tune space prints them all", parse: wordList },
  objective: { syntax: "--objective <file>",
    help: "a TypeScript file that exports space, objectives and run: tunes anything" },
  space: { syntax: "--space <range>",
    help: "one parameter, hidden=20,40 or learningRate=1e-4..1e-2:log; or a JSON file; repeatable",
    parse: collected },
  limit: { syntax: "--limit <name=value>", help: "trials beyond are infeasible: maxDrawdown=0.2; repeatable",
    parse: setting },
  parts: { syntax: "--parts <n>", help: "walk-forward parts whose validation rows judge a trial",
    parse: wholeNumber(1, 8) },
  sampler: { syntax: "--sampler <name>", help: "who proposes points: nsga3:population=80, tpe, random, ..." },
  pruner: { syntax: "--pruner <name>", help: "who stops trials early: asha:eta=3, hyperband, median" },
  pbt: { syntax: "--pbt", help: "population-based training: trials go on from each other's networks" },
  deterministic: { syntax: "--deterministic <lag>",
    help: "the same study for any number of workers up to L: lag=L", parse: lagText },
  prefer: { syntax: "--prefer <weights>", help: "tune best: what matters how much: sharpe=2,latency=1" },
  boxes: { syntax: "--boxes <n>",
    help: "tune best: one trial of each box of the front, objectives cut into n parts",
    parse: wholeNumber(2, 1000) },
  trial: { syntax: "--trial <n>", help: "number of a trial", parse: wholeNumber(0, 10_000_000) },
  coordinator: { syntax: "--coordinator <address>", help: "where trials are handed out: tcp://HOST:5559" },
  cluster: { syntax: "--cluster <address>", help: "tune --on ray: the dashboard, http://HEAD:8265" },
  shared: { syntax: "--shared <folder>",
    help: "tune --on ray or slurm: the data root as all machines see it; ray needs none" },
  host: { syntax: "--host <address>", help: "where workers on other machines reach the coordinator" },
  study: { syntax: "--study <name>", help: "whose trials a worker takes", parse: nameText },
  quick: { syntax: "--quick", help: "smaller sizes, for a first look" },
} as const satisfies Record<string, Flag>;
export type FlagName = keyof typeof FLAGS;

/** Every verb takes these. */
export const GLOBAL_FLAGS = {
  dataDir: { syntax: "--data-dir <folder>", help: "data root; else DMN_HOME, else the current folder" },
} as const satisfies Record<string, Flag>;

type Parsed<F> = F extends { parse: (...args: never[]) => infer R } ? R
  : F extends { choices: readonly (infer C)[] } ? C
  : F extends { syntax: infer S } ? S extends `${string}<${string}` ? string : boolean : never;

/** The options object that a verb with these flags is given. */
export type FlagValues<N extends FlagName> = { readonly [K in N]?: Parsed<(typeof FLAGS)[K]> };
