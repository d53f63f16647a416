/**
 * The promises of a Feature (feature.ts), each as a check on given bars. Our own families pass
 * these in the tests; a user's family is held to the same by `dmn features --verify`.
 *
 *   declaration   names, warm-up, state length make sense
 *   warmup        exactly the first `warmup` rows are NaN
 *   finite        every later row is a number (on bars without absent values; where the price never
 *                 moves at all, NaN may say that there is no value, infinity may not)
 *   bounds        nothing is written outside the feature's own columns and rows
 *   start         start() makes a fresh state out of any memory
 *   causality     another future leaves the past as it was, to the bit (a target's: one row less)
 *   chunks        any cutting into chunks gives the same bits
 *   restart       so does going on from a saved state, in another copy of it
 *   memory        so does feeding another instrument in between: all memory is in the state
 */
import { type Random, random } from "../base/random.ts";
import { type Bars, COLUMNS, type Timeframe } from "../market/bars.ts";
import type { Feature } from "./feature.ts";
import { otherFuture, type Shape, SHAPES, verificationBars } from "./verify-bars.ts";

export type Check = "declaration" | "warmup" | "finite" | "bounds" | "start" | "causality"
  | "chunks" | "restart" | "memory";

/** A broken promise. `problem` is one sentence with the numbers in it. */
export interface Finding {
  readonly check: Check;
  readonly column: string | null;
  readonly row: number | null;
  readonly problem: string;
}

/** Written where the feature must not write, and read back after. */
const GUARD = Math.fround(-7.25e29);
/** Columns left and right of the feature's own, and rows after the last. */
const MARGIN = 1;

interface Run {
  readonly feature: Feature;
  readonly state: Float64Array;
  readonly out: Float32Array;
  readonly stride: number;
}

/** Rows at the end whose values are not there yet: a training target reads the next bar. */
const horizonOf = (feature: Feature): number => (feature.causality === "target" ? 1 : 0);

/** A run with memory full of rubbish, as a reused buffer would be. */
function begin(feature: Feature, rows: number, rubbish = 1e77): Run {
  const stride = feature.columns.length + 2 * MARGIN;
  const state = new Float64Array(feature.stateLength).fill(rubbish);
  feature.start(state);
  return { feature, state, out: new Float32Array((rows + 1) * stride).fill(GUARD), stride };
}

function feed(run: Run, bars: Bars, from: number, to: number, state = run.state): void {
  run.feature.update(bars, from, to, state, run.out, from * run.stride + MARGIN, run.stride);
}

/** First cell of rows [0, rows) in which two runs differ, or null. */
function firstDifference(a: Run, b: Run, rows: number): { row: number; column: number } | null {
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < a.feature.columns.length; column++) {
      const cell = row * a.stride + MARGIN + column;
      if (!Object.is(a.out[cell], b.out[cell])) return { row, column };
    }
  }
  return null;
}

function compare(check: Check, whole: Run, other: Run, rows: number, what: string): Finding[] {
  const found = firstDifference(whole, other, rows);
  if (found === null) return [];
  const cell = found.row * whole.stride + MARGIN + found.column,
    column = whole.feature.columns[found.column].name;
  return [{ check, column, row: found.row,
    problem: `${column} at row ${found.row} is ${whole.out[cell]}, but ${other.out[cell]} ${what}` }];
}

function checkDeclaration(feature: Feature): Finding[] {
  const findings: Finding[] = [];
  const say = (column: string | null, problem: string): void => {
    findings.push({ check: "declaration", column, row: null, problem });
  };
  const isCount = (value: number): boolean => Number.isInteger(value) && value >= 0;
  if (feature.columns.length === 0) say(null, "it declares no columns");
  const seen = new Set<string>();
  for (const { name, unit, warmup } of feature.columns) {
    const isName = /^[a-z][a-z0-9_]*$/.test(name);
    if (!isName) say(name, `"${name}" is not a column name (small letters, digits, _)`);
    if (seen.has(name)) say(name, `${name} is declared twice`);
    seen.add(name);
    if (unit === "") say(name, `${name} has no unit`);
    if (!isCount(warmup)) say(name, `the warm-up of ${name} is ${warmup}, not a count of rows`);
  }
  for (const input of feature.inputs) {
    if (!Object.hasOwn(COLUMNS, input)) say(null, `its input "${input}" is no column of bars`);
  }
  const { stateLength, flopsPerBar } = feature;
  if (!isCount(stateLength)) say(null, `its state length is ${stateLength}, not a count`);
  if (!(flopsPerBar > 0)) say(null, `its cost is ${flopsPerBar} operations a bar: declare it`);
  return findings;
}

function checkValues(run: Run, bars: Bars): Finding[] {
  const rows = bars.time.length - horizonOf(run.feature), findings: Finding[] = [];
  const isWhole = run.feature.inputs.every((name) => bars.columns[name]?.every((x, t) =>
    Number.isFinite(x) || (t === 0 && name === "return")));
  const close = bars.columns.close ?? bars.time,
    isStill = close.every((value) => value === close[0]);
  for (const [k, { name, warmup }] of run.feature.columns.entries()) {
    for (let row = 0; row < rows; row++) {
      const value = run.out[row * run.stride + MARGIN + k];
      if (row < warmup && Number.isNaN(value)) continue;
      const isExcused = !isWhole || (isStill && Number.isNaN(value));
      if (row >= warmup && (Number.isFinite(value) || isExcused)) continue;
      const check = row < warmup || row === warmup ? "warmup" : "finite";
      findings.push({ check, column: name, row, problem: row < warmup
        ? `${name} has the value ${value} at row ${row}, before its warm-up of ${warmup} rows is over`
        : `${name} is ${value} at row ${row}, after its warm-up of ${warmup} rows` });
      break;
    }
  }
  return findings;
}

function checkBounds(run: Run, rows: number): Finding[] {
  const width = run.feature.columns.length;
  for (let cell = 0; cell < run.out.length; cell++) {
    const row = Math.floor(cell / run.stride), column = cell % run.stride - MARGIN;
    const isOwn = row < rows && column >= 0 && column < width;
    if (isOwn || run.out[cell] === GUARD) continue;
    return [{ check: "bounds", column: null, row,
      problem: `it wrote outside its own columns, at row ${row}` }];
  }
  return [];
}

/** Ends of chunks of random lengths, mostly short, up to `rows`. */
function* chunkEnds(stream: Random, rows: number): Generator<[from: number, to: number]> {
  for (let from = 0; from < rows;) {
    const to = Math.min(rows, from + 1 + stream.below(stream.below(3) === 0 ? 400 : 4));
    yield [from, to];
    from = to;
  }
}

function checkChunks(whole: Run, bars: Bars, stream: Random): Finding[] {
  const { feature } = whole, rows = bars.time.length;
  const ones = begin(feature, rows), cut = begin(feature, rows), mixed = begin(feature, rows);
  for (let t = 0; t < rows; t++) feed(ones, bars, t, t + 1);
  // The state moves to fresh memory after each chunk, as when another process goes on.
  let state = cut.state;
  for (const [from, to] of chunkEnds(stream, rows)) {
    feed(cut, bars, from, to, state);
    state = state.slice();
  }
  const other = verificationBars("random", rows, 77, bars.timeframe), rival = begin(feature, rows);
  for (const [from, to] of chunkEnds(stream, rows)) {
    feed(mixed, bars, from, to);
    feed(rival, other, from, to);
  }
  return [
    ...compare("chunks", whole, ones, rows, "when bars come one by one"),
    ...compare("restart", whole, cut, rows, "when it goes on from a saved state"),
    ...compare("memory", whole, mixed, rows,
      "when another instrument is fed in between: keep all memory in the state"),
  ];
}

function checkCausality(whole: Run, bars: Bars, stream: Random): Finding[] {
  const { feature } = whole, rows = bars.time.length;
  const cut = 1 + stream.below(rows - 1), past = cut - horizonOf(feature);
  const changed = begin(feature, rows), prefix = begin(feature, rows);
  const other = otherFuture(bars, cut, stream.word());
  feed(changed, other, 0, rows);
  feed(prefix, other, 0, cut);
  return [
    ...compare("causality", whole, changed, past,
      `when the bars from row ${cut} on are others: it looks ahead`),
    ...compare("causality", whole, prefix, past,
      `when bars are only fed up to row ${cut}: it reads beyond the chunk`),
  ];
}

/**
 * All checks of one feature on one instrument's bars (more rows than the longest warm-up). Pure.
 */
export function verifyFeature(feature: Feature, bars: Bars, seed = 1): Finding[] {
  const declared = checkDeclaration(feature);
  if (declared.length > 0) return declared;
  const rows = bars.time.length, stream = random(seed, "verify", feature.family);
  const whole = begin(feature, rows), fresh = begin(feature, rows, NaN);
  feed(whole, bars, 0, rows);
  feed(fresh, bars, 0, rows);
  return [
    ...checkValues(whole, bars),
    ...checkBounds(whole, rows),
    ...compare("start", whole, fresh, rows, "when the state held other numbers before start()"),
    ...checkChunks(whole, bars, stream),
    ...checkCausality(whole, bars, stream),
  ];
}

/** Above this a feature is expensive, and fewer rows must do. */
const EXPENSIVE_FLOPS = 100_000;

export interface VerifyOptions {
  readonly shapes?: readonly Shape[];
  readonly timeframe?: Timeframe;
  readonly seed?: number;
}

/**
 * verifyFeature on every shape of bars (verify-bars.ts); each finding names the shape and the seed.
 */
export function verifyOnShapes(feature: Feature, options: VerifyOptions = {}): Finding[] {
  const { shapes = Object.keys(SHAPES) as Shape[], timeframe = "1d", seed = 1 } = options;
  const warmups = feature.columns.map((column) => column.warmup).filter(Number.isInteger);
  const warmup = Math.max(0, ...warmups);
  const rows = warmup + (feature.flopsPerBar > EXPENSIVE_FLOPS ? 12 : 420);
  return shapes.flatMap((shape) => {
    const where = `(on ${SHAPES[shape]}, seed ${seed})`;
    return verifyFeature(feature, verificationBars(shape, rows, seed, timeframe), seed)
      .map((finding) => ({ ...finding, problem: `${finding.problem} ${where}` }));
  });
}
