/**
 * What outlives a process, in memory: its disk; and rims for which time stands still.
 *
 *   execution's rim ──> MemoryDisk (fills up, blocks, as told) ──recovered──> the next life's rim
 *   model's rim ──infer──> the strategy: no time passes until it has answered
 */
import { UserError } from "../../base/error.ts";
import type { Rim } from "../../live/actor.ts";
import type { JournalRecord } from "../../live/execution/effect.ts";
import type { IntentJournal } from "../../live/execution/intent-journal.ts";
import type { Host, Kinded } from "./memory-process.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** The intent journal, as it is on the disk. */
export class MemoryDisk {
  /** Everything ever written, with its moment: a shortened journal forgets nothing here. */
  readonly log: { readonly elapsedMs: number; readonly record: JournalRecord }[] = [];
  isFull = false;
  /** Told of each durable write: a slow disk blocks whoever writes. */
  onDurable: () => void = () => {};
  #records: JournalRecord[] = [];
  readonly #time: VirtualTime;

  constructor(time: VirtualTime) { this.#time = time; }

  open(): IntentJournal {
    return {
      recovered: [...this.#records], tornBytes: 0,
      append: (records, isDurable) => {
        this.#refuseWhenFull();
        for (const record of records) {
          this.#records.push(record);
          this.log.push({ elapsedMs: this.#time.elapsedMs, record });
        }
        if (isDurable) this.onDurable();
      },
      replace: (records) => {
        this.#refuseWhenFull();
        this.#records = [...records];
      },
      [Symbol.dispose]: () => {},
    };
  }

  #refuseWhenFull(): void {
    if (this.isFull) throw new UserError("the disk is full; nothing was half written", "free some space");
  }
}

/** A rim that answers each effect by a promise, for which time stands still. */
export function heldRim<Effect extends Kinded, Outcome>(time: VirtualTime, host: Host,
  answer: (effect: Effect) => Promise<Outcome>, delayMs = 0): Rim<Effect, Outcome> {
  let push: (outcome: Outcome) => void = () => {};
  return {
    start(give) { push = give; return Promise.resolve(); },
    carryOut(effect) {
      time.hold(answer(effect).then((outcome) => {
        if (delayMs === 0) push(outcome); else host.after(delayMs, () => { push(outcome); });
      }));
    },
    stop: () => Promise.resolve(),
  };
}
