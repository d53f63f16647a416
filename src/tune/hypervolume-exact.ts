/**
 * Exact hypervolumes by WFG with slicing: While, Bradstreet, Barone, IEEE TEC 2012.
 *
 *   points by their last loss, the worst first        volume = sum over p of (reference - p) in the last loss
 *        p1 . . . . . . . |                             x what p alone dominates in the others, beside those
 *           p2 . . . . .. |                             behind it, each limited to p:  q -> max(p, q)
 *              p3 . . . . |
 *
 * Each level has one loss less; at three a sweep over slices of staircases ends it. It works on rows of
 * `stride` in flat arrays that are made once.
 */
export class Exact {
  readonly #reference: Float64Array;
  /** (levels)(count, stride) points limited to the one at hand, a level for each number of losses. */
  readonly #limited: readonly Float64Array[];
  /** (levels)(count) */
  readonly #orders: readonly Int32Array[];
  readonly #stride: number;
  /** Of the sweep: a staircase with a post at either end. */
  readonly #stairX: Float64Array;
  readonly #stairY: Float64Array;
  #operationsLeft: number;

  /** Room for `count` points of `stride` losses; `operationsMax` comparisons of coordinates. */
  constructor(stride: number, count: number, reference: Float64Array, operationsMax: number) {
    this.#stride = stride;
    this.#reference = reference;
    this.#limited = Array.from({ length: stride + 1 }, (_, width) =>
      new Float64Array(width >= 3 && width < stride ? count * stride : 0));
    this.#orders = Array.from({ length: stride + 1 }, () => new Int32Array(count));
    this.#stairX = new Float64Array(count + 2);
    this.#stairY = new Float64Array(count + 2);
    this.#operationsLeft = operationsMax;
  }

  /**
   * Volume of `count` rows of `points` in their first `width` losses, none of which dominates another; NaN
   * when the budget is spent.
   */
  volume(points: Float64Array, count: number, width: number): number {
    this.#operationsLeft -= count * width;
    if (this.#operationsLeft < 0) return NaN;
    if (count === 0) return 0;
    if (count === 1) return this.#box(points, 0, width);
    if (width === 1) return this.#reference[0] - points[0];
    const order = this.#sort(points, count, width);
    if (width === 2) return this.#sweep2(points, order, count);
    if (width === 3) return this.#sweep3(points, order, count);
    const last = width - 1, limited = this.#limited[last];
    let volume = 0;
    for (let k = count - 1; k >= 0; k--) {
      const at = order[k] * this.#stride;
      const others = this.#limit(points, order, k, last, limited);
      const alone = this.#box(points, order[k], last) - this.volume(limited, others, last);
      volume += (this.#reference[last] - points[at + last]) * alone;
    }
    return volume;
  }

  /** Volume that row i dominates alone among all `count`; NaN when the budget is spent. */
  contribution(points: Float64Array, count: number, i: number, scratch: Float64Array): number {
    const others = Int32Array.from({ length: count - 1 }, (_, k) => k < i ? k : k + 1);
    const order = Int32Array.of(...others, i);
    const kept = this.#limit(points, order, count - 1, this.#stride, scratch);
    return this.#box(points, i, this.#stride) - this.volume(scratch, kept, this.#stride);
  }

  #box(points: Float64Array, row: number, width: number): number {
    let volume = 1;
    for (let m = 0; m < width; m++) volume *= this.#reference[m] - points[row * this.#stride + m];
    return volume;
  }

  /**
   * The rows order[0..k-1] limited to row order[k], in `width` losses, without those that then dominate
   * nothing of their own: how many are in `out`.
   */
  #limit(points: Float64Array, order: Int32Array, k: number, width: number, out: Float64Array): number {
    const stride = this.#stride, at = order[k] * stride;
    let kept = 0;
    for (let j = 0; j < k; j++) {
      const from = order[j] * stride, to = kept * stride;
      for (let m = 0; m < width; m++) out[to + m] = Math.max(points[from + m], points[at + m]);
      kept = this.#keepLast(out, kept, width);
    }
    return kept;
  }

  /** Of rows 0..count-1, none dominating another, and row `count`: drops what is dominated or equal. */
  #keepLast(rows: Float64Array, count: number, width: number): number {
    const stride = this.#stride, last = count * stride;
    let kept = 0;
    for (let i = 0; i < count; i++) {
      const at = i * stride;
      let isLess = false, isMore = false, m = 0;
      for (; m < width && !(isLess && isMore); m++) {
        const difference = rows[at + m] - rows[last + m];
        if (difference < 0) isLess = true;
        else if (difference > 0) isMore = true;
      }
      this.#operationsLeft -= m;
      if (!isMore) return count;
      if (!isLess) continue;
      if (kept < i) rows.copyWithin(kept * stride, at, at + width);
      kept++;
    }
    if (kept < count) rows.copyWithin(kept * stride, last, last + width);
    return kept + 1;
  }

  /** Rows by their last loss, ascending (Shell's sort: nothing is allocated). */
  #sort(points: Float64Array, count: number, width: number): Int32Array {
    const order = this.#orders[width], stride = this.#stride, last = width - 1;
    for (let i = 0; i < count; i++) order[i] = i;
    let gap = 1;
    while (gap < count / 3) gap = 3 * gap + 1;
    for (; gap >= 1; gap = (gap - 1) / 3) {
      for (let i = gap; i < count; i++) {
        const row = order[i], key = points[row * stride + last];
        let j = i;
        for (; j >= gap && points[order[j - gap] * stride + last] > key; j -= gap) order[j] = order[j - gap];
        order[j] = row;
      }
    }
    return order;
  }

  #sweep2(points: Float64Array, order: Int32Array, count: number): number {
    const reference = this.#reference, stride = this.#stride;
    let area = 0, x = reference[0];
    // By the second loss, ascending: the first one falls.
    for (let k = 0; k < count; k++) {
      const at = order[k] * stride;
      area += (x - points[at]) * (reference[1] - points[at + 1]);
      x = points[at];
    }
    return area;
  }

  /** By the third loss, ascending: each point widens the staircase below all slices behind it. */
  #sweep3(points: Float64Array, order: Int32Array, count: number): number {
    const [rx, ry, rz] = this.#reference, stride = this.#stride;
    const xs = this.#stairX, ys = this.#stairY;
    let stairs = 2, area = 0, volume = 0;
    xs[0] = -Infinity; ys[0] = ry;
    xs[1] = rx; ys[1] = -Infinity;
    for (let k = 0; k < count; k++) {
      const at = order[k] * stride, x = points[at], y = points[at + 1];
      const next = k + 1 < count ? points[order[k + 1] * stride + 2] : rz;
      // The first stair that begins at x or behind it; the one before it is the lowest before x.
      let low = 1, high = stairs - 1;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (xs[middle] >= x) high = middle; else low = middle + 1;
      }
      if (ys[low - 1] > y) {
        let end = low, top = ys[low - 1], left = x;
        for (; ys[end] >= y; end++) {
          area += (xs[end] - left) * (top - y);
          left = xs[end];
          top = ys[end];
        }
        area += (xs[end] - left) * (top - y);
        xs.copyWithin(low + 1, end, stairs);
        ys.copyWithin(low + 1, end, stairs);
        xs[low] = x;
        ys[low] = y;
        stairs += low + 1 - end;
      }
      volume += area * (next - points[at + 2]);
    }
    return volume;
  }
}
