/**
 * LSTM layers that feed each other, as one plan of lstm/plan.ts: from zero states or given ones, to the
 * hidden values of all steps, or of the last one, or a head on that.
 *
 *   features (B, T, F) ── transpose ── lstm ── lstm ── last hidden ── linear ── tanh
 */
import { concat, reshape, transpose } from "../../../graph/ops.ts";
import type { Node, Tensor } from "../../../graph/tensor.ts";
import { countOf, isDense, type View } from "../../view.ts";
import type { Launch } from "../launch.ts";
import { planLstmStack } from "../lstm/plan.ts";
import type { LstmPlan, LstmStack } from "../lstm/stack.ts";
import { convertLaunch, denseBuffer, resultBuffer } from "./convert.ts";
import type { Element } from "./emitter.ts";
import type { Read } from "./fuse.ts";
import type { LoweredAnchor, Lowering } from "./lowering.ts";
import { ELEMENTS, isOp, uniformOf, type Pattern } from "./pattern.ts";
import { shapeOf } from "./table.ts";

type LstmNode = Extract<Node, { op: "lstm" }>;

interface HeadFound {
  readonly w: Tensor;
  readonly bias: Tensor;
  readonly activation: "none" | "tanh";
  readonly out: Tensor;
}

interface StackFound {
  readonly layers: readonly LstmNode[];
  readonly result: "all" | "last" | "head";
  readonly head: HeadFound | null;
  /** What the result is. */
  readonly out: Tensor;
  readonly hasStates: boolean;
}

/** A ring of steps instead of windows in order, and a flag to count up at the end: stack.ts. */
export interface StackOptions {
  readonly ring: { readonly input: Tensor; readonly start: string } | null;
  readonly done: { readonly output: Tensor; readonly buffer: string | null } | null;
}

/** Finds every stack that some kernel can run. */
export function findStacks(pattern: Pattern, options: StackOptions): StackAnchor[] {
  const taken = new Set<Node>(), found: StackAnchor[] = [];
  for (const node of pattern.order) {
    if (!isOp(node, "lstm") || taken.has(node)) continue;
    const anchor = stackFrom(node, pattern, options);
    if (anchor === null) continue;
    for (const layer of anchor.found.layers) taken.add(layer);
    for (const output of anchor.outputs) pattern.anchors.set(output, anchor);
    found.push(anchor);
  }
  return found;
}

/** Whether a layer's weights never change, and nobody asks for its cells and gates. */
const isFit = ({ inputs, outputs }: LstmNode, pattern: Pattern): boolean =>
  inputs.slice(1, 4).every((tensor) => pattern.constants.isStatic(tensor))
  && !pattern.isUsed(outputs[3]) && !pattern.isUsed(outputs[4]);

function stackFrom(first: LstmNode, pattern: Pattern, options: StackOptions): StackAnchor | null {
  if (!isFit(first, pattern)) return null;
  const layers = [first];
  for (;;) {
    const top = layers.at(-1)!, next = pattern.onlyReader(top.outputs[0]);
    const isNext = next !== null && isOp(next, "lstm") && next.inputs[0] === top.outputs[0]
      && isFit(next, pattern) && shapeOf(next.inputs[2]).join() === shapeOf(first.inputs[2]).join();
    if (!isNext) break;
    layers.push(next);
  }
  for (const found of waysOf(layers, pattern)) {
    const anchor = new StackAnchor(found, pattern, options);
    if (anchor.isPossible()) return anchor;
  }
  return null;
}

/** What a stack may be asked for, the best first. */
function waysOf(layers: readonly LstmNode[], pattern: Pattern): StackFound[] {
  const [hidden, last, cell] = layers.at(-1)!.outputs;
  const isLower = (output: number): boolean =>
    layers.slice(0, -1).some(({ outputs }) => pattern.isUsed(outputs[output]));
  const isZero = layers.every(({ inputs }) => uniformOf(inputs[4]) === 0 && uniformOf(inputs[5]) === 0);
  const isAll = pattern.isUsed(hidden);
  const hasStates = !isZero || isLower(1) || isLower(2) || pattern.isUsed(cell)
    || (isAll && pattern.isUsed(last));
  if (isAll) return [{ layers, result: "all", head: null, out: hidden, hasStates }];
  const plain: StackFound = { layers, result: "last", head: null, out: last, hasStates };
  const head = hasStates ? null : headOf(last, pattern);
  return head === null ? [plain] : [{ ...plain, result: "head", head, out: head.out }, plain];
}

function headOf(last: Tensor, pattern: Pattern): HeadFound | null {
  const reader = pattern.onlyReader(last), { constants } = pattern;
  if (reader === null || !isOp(reader, "linear") || reader.inputs[0] !== last) return null;
  const [, w, bias] = reader.inputs, [out] = reader.outputs;
  if (!constants.isStatic(w) || !constants.isStatic(bias) || shapeOf(w)[1] > 16) return null;
  const next = pattern.onlyReader(out);
  return next?.op === "tanh" ? { w, bias, activation: "tanh", out: next.outputs[0] }
    : { w, bias, activation: "none", out };
}

export class StackAnchor implements LoweredAnchor {
  readonly outputs: readonly Tensor[];
  readonly reads: readonly Read[];
  readonly hasEpilogue = false;
  readonly isHalf = true;
  readonly found: StackFound;
  readonly #pattern: Pattern;
  readonly #options: StackOptions;
  readonly #prefix: string;
  readonly #isRing: boolean;
  readonly #isDone: boolean;
  /** What it was lowered to. */
  plan: LstmPlan | null = null;

  constructor(found: StackFound, pattern: Pattern, options: StackOptions) {
    this.found = found;
    this.#pattern = pattern;
    this.#options = options;
    this.#prefix = pattern.name("lstm");
    const { layers, out, hasStates } = found, [x] = layers[0].inputs;
    this.#isRing = options.ring !== null && x.node.op === "transpose"
      && x.node.inputs[0] === options.ring.input
      && pattern.onlyReader(options.ring.input) === x.node && pattern.onlyReader(x) === layers[0];
    this.#isDone = options.done?.output === out && found.result === "head";
    const finals = !hasStates ? []
      : layers.flatMap(({ outputs }) => outputs.slice(1, 3)).filter((one) => pattern.isUsed(one));
    this.outputs = [...new Set([out, ...finals])];
    const dense = (tensor: Tensor): Read => ({ tensor, element: "f32", accepts: isDense });
    const joined = (k: number): Tensor =>
      concat(layers.map(({ inputs }) => reshape(inputs[k], [1, ...inputs[k].shape])), 0);
    this.reads = [dense(transpose(x, [1, 0, 2])), ...(hasStates ? [dense(joined(4)), dense(joined(5))] : [])];
  }

  get isRing(): boolean { return this.#isRing; }
  get isDone(): boolean { return this.#isDone; }

  elementOf(tensor: Tensor): Element {
    return tensor === this.found.layers.at(-1)!.outputs[0] ? ELEMENTS[this.#pattern.precision] : "f32";
  }

  isPossible(): boolean {
    return this.#planFor({ x: "x", result: "y", states: ["h0", "c0", "hn", "cn"] }) !== null;
  }

  #planFor({ x, result, states }: { x: string; result: string; states: readonly string[] }): LstmPlan | null {
    const { layers, head, hasStates, result: kind } = this.found, { precision, device } = this.#pattern;
    const [T, B, F] = shapeOf(layers[0].inputs[0]), [H] = shapeOf(layers[0].inputs[2]);
    const columns = head === null ? 0 : shapeOf(head.w)[1];
    const stack: LstmStack = { B, T, F, H, L: layers.length, precision, x,
      ringStart: this.#isRing ? this.#options.ring!.start : null,
      states: hasStates ? { h0: states[0], c0: states[1], hn: states[2], cn: states[3] } : null,
      result: kind === "head" ? { kind, buffer: result, columns, activation: head!.activation }
        : { kind, buffer: result },
      done: this.#isDone ? this.#options.done!.buffer : null };
    return planLstmStack(stack, device, this.#prefix);
  }

  emit({ views, stores }: { readonly views: readonly View<Tensor>[]; readonly stores: ReadonlySet<Tensor> },
    lowering: Lowering): Launch[] {
    const { layers, head, hasStates, out } = this.found, before: Launch[] = [], after: Launch[] = [];
    const [x, ...initial] = views.map((view) => denseBuffer(view, "f32", lowering, before));
    const bytes = layers.length * countOf(shapeOf(layers[0].outputs[1])) * 4;
    const finals = hasStates ? [0, 1].map(() => lowering.builder.scratch(bytes, "final")) : [];
    const plan = this.#planFor({ x, result: resultBuffer(out, this.elementOf(out), lowering, after),
      states: [...initial, ...finals] })!;
    for (const buffer of plan.buffers) lowering.builder.buffer(buffer);
    finals.forEach((buffer, k) => {
      layers.forEach(({ outputs }, layer) => {
        const tensor = outputs[k + 1], count = countOf(shapeOf(tensor));
        if (!stores.has(tensor) || tensor === out) return;
        after.push(convertLaunch(lowering, count, { buffer, offset: layer * count * 4, element: "f32" },
          lowering.memoryOf(tensor)));
      });
    });
    this.#pattern.constants.packWith([...layers.flatMap(({ inputs }) => inputs.slice(1, 4)),
      ...(head === null ? [] : [head.w, head.bias])], (values) => plan.pack({
      layers: layers.map((_, k) => ({ wx: values[3 * k], wh: values[3 * k + 1], bias: values[3 * k + 2] })),
      head: head === null ? null : { w: values.at(-2)!, b: values.at(-1)! } }));
    this.plan = plan;
    return [...before, ...plan.launches, ...after];
  }
}
