/**
 * Fronts: 0 holds what nothing dominates, 1 what only front 0 dominates, ... Then what is infeasible, by
 * violation alone (constraint domination; Jain & Deb 2014).
 *
 *   f2 |  1            Rows are taken in lexicographic order, so that no row dominates one before it, and
 *      | 0   2   3     each goes to the first front none of whose members dominates it (ENS-SS; Zhang, Tian,
 *      |   0   1 2     Cheng, Jin 2015). With many objectives a comparison ends after two or three of them,
 *      |______0___     and no matrix of who dominates whom is needed.
 *             f1
 */

/** Whether row a of (N, M) losses is nowhere worse than row b and somewhere better. */
export function dominates(losses: Float64Array, M: number, a: number, b: number): boolean {
  const i = a * M, j = b * M;
  for (let m = 0; m < M; m++) if (losses[i + m] > losses[j + m]) return false;
  for (let m = 0; m < M; m++) if (losses[i + m] < losses[j + m]) return true;
  return false;
}

/**
 * (N) fronts of (N, M) losses; equal rows share theirs. `violations` (N): 0 feasible; without it all are.
 * Infinite losses are as good or bad as they look; those of infeasible rows are not read.
 */
export function frontRanks(losses: Float64Array, M: number, violations?: ArrayLike<number>,
  count = losses.length / M): Int32Array {
  const ranks = new Int32Array(count);
  const feasible: number[] = [], others: number[] = [];
  for (let n = 0; n < count; n++) {
    (violations === undefined || violations[n] === 0 ? feasible : others).push(n);
  }
  feasible.sort((a, b) => {
    for (let i = a * M, j = b * M, m = 0; m < M; m++) {
      const x = losses[i + m], y = losses[j + m];
      if (x !== y) return x < y ? -1 : 1;
    }
    return a - b;
  });
  // Members of a front as a list from its newest back: `newest` by front, `older` by row.
  const newest: number[] = [], older = new Int32Array(count);
  for (const row of feasible) {
    let front = 0;
    while (front < newest.length && isDominated(losses, M, row, newest[front], older)) front++;
    older[row] = newest[front] ?? -1;
    newest[front] = row;
    ranks[row] = front;
  }
  if (violations === undefined || others.length === 0) return ranks;
  others.sort((a, b) => violations[a] - violations[b]);
  let front = newest.length - 1, before = NaN;
  for (const row of others) {
    if (violations[row] !== before) front++;
    before = violations[row];
    ranks[row] = front;
  }
  return ranks;
}

/**
 * Fronts of `count` feasible rows of which all but the last have theirs already: a row's front is the length
 * of the longest chain of rows that dominate each other up to it. In place.
 */
export function addToFronts(losses: Float64Array, M: number, ranks: Int32Array, count: number): void {
  const added = count - 1, raised = [added];
  ranks[added] = 0;
  for (let n = 0; n < added; n++) {
    if (ranks[n] >= ranks[added] && dominates(losses, M, n, added)) ranks[added] = ranks[n] + 1;
  }
  // One more row makes no chain longer by more than one: nobody is raised twice.
  for (const row of raised) {
    for (let n = 0; n < count; n++) {
      if (ranks[n] > ranks[row] || n === row || !dominates(losses, M, row, n)) continue;
      ranks[n] = ranks[row] + 1;
      raised.push(n);
    }
  }
}

/** Whether a member of the list that begins at `head` dominates the row; it is not after the row. */
function isDominated(losses: Float64Array, M: number, row: number, head: number, older: Int32Array): boolean {
  const i = row * M;
  for (let other = head; other >= 0; other = older[other]) {
    const j = other * M;
    let m = 0;
    while (m < M && losses[j + m] <= losses[i + m]) m++;
    if (m < M) continue;
    for (m = 0; m < M; m++) if (losses[j + m] < losses[i + m]) return true;
  }
  return false;
}
