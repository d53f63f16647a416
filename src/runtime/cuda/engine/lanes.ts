/**
 * Which models may run side by side. A persistent kernel's blocks wait for each other, so all of them must
 * be on the GPU at once; two such kernels that are both half there would wait for ever (until they trap).
 *
 *   together   model a  ──■■■──■■■──     every model has its own stream: all blocks of all persistent kernels
 *              model b  ──■■──■■──■■     fit on the GPU at once
 *   in turn    shared   ──■■■─■■─■■■     models with persistent kernels share one stream; others keep
 *              model c  ──□──□──□──□     their own: kernels that wait for nobody end, and leave
 *
 * Fitting is counted only where it can be: kernels without clusters against multiprocessors, and kernels of
 * one cluster size against the clusters of that size that run at once. Blocks of different cluster sizes may
 * split the GPU in a way that leaves room for neither, so those take turns.
 */
import type { DeviceFacts, Launch, LaunchList } from "../launch.ts";

/** The most blocks that one launch of a model needs at once, in clusters of this size (1: none). */
export interface Demand {
  readonly cluster: number;
  readonly blocks: number;
}

/** What a list's launches need at once; empty: nothing waits for anything. */
export function demandsOf({ launches }: LaunchList): Demand[] {
  const most = new Map<number, number>();
  for (const { grid, cluster = 1 } of launches.filter(isPersistent)) {
    most.set(cluster, Math.max(most.get(cluster) ?? 0, grid[0] * grid[1] * grid[2]));
  }
  return [...most].map(([cluster, blocks]) => ({ cluster, blocks }));
}

const isPersistent = ({ isCooperative }: Launch): boolean => isCooperative === true;

/** Whether models with these needs (each one's largest launches) can all be on the GPU at once. */
export function canShare(models: readonly (readonly Demand[])[], device: DeviceFacts): boolean {
  const persistent = models.filter((demands) => demands.length > 0);
  if (persistent.length < 2) return true;
  const all = persistent.flat(), [{ cluster }] = all;
  if (all.some((demand) => demand.cluster !== cluster)) return false;
  const clusters = all.reduce((sum, { blocks }) => sum + blocks / cluster, 0);
  const room = cluster === 1 ? device.multiprocessors
    : device.activeClusters[cluster as keyof DeviceFacts["activeClusters"]] ?? 0;
  return clusters <= room;
}
