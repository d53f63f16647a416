/**
 * Scratch of a list in one buffer: each has a place for as long as some launch touches it, and shares it with
 * others before and after. Greedy by size, as in graph/liveness.ts; over launches instead of nodes, because
 * what lives in registers only needs no place.
 */
import type { BufferSpec, Launch, LaunchList } from "../launch.ts";
import { buffersOf, rename } from "./builder.ts";

const ALIGNMENT = 256;
const NAME = "arena";

/** The same list over fewer buffers. Scratch that has a fill is kept from run to run, and so stays apart. */
export function shareScratch({ name, buffers, launches }: LaunchList): LaunchList {
  const lives = livesOf(launches);
  const isShared = ({ role, fill, name: own }: BufferSpec): boolean =>
    role === "scratch" && fill === undefined && lives.has(own);
  const shared = buffers.filter(isShared)
    .map((spec, index) => ({ ...spec, index, bytes: Math.ceil(spec.bytes / ALIGNMENT) * ALIGNMENT,
      ...lives.get(spec.name)! }))
    .sort((a, b) => b.bytes - a.bytes || a.index - b.index);
  const placed: { first: number; last: number; offset: number; bytes: number; name: string }[] = [];
  for (const one of shared) {
    let end = 0, best = -1, bestGap = Infinity;
    for (const other of placed) {
      if (other.first > one.last || other.last < one.first) continue;
      const gap = other.offset - end;
      if (gap >= one.bytes && gap < bestGap) { best = end; bestGap = gap; }
      end = Math.max(end, other.offset + other.bytes);
    }
    placed.push({ ...one, offset: best < 0 ? end : best });
    placed.sort((a, b) => a.offset - b.offset);
  }
  const to = new Map(placed.map((one) => [one.name, { buffer: NAME, offset: one.offset }]));
  const bytes = Math.max(0, ...placed.map((one) => one.offset + one.bytes));
  const kept = buffers.filter((spec) => !isShared(spec) && (spec.role !== "scratch" || lives.has(spec.name)));
  return { name, launches: launches.map((launch) => rename(launch, to)),
    buffers: [...kept, ...(bytes > 0 ? [{ name: NAME, bytes, role: "scratch" } as const] : [])] };
}

/** First and last launch that touches each buffer. */
function livesOf(launches: readonly Launch[]): Map<string, { first: number; last: number }> {
  const lives = new Map<string, { first: number; last: number }>();
  launches.forEach((launch, at) => {
    for (const buffer of buffersOf(launch)) {
      lives.set(buffer, { first: lives.get(buffer)?.first ?? at, last: at });
    }
  });
  return lives;
}
