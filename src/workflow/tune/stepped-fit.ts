/**
 * A fit that stops after each epoch until it is told to go on, so that a trial can bring its parts
 * forward together, judge them, and end them half-way.
 *
 *   next() ──> fit ... epoch ... store.save(checkpoint) ──> { checkpoint }     waits there
 *   next() ──> fit ... epoch ... its end                ──> { checkpoint, result }
 *
 * Checkpoints are written when `keep` is called, not each epoch; when the signal aborts, at once.
 */
import type { Checkpoint, CheckpointStore } from "../../train/checkpoint.ts";
import { fit, type FitOptions, type FitResult } from "../../train/fit.ts";

export interface Stepped {
  /** After its newest epoch. */
  readonly checkpoint: Checkpoint;
  /** Null while it is not over. */
  readonly result: FitResult | null;
}
export interface SteppedFit {
  /** One epoch more; throws what `fit` throws. */
  next(): Promise<Stepped>;
  /** Writes the newest checkpoint. */
  keep(): Promise<void>;
  /** Ends it and frees what it holds. */
  stop(): Promise<void>;
}

class Stopped extends Error {}

export function steppedFit(options: FitOptions & { readonly store: CheckpointStore }): SteppedFit {
  const { store: files } = options;
  let newest: Checkpoint | null = null, ended: Promise<FitResult> | null = null;
  let epoch = Promise.withResolvers<null>(), goOn = Promise.withResolvers<void>();
  const store: CheckpointStore = {
    notes: files.notes,
    newest: () => files.newest(),
    load(identity) { return newest = files.load(identity); },
    async save(checkpoint) {
      if (options.signal?.aborted === true) { await files.save(checkpoint); return; }
      newest = checkpoint;
      epoch.resolve(null);
      await goOn.promise;
    },
  };
  return {
    async next() {
      epoch = Promise.withResolvers();
      if (ended === null) ended = fit({ ...options, store });
      else {
        const held = goOn;
        goOn = Promise.withResolvers();
        held.resolve();
      }
      const result = await Promise.race([epoch.promise, ended]);
      return { checkpoint: newest!, result };
    },
    async keep() { if (newest !== null) await files.save(newest); },
    async stop() {
      goOn.reject(new Stopped());
      // Nobody may be waiting there.
      goOn.promise.catch(() => {});
      await ended?.catch(() => {});
    },
  };
}
