/**
 * What the page's script is given: columns, as base64 of little-endian numbers, so that 10,000 trials are a
 * megabyte and open at once. client.ts unpacks it.
 */
import type { Parameter } from "../../../tune/space.ts";
import type { Attempt, Trial } from "../../../tune/study.ts";
import { FINISHED_STATES } from "../../../tune/trial.ts";
import type { Axis, Desk } from "./browser.ts";
import { realAxis } from "./client-canvas.ts";
import type { Sheet } from "./sheet.ts";

export const STATES = [...FINISHED_STATES, "running", "waiting"] as const;
export const OUTCOMES = ["told", "lost", "late", "duplicate", "running", "returned", "erred"] as const;
/** Curves and workers drawn, and points of a curve; the page says what it leaves out. */
export const CURVES_MAX = 400;
export const LANES_MAX = 64;
const STEPS_MAX = 120;

type Packed<T> = { readonly [K in keyof T]: T[K] extends Int32Array | Uint8Array | Float32Array ? string
  : T[K] extends readonly Float32Array[] ? readonly string[] : T[K] };

type Columns = Omit<Desk, "charts" | "ranges" | "chosen" | "row" | "isPinned" | "attempts" | "curves">;
export type Payload = Packed<Columns>
  & { readonly attempts: Packed<Desk["attempts"]>; readonly curves: Packed<Desk["curves"]> };

const packed = (column: Int32Array | Uint8Array | Float32Array): string =>
  Buffer.from(column.buffer, column.byteOffset, column.byteLength).toString("base64");

export function payloadOf(sheet: Sheet): Payload {
  const { terms, trials, preferred } = sheet, M = terms.objectives.length;
  const drawn = sheet.drawn.map((number) => trials[number]);
  const front = new Set(sheet.front.map(({ number }) => number));
  const rowOf = new Map(drawn.map(({ number }, row) => [number, row]));
  const values = terms.objectives.map((_, m) =>
    Float32Array.from(drawn, (trial) => isTold(trial) ? trial.values![m] : NaN));
  const best = bestSoFar(sheet);
  return {
    objectives: terms.objectives.map(({ name, direction }, m) =>
      ({ ...objectiveAxis(name, values[m]), isMaximised: direction === "maximise" })),
    ends: terms.objectives.map(({ name }, m) => frontAxis(objectiveAxis(name, values[m]),
      sheet.front.map(({ number }) => trials[number].values![m]))),
    parameters: Object.entries(terms.space).map(([name, one]) => parameterAxis(name, one)),
    number: packed(Int32Array.from(drawn, ({ number }) => number)),
    state: packed(Uint8Array.from(drawn, ({ state }) => STATES.indexOf(state))),
    isFront: packed(Uint8Array.from(drawn, ({ number }) => (front.has(number) ? 1 : 0))),
    values: values.map(packed),
    best: best.map((column) => packed(Float32Array.from(drawn, ({ number }) => column[number]))),
    points: Object.entries(terms.space).map(([name, one]) => packed(Float32Array.from(drawn, ({ point }) =>
      !Object.hasOwn(point, name) ? NaN : one.kind === "choice" ? one.choices.indexOf(point[name])
        : Number(point[name])))),
    states: STATES, preferred: preferred === null ? -1 : rowOf.get(preferred.number) ?? -1,
    count: trials.length,
    volume: thin(sheet.growth, 500), workers: workersOf(trials).slice(0, LANES_MAX), outcomes: OUTCOMES,
    seconds: Number.isFinite(sheet.to) ? (sheet.to - sheet.from) / 1000 : 0,
    attempts: attemptsOf(sheet, rowOf), curves: curvesOf(sheet, rowOf, M), stepsMax: terms.stepsMax,
  };
}

/** Whether its values are its worth: not what a running trial said last. */
const isTold = ({ state, values }: Trial): boolean =>
  values !== null && (state === "complete" || state === "pruned" || state === "infeasible");

/** (M) by number: best value of a complete trial up to it. */
function bestSoFar({ terms, trials }: Sheet): Float64Array[] {
  return terms.objectives.map(({ direction }, m) => {
    let best = NaN;
    return Float64Array.from(trials, ({ state, values, violation }) => {
      const value = state === "complete" && violation === 0 ? values?.[m] ?? NaN : NaN;
      const isBetter = direction === "maximise" ? value > best : value < best;
      if (isBetter || (Number.isNaN(best) && !Number.isNaN(value))) best = value;
      return best;
    });
  });
}

/** Quantiles of positive values this far apart are read on a logarithmic scale. */
const LOG_FROM = 20;

/**
 * From the least to the greatest finite value, but where a tail would hide everybody else: then it ends three
 * ranges of the middle 90 % beyond it, and what lies further is drawn at its end.
 */
function objectiveAxis(name: string, values: Float32Array): Axis {
  const sorted = values.filter(Number.isFinite).sort(), n = sorted.length;
  if (n === 0) return realAxis(name, 0, 1);
  const at = (share: number): number => sorted[Math.round(share * (n - 1))];
  const isLog = at(0) > 0 && at(0.95) > LOG_FROM * at(0.05);
  if (isLog) return realAxis(name, at(0) / 1.1, at(1) * 1.1, isLog);
  const range = at(0.95) - at(0.05);
  const low = range > 0 ? Math.max(at(0), at(0.05) - 3 * range) : at(0);
  const high = range > 0 ? Math.min(at(1), at(0.95) + 3 * range) : at(1);
  const room = (high - low || Math.abs(high) || 1) * 0.03;
  return realAxis(name, low - room, high + room);
}

/** The same scale from the front's least to its greatest finite value. */
function frontAxis(axis: Axis, values: readonly number[]): Axis {
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) return axis;
  const low = finite.reduce((a, b) => Math.min(a, b)), high = finite.reduce((a, b) => Math.max(a, b));
  return { ...axis, low, high };
}

function parameterAxis(name: string, one: Parameter): Axis {
  if (one.kind === "choice") {
    return { ...realAxis(name, 0, one.choices.length - 1), choices: one.choices.map(String) };
  }
  return { ...realAxis(name, one.low, one.high, one.isLog === true), isWhole: one.kind === "integer" };
}

/** Names of all workers that began something, as people count: worker-2 before worker-10. */
export function workersOf(trials: readonly Trial[]): string[] {
  const names = new Set(trials.flatMap(({ attempts }) => attempts.map(({ worker }) => worker)));
  return [...names].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
}

function attemptsOf(sheet: Sheet, rowOf: ReadonlyMap<number, number>): Payload["attempts"] {
  const lanes = new Map(workersOf(sheet.trials).slice(0, LANES_MAX).map((worker, lane) => [worker, lane]));
  const rows: { lane: number; row: number; one: Attempt }[] = [];
  for (const { number, attempts } of sheet.trials) {
    const row = rowOf.get(number);
    if (row === undefined) continue;
    for (const one of attempts) {
      const lane = lanes.get(one.worker);
      if (lane !== undefined) rows.push({ lane, row, one });
    }
  }
  const seconds = (moment: number): number => (moment - sheet.from) / 1000;
  return { lane: packed(Int32Array.from(rows, ({ lane }) => lane)),
    row: packed(Int32Array.from(rows, ({ row }) => row)),
    outcome: packed(Uint8Array.from(rows, ({ one }) => (OUTCOMES as readonly string[]).indexOf(one.outcome))),
    from: packed(Float32Array.from(rows, ({ one }) => seconds(one.startedAt))),
    to: packed(Float32Array.from(rows, ({ one }) => seconds(one.endedAt ?? sheet.to))) };
}

/** Trials whose curves are drawn: the preferred one, the front, then the others evenly. */
export function curvesDrawn({ trials, drawn, front, preferred }: Sheet): number[] {
  const reported = drawn.filter((number) => trials[number].reports.length > 0);
  const isFront = new Set(front.map(({ number }) => number));
  const first = reported.filter((number) => number === preferred?.number);
  const others = reported.filter((number) => number !== preferred?.number);
  const second = thin(others.filter((number) => isFront.has(number)), CURVES_MAX / 2);
  const rest = others.filter((number) => !isFront.has(number));
  // Drawn in this order: what matters lies on top.
  return [...thin(rest, CURVES_MAX - first.length - second.length), ...second, ...first];
}

function curvesOf(sheet: Sheet, rowOf: ReadonlyMap<number, number>, M: number): Payload["curves"] {
  const numbers = curvesDrawn(sheet);
  const curves = numbers.map((number) => thin(sheet.trials[number].reports, STEPS_MAX));
  const start = [0];
  for (const curve of curves) start.push(start[start.length - 1] + curve.length);
  const all = curves.flat();
  return { row: packed(Int32Array.from(numbers, (number) => rowOf.get(number)!)),
    start: packed(Int32Array.from(start)),
    step: packed(Int32Array.from(all, ({ step }) => step)),
    values: Array.from({ length: M }, (_, m) => packed(Float32Array.from(all, ({ values }) => values[m]))) };
}

/** At most so many, evenly, the last always among them. */
function thin<T>(all: readonly T[], most: number): readonly T[] {
  if (all.length <= most) return all;
  return Array.from({ length: most }, (_, k) => all[Math.round(((k + 1) * all.length) / most) - 1]);
}
