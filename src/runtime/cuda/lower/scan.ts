/**
 * A loop whose number of steps is known: the launches of its body, step after step, with other pointers. The
 * body is lowered once over placeholders, which stand for
 *
 *   states     step 0: the initial ones; then two buffers in turn; the last step writes the final ones
 *   elements   row t of the sequences            emits   row t of the stacked outputs
 */
import { assert } from "../../../base/assert.ts";
import type { Tensor } from "../../../graph/tensor.ts";
import { countOf, isDense, type View } from "../../view.ts";
import type { Launch } from "../launch.ts";
import { rename, type Memory } from "./builder.ts";
import { copied } from "./convert.ts";
import { ELEMENT_BYTES, type Element } from "./emitter.ts";
import type { Group } from "./fuse.ts";
import type { LoweredAnchor, Lowering } from "./lowering.ts";
import { shapeOf } from "./table.ts";

/** Launches that a graph may become. */
const LAUNCHES_MAX = 200_000;

/** Where something lies in memory. */
interface Place { readonly buffer: string; readonly offset: number }
const moved = ({ buffer, offset }: Place, by: number): Place => ({ buffer, offset: offset + by });
const bytesOf = (tensor: Tensor, element: Element): number =>
  countOf(shapeOf(tensor)) * ELEMENT_BYTES[element];

export function scanAnchor({ node }: Tensor, lowering: Lowering): LoweredAnchor {
  assert(node.op === "scan", "a loop");
  const S = node.attributes.body.states.length, E = node.attributes.body.elements.length;
  const reads = node.inputs.map((tensor, k) => ({ tensor, accepts: (view: View<Tensor>) => isDense(view),
    element: k < S ? "f32" as const : null }));
  return { outputs: node.outputs, reads, hasEpilogue: false,
    elementOf: (output) => (output.index < S ? "f32" : null),
    emit: (group) => new Unroller(node, group, lowering, S, E).launches() };
}

class Unroller {
  readonly #node: Extract<Tensor["node"], { op: "scan" }>;
  readonly #lowering: Lowering;
  readonly #group: Group;
  readonly #S: number;
  readonly #E: number;
  readonly #inputs: readonly Memory[];
  readonly #steps: number;
  readonly #prefix: string;
  readonly #before: Launch[] = [];

  constructor(node: Extract<Tensor["node"], { op: "scan" }>, group: Group, lowering: Lowering, S: number,
    E: number) {
    this.#node = node;
    this.#lowering = lowering;
    this.#group = group;
    this.#S = S;
    this.#E = E;
    this.#steps = shapeOf(node.inputs[S])[0];
    this.#prefix = lowering.builder.scratch(16, "loop");
    this.#inputs = group.views.map((view, k) => {
      const memory = lowering.memoryOf(view.source);
      const offset = memory.offset + view.offset * ELEMENT_BYTES[memory.element];
      const place = { ...memory, offset, isAligned: memory.isAligned && offset % 16 === 0 };
      return k < S && memory.element !== "f32" ? this.#asFloats(place, countOf(view.shape)) : place;
    });
  }

  /** States change places with what the steps write: float32. */
  #asFloats(from: Memory, count: number): Memory {
    const buffer = copied(count, from, "f32", this.#lowering, this.#before);
    return { buffer, offset: 0, element: "f32", isAligned: true };
  }

  launches(): Launch[] {
    const { body } = this.#node.attributes;
    const placeholders = new Map<Tensor, Memory>();
    const place = (tensor: Tensor, name: string, element: Element, isAligned: boolean): Memory =>
      ({ buffer: `${this.#prefix}.${name}`, offset: 0, element,
        isAligned: isAligned && bytesOf(tensor, element) % 16 === 0 });
    const { outputs } = this.#node, kept = (output: Tensor): Memory | null =>
      (this.#group.stores.has(output) ? this.#lowering.memoryOf(output) : null);
    const finals = outputs.slice(0, this.#S).map(kept), stacked = outputs.slice(this.#S).map(kept);
    body.states.forEach((tensor, k) => {
      const isAligned = this.#inputs[k].isAligned && finals[k]?.isAligned !== false;
      placeholders.set(tensor, place(tensor, `state${k}`, "f32", isAligned));
    });
    body.elements.forEach((tensor, k) => {
      const { element, isAligned } = this.#inputs[this.#S + k];
      placeholders.set(tensor, place(tensor, `element${k}`, element, isAligned));
    });
    body.captured.forEach((tensor, k) => { placeholders.set(tensor, this.#inputs[this.#S + this.#E + k]); });
    const results = [
      ...body.nextStates.map((tensor, k) => ({ tensor, home: place(tensor, `next${k}`, "f32",
        this.#inputs[k].isAligned && finals[k]?.isAligned !== false) })),
      ...body.emits.flatMap((tensor, k) => {
        const to = stacked[k];
        return to === null ? [] : [{ tensor, home: place(tensor, `emit${k}`, to.element, to.isAligned) }];
      }),
    ];
    const { launches } = this.#lowering.within((tensor) => placeholders.get(tensor) ?? null).lower(results);
    assert(launches.length * this.#steps <= LAUNCHES_MAX,
      `a loop of ${this.#steps} steps becomes too many launches`);
    return [...this.#before, ...this.#unrolled(launches, finals, stacked)];
  }

  #unrolled(launches: readonly Launch[], finals: readonly (Memory | null)[],
    stacked: readonly (Memory | null)[]): Launch[] {
    const { body, isReverse } = this.#node.attributes, steps = this.#steps;
    const pairs = body.states.map((tensor) => [0, 1].map((): Place =>
      ({ buffer: this.#lowering.builder.scratch(bytesOf(tensor, "f32"), "state"), offset: 0 })));
    return Array.from({ length: steps }, (_, step) => {
      const t = isReverse ? steps - 1 - step : step, to = new Map<string, Place>();
      const set = (name: string, at: Place): void => { to.set(`${this.#prefix}.${name}`, at); };
      pairs.forEach((pair, k) => {
        set(`state${k}`, step === 0 ? this.#inputs[k] : pair[step % 2]);
        set(`next${k}`, (step === steps - 1 ? finals[k] : null) ?? pair[(step + 1) % 2]);
      });
      body.elements.forEach((tensor, k) => {
        const from = this.#inputs[this.#S + k];
        set(`element${k}`, moved(from, t * bytesOf(tensor, from.element)));
      });
      stacked.forEach((place, k) => {
        if (place !== null) set(`emit${k}`, moved(place, t * bytesOf(body.emits[k], place.element)));
      });
      return launches.map((launch) => rename(launch, to));
    }).flat();
  }
}
