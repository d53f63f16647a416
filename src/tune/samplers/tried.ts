/**
 * Which points there have been, so that none is suggested twice: 53 bits of a hash each, 100,000 points in
 * a few megabytes. Two points with the same hash (one in 10^15 pairs) only cost another draw.
 */
import { pointKey } from "../space.ts";
import type { Point, Space } from "../space.ts";

export class Tried {
  readonly #space: Space;
  readonly #hashes = new Set<number>();

  constructor(space: Space) { this.#space = space; }

  add(point: Point): void { this.#hashes.add(hash(pointKey(this.#space, point))); }

  /**
   * The first of up to `most` drawn points that is neither tried nor among `running`; when all are, the last
   * one: a space may be smaller than a study.
   */
  fresh(running: readonly Point[], most: number, draw: (attempt: number) => Point): Point {
    const busy = new Set(running.map((point) => hash(pointKey(this.#space, point))));
    for (let attempt = 0; ; attempt++) {
      const point = draw(attempt), key = hash(pointKey(this.#space, point));
      if (attempt + 1 >= most || !(this.#hashes.has(key) || busy.has(key))) return point;
    }
  }
}

/** Two mixed 32-bit multiplications, 53 bits of them. */
function hash(text: string): number {
  let a = 0xdeadbeef, b = 0x41c6ce57;
  for (let k = 0; k < text.length; k++) {
    const code = text.charCodeAt(k);
    a = Math.imul(a ^ code, 0x9e3779b1);
    b = Math.imul(b ^ code, 0x5f356495);
  }
  a = Math.imul(a ^ (a >>> 16), 0x85ebca6b) ^ Math.imul(b ^ (b >>> 13), 0xc2b2ae35);
  b = Math.imul(b ^ (b >>> 16), 0x85ebca6b) ^ Math.imul(a ^ (a >>> 13), 0xc2b2ae35);
  return 2 ** 32 * (b & 0x1fffff) + (a >>> 0);
}
