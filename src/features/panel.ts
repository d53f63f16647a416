/**
 * A panel is a recipe bound to a market: the columns, and one state for all features of one
 * instrument.
 *
 *   FeatureStream.state         | feature 0 | feature 1 | ... |    one Float64Array, a part each
 *   update(bars, from, to)  ->  rows of `out`      batch: one long chunk, in blocks that fit a cache
 *   push(bar)               ->  one row            live: a chunk of one; nothing is allocated
 *
 * The same update() serves both, so they cannot differ, also after save() and restore().
 */
import { crc32 } from "node:zlib";
import { assert } from "../base/assert.ts";
import { UserError } from "../base/error.ts";
import { hashOf } from "../base/file.ts";
import type { Bars, ColumnName } from "../market/bars.ts";
import { instrument } from "../market/instrument.ts";
import type { Market } from "./family.ts";
import type { Feature, FeatureColumn, Features } from "./feature.ts";
import { canonicalJson, type Recipe } from "./recipe.ts";
import { BLOCK } from "./rolling.ts";

export interface PanelColumn extends FeatureColumn {
  readonly family: string;
  /** A target reads the next bar: it trains a model and is never its input. */
  readonly role: "input" | "target";
}

/** One bar as it arrives: its close (UTC ms) and the columns that the panel reads. */
export type BarRow = { readonly time: number } & { readonly [name in ColumnName]?: number };

const STATE_MAGIC = 0x534e4d44;
const STATE_VERSION = 1;
const STATE_HEADER_BYTES = 56;
const COLUMNS_MAX = 4096;

export class Panel {
  readonly recipe: string;
  readonly market: Market;
  readonly features: readonly Feature[];
  readonly columns: readonly PanelColumn[];
  readonly names: readonly string[];
  /** Columns of the bars that are read, each once. */
  readonly inputs: readonly ColumnName[];
  readonly stateLength: number;
  /** Rows before every column has its value: the largest over the columns. */
  readonly warmup: number;
  readonly flopsPerBar: number;
  /** Names the numbers: recipe, family versions, calendar, timeframe. */
  readonly hash: string;

  constructor(recipe: Recipe, market: Market) {
    this.recipe = recipe.name;
    this.market = market;
    this.features = recipe.parts.map((part) => part.family.make(part.parameters, market));
    this.columns = this.features.flatMap(({ family, causality, columns }) => columns.map((column) =>
      ({ ...column, family, role: causality === "target" ? "target" as const : "input" as const })));
    this.names = this.columns.map((column) => column.name);
    const twice = this.names.find((name, k) => this.names.indexOf(name) !== k);
    if (twice !== undefined) {
      throw new UserError(`recipe "${recipe.name}" makes the column "${twice}" twice`,
        "remove one of the features that make it, or change its parameters");
    }
    if (this.columns.length > COLUMNS_MAX) {
      throw new UserError(
        `recipe "${recipe.name}" makes ${this.columns.length} columns; the most is ${COLUMNS_MAX}`,
        "split it into several recipes");
    }
    this.inputs = [...new Set(this.features.flatMap((feature) => feature.inputs))];
    this.stateLength = this.features.reduce((sum, feature) => sum + feature.stateLength, 0);
    this.warmup = Math.max(...this.columns.map((column) => column.warmup));
    this.flopsPerBar = this.features.reduce((sum, feature) => sum + feature.flopsPerBar, 0);
    this.hash = hashOf(canonicalJson([recipe.hash, market.calendar.name, market.timeframe]));
  }

  /** The state of one instrument before its first bar. */
  start(): FeatureStream { return new FeatureStream(this); }
}

/** Binds a recipe to a market. Throws UserError when two features make the same column. */
export function bind(recipe: Recipe, market: Market): Panel { return new Panel(recipe, market); }

export class FeatureStream {
  readonly panel: Panel;
  /** All memory of all features. */
  readonly state: Float64Array;
  readonly #parts: readonly Float64Array[];
  readonly #offsets: readonly number[];
  readonly #row: Float32Array;
  readonly #bar: Bars;
  readonly #inputs: readonly (readonly [ColumnName, Float64Array])[];
  #time = -Infinity;

  constructor(panel: Panel) {
    this.panel = panel;
    this.state = new Float64Array(panel.stateLength);
    const parts: Float64Array[] = [], offsets: number[] = [];
    let at = 0, offset = 0;
    for (const feature of panel.features) {
      parts.push(this.state.subarray(at, at + feature.stateLength));
      offsets.push(offset);
      feature.start(parts.at(-1)!);
      at += feature.stateLength;
      offset += feature.columns.length;
    }
    this.#parts = parts;
    this.#offsets = offsets;
    this.#row = new Float32Array(panel.columns.length);
    this.#inputs = panel.inputs.map((name) => [name, new Float64Array(1)] as const);
    this.#bar = { instrument: instrument("-"), kind: "bars", timeframe: panel.market.timeframe,
      time: new Float64Array(1), columns: Object.fromEntries(this.#inputs) };
  }

  /** Close of the last bar taken in, UTC ms; -Infinity before the first. */
  get time(): number { return this.#time; }

  /**
   * Takes in bars [from, to) and writes their rows to `out`, row major, starting at `row`. When
   * `out` also holds the row before, a target in it is completed. Bars must go on where the last
   * call ended.
   */
  update(bars: Bars, from: number, to: number, out: Float32Array, row = 0): void {
    const { features } = this.panel, stride = this.panel.columns.length;
    assert(out.length >= (row + to - from) * stride, "the output is too short for these bars");
    for (let start = from; start < to; start += BLOCK) {
      const end = Math.min(start + BLOCK, to), base = (row + start - from) * stride;
      for (let k = 0; k < features.length; k++) {
        features[k].update(bars, start, end, this.#parts[k], out, base + this.#offsets[k], stride);
      }
    }
    if (to > from) this.#time = bars.time[to - 1];
  }

  /**
   * Takes in one bar and returns its row (F): the same array each time, valid until the next call.
   * Targets are NaN. Bars must come in order; one that is older than the last throws.
   */
  push(bar: BarRow): Float32Array {
    assert(bar.time >= this.#time, "bars must come in order of time");
    for (let k = 0; k < this.#inputs.length; k++) {
      const name = this.#inputs[k][0];
      this.#inputs[k][1][0] = bar[name] ?? NaN;
    }
    this.#bar.time[0] = bar.time;
    this.#time = bar.time;
    const { features } = this.panel, stride = this.#row.length;
    for (let k = 0; k < features.length; k++) {
      features[k].update(this.#bar, 0, 1, this.#parts[k], this.#row, this.#offsets[k], stride);
    }
    return this.#row;
  }

  /**
   * The state as bytes: | magic, version, length | hash (32) | time | state | crc32 |, little
   * endian.
   */
  save(): Uint8Array {
    const bytes = new Uint8Array(STATE_HEADER_BYTES + this.state.byteLength + 4);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, STATE_MAGIC, true);
    view.setUint32(4, STATE_VERSION, true);
    view.setUint32(8, this.state.length, true);
    bytes.set(Buffer.from(this.panel.hash, "hex"), 16);
    view.setFloat64(48, this.#time, true);
    bytes.set(new Uint8Array(this.state.buffer), STATE_HEADER_BYTES);
    view.setUint32(bytes.length - 4, crc32(bytes.subarray(0, -4)), true);
    return bytes;
  }

  /**
   * Takes over a saved state. Throws UserError when it is damaged, or was made by another recipe,
   * market or version.
   */
  restore(bytes: Uint8Array): void {
    const refuse = (problem: string): never => {
      throw new UserError(`the saved feature state ${problem}`,
        "start from the bars again instead of the saved state");
    };
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const isState = bytes.length >= STATE_HEADER_BYTES + 4 && view.getUint32(0, true) === STATE_MAGIC;
    if (!isState) refuse("is not one");
    if (view.getUint32(4, true) !== STATE_VERSION) refuse("has another version");
    if (crc32(bytes.subarray(0, -4)) !== view.getUint32(bytes.length - 4, true)) refuse("is damaged");
    if (Buffer.from(bytes.subarray(16, 48)).toString("hex") !== this.panel.hash) {
      refuse(`was not made by recipe "${this.panel.recipe}" on this market`);
    }
    assert(bytes.length === STATE_HEADER_BYTES + this.state.byteLength + 4,
      "a state of this hash has this length");
    this.#time = view.getFloat64(48, true);
    new Uint8Array(this.state.buffer).set(bytes.subarray(STATE_HEADER_BYTES, -4));
  }
}

/** Refuses bars that lack columns the panel reads: one sentence with all of them and a feature. */
export function checkInputs(panel: Panel, symbol: string, columns: readonly string[]): void {
  const missing = panel.inputs.filter((name) => !columns.includes(name));
  if (missing.length === 0) return;
  const family = panel.features.find((feature) => feature.inputs.includes(missing[0]))!.family;
  const others = missing.slice(1).map((name) => `"${name}"`).join(", ");
  throw new UserError(
    `recipe "${panel.recipe}" needs the column "${missing[0]}" (feature family "${family}"), `
    + `which ${symbol} does not have (it has ${columns.join(", ")})`
    + (others === "" ? "" : `; it also lacks ${others}`),
    `choose a recipe that needs only these, or fetch a dataset with ${missing.join(", ")}`);
}

/** All rows of one instrument, in memory. */
export function computeFeatures(panel: Panel, bars: Bars): Features {
  checkInputs(panel, bars.instrument.symbol, Object.keys(bars.columns));
  const values = new Float32Array(bars.time.length * panel.columns.length);
  panel.start().update(bars, 0, bars.time.length, values);
  return { names: panel.names, time: bars.time, values, warmup: panel.warmup };
}
