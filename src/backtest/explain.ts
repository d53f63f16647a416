/**
 * What the shown network looked at: a sample of its decisions, asked again for its views, and averaged.
 *
 *     decisions of the windows --sample--> explain(batch) --> weight by input and year, attention by lag
 */
import { random } from "../base/random.ts";
import { MS_PER_DAY } from "../base/units.ts";
import { cutWindows } from "../dataset/window.ts";
import type { Explanation } from "../strategy/strategy.ts";
import { align } from "./align.ts";
import { CHUNK_VALUES } from "./decide.ts";
import { featureColumns, type BacktestInput } from "./input.ts";
import type { NetworkViews } from "./result.ts";

/** Decisions asked about: the deviation of a mean weight is then about a fiftieth of the weights' own. */
const SAMPLE_MAX = 2_000;

/** (B) rows of instruments, by time. */
interface Sample {
  readonly instrument: Int32Array;
  readonly row: Int32Array;
}

/** Null for a strategy that has nothing to show. */
export async function explainRun(input: BacktestInput, most = SAMPLE_MAX): Promise<NetworkViews | null> {
  const { instruments, strategy } = input;
  if (strategy.explain === undefined) return null;
  const { instrument, row } = sampleDecisions(input, most);
  const F = strategy.features.length, T = strategy.lookback;
  const columns = instruments.map((one) => featureColumns(one.features, strategy, one.instrument.symbol));
  const source = { names: strategy.features, symbols: instruments.map((one) => one.instrument.symbol),
    panels: instruments.map((one) => one.features), columns, lookback: T };
  const means = new Means(), size = Math.max(1, Math.floor(CHUNK_VALUES / (T * F)));
  for (let from = 0; from < row.length; from += size) {
    const some = instrument.slice(from, from + size);
    const batch = cutWindows(source, some, row.slice(from, from + size), Int32Array.from(some.keys()));
    means.add(batch.time, await strategy.explain(batch));
    input.signal?.throwIfAborted();
  }
  return means.result(row.length);
}

/** Decisions within the windows, drawn without putting back, in time order. */
function sampleDecisions({ instruments, strategy, settings }: BacktestInput, most: number): Sample {
  const ranges = settings.windows.map(({ from, to }) =>
    ({ from: from * MS_PER_DAY, to: (to + 1) * MS_PER_DAY }));
  const { eligible, count } = align(instruments, strategy, settings.lag, ranges);
  const total = count.reduce((a, b) => a + b, 0), stream = random(0, "explained decisions");
  const drawn = new Set<number>();
  while (drawn.size < Math.min(most, total)) drawn.add(stream.below(total));
  const sample: { i: number; row: number; time: number }[] = [];
  let k = 0;
  eligible.forEach((flags, i) => {
    for (let row = 0; row < flags.length; row++) {
      if (flags[row] === 0 || !drawn.has(k++)) continue;
      sample.push({ i, row, time: instruments[i].features.time[row] });
    }
  });
  sample.sort((a, b) => a.time - b.time || a.i - b.i);
  return { instrument: Int32Array.from(sample, ({ i }) => i),
    row: Int32Array.from(sample, ({ row }) => row) };
}

type Year = { rows: number; readonly sums: Float64Array };

/** Sums of explanations, batch by batch. */
class Means {
  #last: Explanation | null = null;
  readonly #years = new Map<number, Year>();
  #attention: Float64Array | null = null;

  add(time: Float64Array, said: Explanation): void {
    const { names: { length: F }, selection, attention } = this.#last = said;
    time.forEach((moment, b) => {
      const year = new Date(moment).getUTCFullYear();
      const sums = this.#years.get(year) ?? { rows: 0, sums: new Float64Array(F) };
      this.#years.set(year, sums);
      sums.rows++;
      if (selection !== null) for (let f = 0; f < F; f++) sums.sums[f] += selection[b * F + f];
    });
    if (attention === null) return;
    const T = attention.length / time.length, own = this.#attention ??= new Float64Array(T);
    attention.forEach((weight, k) => { own[k % T] += weight; });
  }

  /** Null when nothing was there to look at. */
  result(rows: number): NetworkViews | null {
    const said = this.#last;
    if (said === null) return null;
    if (said.selection === null && said.attention === null && said.importance === null) return null;
    const share = (sums: Float64Array, count: number): number[] => Array.from(sums, (sum) => sum / count);
    const years = [...this.#years].sort(([a], [b]) => a - b);
    const all = Float64Array.from(said.names, (_, f) =>
      years.reduce((sum, [, { sums }]) => sum + sums[f], 0));
    return {
      rows, features: said.names, importance: said.importance,
      selection: said.selection === null ? null : { mean: share(all, rows),
        byYear: years.map(([year, { sums, rows: count }]) =>
          ({ year, rows: count, mean: share(sums, count) })) },
      attention: this.#attention === null ? null : share(this.#attention, rows),
    };
  }
}
