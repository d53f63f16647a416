/**
 * C for the value of one element: what is in memory is loaded, everything else is computed on the spot from
 * its operands at the coordinates that they have there. A value is computed once per thread, in the outermost
 * loop whose variables say where it is.
 *
 *   level 0   const float v1 = get(a.x0[r]);                          a value per row
 *   level 1     const Lanes<4> x1 = load_lanes(a.x1 + 4u * k);        four at a time
 *   level 2       const float v2 = x1.at[l] * v1;
 */
import { assert } from "../../../base/assert.ts";
import type { Node, Tensor } from "../../../graph/tensor.ts";
import { dependsOn, isInStep, linearPlace, placeText, withoutLane, type Place,
  type Variable } from "./place.ts";
import { floatText, operandCoordinates, rowOf, shapeOf } from "./table.ts";

export type Element = "f32" | "f16" | "bf16";
export const ELEMENT_BYTES: Readonly<Record<Element, number>> = { f32: 4, f16: 2, bf16: 2 };
export const C_TYPES: Readonly<Record<Element, string>> = { f32: "float", f16: "Half", bf16: "Bfloat" };

interface Level {
  readonly variables: readonly string[];
  readonly lines: string[];
  readonly known: Map<string, string>;
}

/** What an emitter asks of its kernel. */
export interface Reader {
  /** The tensor that stands for this one (blocks are their decomposition). */
  resolve(tensor: Tensor): Tensor;
  /** The kernel's name for a tensor in memory; null: compute it. */
  parameterOf(tensor: Tensor): string | null;
  /** Whether a tensor in memory starts at a multiple of 16 bytes. */
  isAligned(tensor: Tensor): boolean;
  /** A name that holds this tensor's value (a reduction that is done, a product's sum); null: none. */
  nameOf(tensor: Tensor, coordinates: readonly Place[]): string | null;
}

export class Emitter {
  readonly #reader: Reader;
  readonly #levels: Level[] = [];
  readonly #ids = new Map<Tensor, number>();
  readonly #lane: Variable | null;
  #guards = 0;
  #names = 0;

  /** `lane`: the variable that counts neighbouring elements of one thread. */
  constructor(reader: Reader, lane: Variable | null) {
    this.#reader = reader;
    this.#lane = lane;
  }

  /** Begins a block of code in which these variables are known. */
  open(...variables: readonly Variable[]): void {
    this.#levels.push({ variables: variables.map(({ name }) => name), lines: [], known: new Map() });
  }

  /** Ends it; its lines. */
  close(): string[] {
    const level = this.#levels.pop();
    assert(level !== undefined, "closes a level that was opened");
    return level.lines;
  }

  /** Adds a line to the innermost block. */
  line(...texts: readonly string[]): void { this.#levels.at(-1)!.lines.push(...texts); }

  /** A name or literal of the value of `tensor` at these coordinates. */
  value(given: Tensor, coordinates: readonly Place[]): string {
    const tensor = this.#reader.resolve(given), { node } = tensor;
    const named = this.#reader.nameOf(tensor, coordinates);
    if (named !== null) return named;
    const row = rowOf(node);
    const parameter = this.#reader.parameterOf(tensor);
    if (parameter !== null) return this.#load(tensor, parameter, linearPlace(coordinates, shapeOf(tensor)));
    if (node.op === "constant") return floatText(node.attributes.value);
    if (node.op === "iota") {
      const [place] = coordinates;
      return place.terms.length === 0 ? floatText(place.constant) : `(float)(${placeText(place)})`;
    }
    if (row.kind === "move") return this.value(node.inputs[0], row.coordinates(node, coordinates));
    return this.#once(this.#keyOf(tensor, coordinates), coordinates, (level) => {
      if (row.kind === "elementwise") {
        const operands = node.inputs.map((input) =>
          this.value(input, operandCoordinates(input, coordinates)));
        return this.#assign(level, row.text(...operands));
      }
      assert(row.kind === "pieces", `${node.op} is computed before it is read`);
      return this.#piece(level, node, coordinates, row);
    });
  }

  #keyOf(tensor: Tensor, coordinates: readonly Place[]): string {
    const id = this.#ids.get(tensor) ?? this.#ids.size;
    this.#ids.set(tensor, id);
    return `${id}@${coordinates.map(placeText).join()}`;
  }

  /** The outermost level that knows all that these places depend on. */
  #levelOf(places: readonly Place[]): Level {
    if (this.#guards > 0) return this.#levels.at(-1)!;
    return this.#levels.findLast(({ variables }) =>
      places.some((place) => variables.some((name) => dependsOn(place, name)))) ?? this.#levels[0];
  }

  #once(key: string, places: readonly Place[], make: (level: Level) => string): string {
    const known = this.#levels.findLast((level) => level.known.has(key))?.known.get(key);
    if (known !== undefined) return known;
    const level = this.#levelOf(places);
    const name = make(level);
    level.known.set(key, name);
    return name;
  }

  #assign(level: Level, text: string, type = "float"): string {
    const name = `v${this.#names++}`;
    level.lines.push(`const ${type} ${name} = ${text};`);
    return name;
  }

  #load(tensor: Tensor, parameter: string, place: Place): string {
    const lane = this.#lane;
    if (lane !== null && this.#guards === 0 && isInStep(place, lane) && this.#reader.isAligned(tensor)) {
      const start = withoutLane(place, lane);
      const lanes = this.#once(`${parameter}[${placeText(start)}..]`, [start], (level) =>
        this.#assign(level, `load_lanes(a.${parameter} + ${placeText(start)})`, `Lanes<${lane.size}>`));
      return `${lanes}.at[${lane.name}]`;
    }
    return this.#once(`${parameter}[${placeText(place)}]`, [place], (level) =>
      this.#assign(level, `get(a.${parameter}[${placeText(place)}])`));
  }

  #piece(level: Level, node: Node, coordinates: readonly Place[],
    row: Extract<ReturnType<typeof rowOf>, { kind: "pieces" }>): string {
    const name = `v${this.#names++}`, along = placeText(coordinates[row.axis(node)]);
    const lines = [`float ${name} = 0.f;`];
    let word = "if";
    for (const { below, from } of row.pieces(node, coordinates)) {
      const inner = from === null ? []
        : this.#guarded(() => `${name} = ${this.value(from.tensor, from.coordinates)};`);
      const condition = below === null ? (word === "if" ? "" : "else") : `${word} (${along} < ${below}u)`;
      lines.push(`${condition} {`, ...inner.map((text) => `  ${text}`), "}");
      word = "else if";
    }
    level.lines.push(...lines);
    return name;
  }

  /** Lines that run under a condition: nothing of them moves out. */
  #guarded(make: () => string): string[] {
    this.open();
    this.#guards++;
    const last = make();
    this.#guards--;
    return [...this.close(), last];
  }
}
