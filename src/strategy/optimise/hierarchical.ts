/**
 * Hierarchical risk parity (Lopez de Prado, "Building Diversified Portfolios that Outperform Out of Sample",
 * 2016): no matrix is inverted, so noise in correlations does little harm.
 *
 *     distance sqrt((1 - correlation) / 2) ─single linkage─> tree ─leaves─> order
 *     order halved again and again; each half gets the share that the other half has of the variance
 *
 * Distances are those of the correlations themselves, as in PyPortfolioOpt and Riskfolio-Lib.
 */

/** (N) shares >= 0 with sum 1. */
export function hierarchicalRisk(covariance: Float64Array, N: number): Float64Array {
  const share = new Float64Array(N).fill(1);
  const halves = (leaves: readonly number[]): void => {
    if (leaves.length < 2) return;
    const middle = leaves.length >> 1, left = leaves.slice(0, middle), right = leaves.slice(middle);
    const before = varianceOf(covariance, N, left), after = varianceOf(covariance, N, right);
    const part = before + after > 0 ? after / (before + after) : 0.5;
    for (const i of left) share[i] *= part;
    for (const i of right) share[i] *= 1 - part;
    halves(left);
    halves(right);
  };
  halves(leafOrder(covariance, N));
  return share;
}

/** Variance of a cluster whose members are weighted by their inverse variances. */
function varianceOf(covariance: Float64Array, N: number, members: readonly number[]): number {
  const weights = members.map((i) => 1 / covariance[i * N + i]);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let variance = 0;
  members.forEach((i, a) => members.forEach((j, b) => {
    variance += weights[a] * weights[b] * covariance[i * N + j];
  }));
  return variance / (total * total);
}

interface Edge { readonly a: number; readonly b: number; readonly distance: number }

/** Leaves of the single-linkage tree, as scipy orders them: the cluster that was made earlier on the left. */
export function leafOrder(covariance: Float64Array, N: number): number[] {
  const edges = spanningTree(covariance, N).sort((one, other) => one.distance - other.distance);
  const clusterOf = Array.from({ length: N }, (_, i) => ({ id: i, leaves: [i] }));
  let id = N;
  for (const { a, b } of edges) {
    const [first, second] = [clusterOf[a], clusterOf[b]].sort((one, other) => one.id - other.id);
    const joined = { id: id++, leaves: [...first.leaves, ...second.leaves] };
    for (const leaf of joined.leaves) clusterOf[leaf] = joined;
  }
  return clusterOf[0].leaves;
}

/** N - 1 edges of the shortest tree (Prim): single linkage joins along it, shortest first. */
function spanningTree(covariance: Float64Array, N: number): Edge[] {
  const distance = (i: number, j: number): number => {
    const scale = Math.sqrt(covariance[i * N + i] * covariance[j * N + j]);
    return Math.sqrt(Math.max(0, (1 - covariance[i * N + j] / scale) / 2));
  };
  const edges: Edge[] = [], nearest = new Float64Array(N).fill(Infinity), from = new Int32Array(N);
  const isIn = new Uint8Array(N);
  for (let at = 0; edges.length < N - 1;) {
    isIn[at] = 1;
    let next = -1;
    for (let j = 0; j < N; j++) {
      if (isIn[j] === 1) continue;
      const apart = distance(at, j);
      if (apart < nearest[j]) { nearest[j] = apart; from[j] = at; }
      if (next < 0 || nearest[j] < nearest[next]) next = j;
    }
    edges.push({ a: from[next], b: next, distance: nearest[next] });
    at = next;
  }
  return edges;
}
