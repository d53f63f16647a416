/**
 * The gradient of a loop is a loop in the other direction. Each of its steps repeats the forward
 * step from the state it started in (kept, or emitted by a second forward loop) and pulls the
 * adjoints through it:
 *
 *   adjoints of state_t, emit_t ─ step_t ─> adjoints of state_{t-1}, element_t, captured (summed)
 */
import { assert } from "../base/assert.ts";
import type { Shape } from "./dimension.ts";
import { add, concat, reshape, scan, slice, zeros } from "./ops.ts";
import type { PrimitiveAttributes, ScanBody } from "./op.ts";
import { substitute } from "./rewrite.ts";
import { makeNode, type Tensor } from "./tensor.ts";

type Adjoints = readonly (Tensor | null)[];
/** `backpropagate` of gradient.ts, handed in: the two call each other. */
type Backpropagate = (outputs: readonly Tensor[], adjoints: Adjoints, wrt: readonly Tensor[],
  bounds: readonly Tensor[]) => (Tensor | null)[];

export function scanGradient(inputs: readonly Tensor[], outputs: readonly Tensor[], dys: Adjoints,
  { body, isReverse }: PrimitiveAttributes["scan"], backpropagate: Backpropagate): Adjoints {
  const S = body.states.length, E = body.elements.length;
  const [initial, sequences, captured] =
    [inputs.slice(0, S), inputs.slice(S, S + E), inputs.slice(S + E)];
  const time = sequences[0].shape[0];
  assert(typeof time === "number", "the gradient of a scan needs the number of steps");
  const zeroFor = (adjoint: Tensor | null, shape: Shape): Tensor => adjoint ?? zeros(shape);
  const before = statesBefore(inputs, outputs, body, isReverse, time);
  const { finals, stacked } = scan({
    states: [...initial.map((state, k) => zeroFor(dys[k], state.shape)),
      ...captured.map(({ shape }) => zeros(shape))],
    sequences: [...before, ...sequences,
      ...body.emits.map((_, k) => zeroFor(dys[S + k], outputs[S + k].shape))],
    captured, isReverse: !isReverse,
    step(adjoints, elements, weights) {
      const arguments_ = [...elements.slice(0, S + E), ...weights];
      const places = [...body.states, ...body.elements, ...body.captured];
      const results = substitute([...body.nextStates, ...body.emits],
        new Map(places.map((place, k) => [place, arguments_[k]])));
      const flowing = [...adjoints.slice(0, S), ...elements.slice(S + E)];
      const found = backpropagate(results, flowing, arguments_, arguments_)
        .map((adjoint, k) => zeroFor(adjoint, arguments_[k].shape));
      return {
        nextStates: [...found.slice(0, S),
          ...found.slice(S + E).map((adjoint, k) => add(adjoints[S + k], adjoint))],
        emits: found.slice(S, S + E),
      };
    },
  });
  return [...finals.slice(0, S), ...stacked, ...finals.slice(S)];
}

/** (T, ...) per state: its value before each step. */
function statesBefore(inputs: readonly Tensor[], outputs: readonly Tensor[], body: ScanBody,
  isReverse: boolean, time: number): Tensor[] {
  const S = body.states.length;
  const places = body.nextStates.map((next) => body.emits.indexOf(next));
  if (places.every((place) => place >= 0)) {
    return places.map((place, k) => {
      const first = reshape(inputs[k], [1, ...inputs[k].shape]);
      if (time === 1) return first;
      const after = outputs[S + place];
      return isReverse ? concat([slice(after, 0, 1, time - 1), first], 0)
        : concat([first, slice(after, 0, 0, time - 1)], 0);
    });
  }
  // The loop did not emit its states: run it once more and have them emitted.
  const again = makeNode("scan", inputs, { isReverse, body: { ...body, emits: body.states } });
  return again.slice(S);
}
