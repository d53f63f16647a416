/**
 * Recurrent state from bar to bar: a network trained in carry mode is fed one row per decision.
 *
 *     window (W, F) of the first decision     .  .  .  .  x     W rows from a state of zeros
 *     window of the next date                 .  .  .  x  y     y alone, from the state after x
 *     after a hole, or another network        .  .  .  .  z     W rows from zeros again
 *
 * So the state at a decision is that of W rows or more. A step is known to follow by its window: the
 * row before the last must be the row that the state has seen last. What W rows (warmup in model.json:
 * four training sequences) leave out of an instrument's whole history is felt in the first decisions
 * of a run: an LSTM of 20 units trained on the synthetic market, W = 252, differs there by 1e-5 on
 * average and 3e-3 at most (679 starts), a year later by 3e-7 and 8e-5.
 */
import { assert } from "../base/assert.ts";
import { featureIndex, type Batch } from "../dataset/batch.ts";
import { sizesOf } from "../graph/dimension.ts";
import type { OnnxModel } from "../runtime/ort/model.ts";
import type { Tensors } from "../runtime/runtime.ts";

const STATE = "state/", FINAL = "final/";

/** What one network knows of an instrument. */
interface Memory {
  /** (F) the row that it saw last. */
  readonly row: Float32Array;
  /** (H) by NAME. */
  readonly state: Readonly<Record<string, Float32Array>>;
}

/** Rows [from, to) of a batch, all of one date. */
export interface DateRows {
  readonly batch: Batch;
  readonly from: number;
  readonly to: number;
}

export type CarriedAnswer = Readonly<Record<"position" | "confidence", Float32Array>>;

/** The states of one run through time: dates ascend, and one that does not begins a new run. */
export class StateCarrier {
  readonly #features: readonly string[];
  readonly #symbols: readonly string[];
  readonly #memory = new Map<string, Memory>();
  #model: OnnxModel | null = null;
  #time = -Infinity;
  /** (F) of the features, in the batch that is being decided. */
  #columns: readonly number[] = [];

  /** Inputs (F) of the networks, and instruments by the number that they know them under. */
  constructor({ features, symbols }: { features: readonly string[]; symbols: readonly string[] }) {
    this.#features = features;
    this.#symbols = symbols;
  }

  /** (to - from) what the network says of the instruments of a date. At most `most` rows in one run. */
  async decide(model: OnnxModel, { batch, from, to }: DateRows, most: number): Promise<CarriedAnswer> {
    const time = batch.time[from];
    assert(batch.time.subarray(from, to).every((one) => one === time), "rows are of one date");
    // Another network's state is no state of this one.
    if (!(time > this.#time) || model !== this.#model) this.#memory.clear();
    this.#time = time;
    this.#model = model;
    this.#columns = this.#features.map((name) => featureIndex(batch, name));
    const T = batch.lookback, rows = Array.from({ length: to - from }, (_, k) => from + k);
    const answer = { position: new Float32Array(rows.length),
      confidence: new Float32Array(rows.length).fill(1) };
    const isKnown = (b: number): boolean => T > 1 && this.#follows(batch, b);
    for (const [some, steps] of [[rows.filter(isKnown), 1],
      [rows.filter((b) => !isKnown(b)), T]] as const) {
      const size = steps === 1 ? some.length : most;
      for (let at = 0; at < some.length; at += size) {
        await this.#run(model, batch, some.slice(at, at + size), steps,
          (b, name, value) => { answer[name][b - from] = value; });
      }
    }
    return answer;
  }

  #follows(batch: Batch, b: number): boolean {
    const memory = this.#memory.get(batch.symbols[batch.instrument[b]]);
    if (memory === undefined) return false;
    const before = this.#lastRows(batch, b, 2).subarray(0, this.#features.length);
    return memory.row.every((value, f) => value === before[f]);
  }

  /** (steps, F) the inputs of a window's last rows. */
  #lastRows(batch: Batch, b: number, steps: number): Float32Array {
    const width = batch.names.length, end = (b + 1) * batch.lookback;
    const out = new Float32Array(steps * this.#columns.length);
    let at = 0;
    for (let row = end - steps; row < end; row++) {
      for (const column of this.#columns) out[at++] = batch.features[row * width + column];
    }
    return out;
  }

  /**
   * Feeds rows their last `steps`: whole windows from zeros, a single one from the state before it.
   * Keeps the states after.
   */
  async #run(model: OnnxModel, batch: Batch, rows: readonly number[], steps: number,
    say: (b: number, name: "position" | "confidence", value: number) => void): Promise<void> {
    const B = rows.length, F = this.#features.length, features = new Float32Array(B * steps * F);
    rows.forEach((b, k) => { features.set(this.#lastRows(batch, b, steps), k * steps * F); });
    const symbols = rows.map((b) => batch.symbols[batch.instrument[b]]);
    const instrument = Float32Array.from(symbols, (symbol) => this.#symbols.indexOf(symbol));
    const feeds: Record<string, Tensors[string]> = {};
    for (const { name, shape: open } of model.inputs) {
      const shape = sizesOf(open, { B, T: steps });
      if (!name.startsWith(STATE)) {
        feeds[name] = { shape, values: name === "features" ? features : instrument };
        continue;
      }
      const values = new Float32Array(shape[0] * shape[1]);
      if (steps < batch.lookback) {
        symbols.forEach((symbol, k) => {
          values.set(this.#memory.get(symbol)!.state[name.slice(STATE.length)], k * shape[1]);
        });
      }
      feeds[name] = { shape, values };
    }
    const finals = model.outputs.map(({ name }) => name).filter((name) => name.startsWith(FINAL));
    const heads = (["position", "confidence"] as const)
      .filter((head) => model.outputs.some(({ name }) => name === head));
    const outputs = await model.run(feeds, [...heads, ...finals]);
    rows.forEach((b, k) => {
      for (const head of heads) say(b, head, outputs[head].values[(k + 1) * steps - 1]);
      const last = ((k + 1) * steps - 1) * F;
      this.#memory.set(symbols[k], { row: features.slice(last, last + F),
        state: Object.fromEntries(finals.map((name) => {
          const { values, shape: [, H] } = outputs[name];
          return [name.slice(FINAL.length), Float32Array.from(values.slice(k * H, (k + 1) * H))];
        })) });
    });
  }
}
