/**
 * What may be chosen, and a choice.
 *
 *   Space { learningRate: float log, hidden: choice 20 40 80, heads: choice 1 2 4 when hidden is 40 }
 *   Point { learningRate: 0.003, hidden: 20 }         only what is active: no heads here
 *
 * A condition names a parameter declared before, so a space is read from the front. Two parameters under
 * conditions that exclude each other may set the same thing (`setting`): widths that heads must divide are
 * a conditional space, not an error.
 */
export interface Condition {
  readonly parameter: string;
  /** Active where that one is active and has one of these values. */
  readonly is: readonly (number | string)[];
}
interface Common {
  readonly when?: Condition;
  /** What it sets; its own name when it is not said. */
  readonly setting?: string;
}
export type Parameter = Common & (
  /** [low, high]; with a step low, low + step, ... up to high; a logarithmic scale has no step. */
  | { readonly kind: "float"; readonly low: number; readonly high: number;
      readonly isLog?: boolean; readonly step?: number }
  /** Both ends inclusive; step 1 when it is not said. */
  | { readonly kind: "integer"; readonly low: number; readonly high: number;
      readonly isLog?: boolean; readonly step?: number }
  | { readonly kind: "choice"; readonly choices: readonly (number | string)[] });

/** In the order of its names. */
export type Space = Readonly<Record<string, Parameter>>;
/** Values of the active parameters by name; of a choice the chosen value itself. */
export type Point = Readonly<Record<string, number | string>>;
