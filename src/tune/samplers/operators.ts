/**
 * How children are made of parents: crossovers of real vectors within bounds, mutation of a real.
 *
 *   sbx      each variable with chance 1/2 near one of its parents', the nearer the greater eta
 *            (Deb & Agrawal 1995; bounded as in Deb's code)
 *   uniform  each variable of either parent
 *   blend    uniform over the parents' box, widened by half its width to each side (BLX; Eshelman 1993)
 *   simplex  uniform over the widened simplex of three parents (SPX; Tsutsui et al. 1999)
 *   undx     normal around the middle of two parents: along their line, and across it as far as the third
 *            parent is away (Ono & Kobayashi 1997)
 *
 * What leaves the bounds is clipped to them by whoever turns reals into values. Draws come from `u`, uniform
 * in [0, 1), and `z`, standard normal. The same draws with the first two parents swapped make the other child
 * of the pair: what one child has of one parent (or on one side of the middle), the other has of the other.
 */
export interface Draws {
  uniform(): number;
  normal(): number;
}

export interface Box {
  /** (D) */
  readonly low: Float64Array;
  readonly high: Float64Array;
}

/** Crossovers: (D) child of `parents` vectors (D). `eta`: of sbx. */
export interface Crossover {
  readonly parents: 2 | 3;
  cross(parents: readonly Float64Array[], box: Box, draws: Draws, eta: number): Float64Array;
}

const CHANCE = 0.5, ALPHA = 0.5, SIGMA_ALONG = 0.5, SIGMA_ACROSS = 0.35;

export const CROSSOVERS = {
  sbx: { parents: 2, cross: ([a, b], { low, high }, draws, eta) => a.map((value, d) => {
    if (draws.uniform() >= CHANCE || value === b[d]) return value;
    const u = draws.uniform(), isOwn = draws.uniform() < CHANCE;
    return sbx(value, b[d], low[d], high[d], eta, u, isOwn === value > b[d]);
  }) },
  uniform: { parents: 2, cross: ([a, b], _, draws) =>
    a.map((value, d) => draws.uniform() < CHANCE ? value : b[d]) },
  blend: { parents: 2, cross: ([a, b], _, draws) => a.map((value, d) => {
    const width = b[d] - value;
    return value - ALPHA * width + draws.uniform() * (1 + 2 * ALPHA) * width;
  }) },
  simplex: { parents: 3, cross: (parents, _, draws) => {
    const r = [draws.uniform(), Math.sqrt(draws.uniform())], widen = Math.sqrt(parents[0].length + 2);
    return parents[0].map((_value, d) => {
      const middle = (parents[0][d] + parents[1][d] + parents[2][d]) / 3;
      const [x, y, z] = parents.map((parent) => middle + widen * (parent[d] - middle));
      return z + r[1] * (y - z + r[0] * (x - y));
    });
  } },
  undx: { parents: 3, cross: undx },
} satisfies Record<string, Crossover>;

/** One of the two children of values a and b; `u` = 0: their middle, 1/2: themselves. */
export function sbx(a: number, b: number, low: number, high: number, eta: number, u: number,
  isUpper: boolean): number {
  const least = Math.min(a, b), most = Math.max(a, b), gap = Math.max(most - least, 1e-14);
  // Less room to the bound leaves less to draw from: no child is beyond it.
  const room = 1 + 2 * (isUpper ? high - most : least - low) / gap;
  const alpha = 2 - room ** -(eta + 1);
  const beta = (u <= 1 / alpha ? u * alpha : 1 / (2 - u * alpha)) ** (1 / (eta + 1));
  return 0.5 * (least + most + (isUpper ? beta : -beta) * gap);
}

function undx([a, b, c]: readonly Float64Array[], _: Box, draws: Draws): Float64Array {
  const D = a.length, along = draws.normal() * SIGMA_ALONG;
  const axis = b.map((value, d) => value - a[d]), length = Math.hypot(...axis);
  const across = (vector: Float64Array): Float64Array => {
    if (length === 0) return vector;
    const share = vector.reduce((sum, value, d) => sum + value * axis[d], 0) / length ** 2;
    return vector.map((value, d) => value - share * axis[d]);
  };
  const away = Math.hypot(...across(c.map((value, d) => value - a[d])));
  // Normal in all directions, less the part along the line: the same as normal in a basis across it.
  const noise = across(a.map(() => draws.normal() * SIGMA_ACROSS / Math.sqrt(D)));
  return a.map((value, d) => (value + b[d]) / 2 - along * axis[d] + away * noise[d]);
}

/** Polynomial mutation (Deb & Goyal 1996), bounded: u = 1/2 leaves the value, 0 and 1 reach the bounds. */
export function mutate(value: number, low: number, high: number, eta: number, u: number): number {
  const width = high - low, power = eta + 1;
  const isDown = u < 0.5, room = isDown ? (value - low) / width : (high - value) / width;
  const part = isDown ? 2 * u : 2 * (1 - u);
  const reach = (part + (1 - part) * (1 - room) ** power) ** (1 / power) - 1;
  return isDown ? value + reach * width : value - reach * width;
}
