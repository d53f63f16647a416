/** What is due when: a binary heap by time, then by the order of asking. */
export class DueQueue<Task> {
  readonly #heap: { at: number; order: number; task: Task }[] = [];
  #asked = 0;

  get length(): number { return this.#heap.length; }
  /** Time of the first; Infinity when there is none. */
  get next(): number { return this.#heap.length === 0 ? Infinity : this.#heap[0].at; }

  push(at: number, task: Task): void {
    const heap = this.#heap;
    let child = heap.push({ at, order: this.#asked++, task }) - 1;
    while (child > 0) {
      const parent = (child - 1) >>> 1;
      if (!this.#isBefore(child, parent)) return;
      [heap[child], heap[parent]] = [heap[parent], heap[child]];
      child = parent;
    }
  }

  /** The first one due by `now`, or undefined. */
  take(now: number): { readonly at: number; readonly task: Task } | undefined {
    const heap = this.#heap, first = heap[0];
    if (heap.length === 0 || first.at > now) return undefined;
    const last = heap.pop();
    if (last !== undefined && heap.length > 0) {
      heap[0] = last;
      this.#sink();
    }
    return first;
  }

  #sink(): void {
    const heap = this.#heap;
    for (let parent = 0; ;) {
      let least = parent;
      for (const child of [2 * parent + 1, 2 * parent + 2]) {
        if (child < heap.length && this.#isBefore(child, least)) least = child;
      }
      if (least === parent) return;
      [heap[least], heap[parent]] = [heap[parent], heap[least]];
      parent = least;
    }
  }

  #isBefore(a: number, b: number): boolean {
    const x = this.#heap[a], y = this.#heap[b];
    return x.at < y.at || (x.at === y.at && x.order < y.order);
  }
}
