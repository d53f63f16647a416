/** The other process of `dmn bench tune`: opens a study, or coordinates one until it is killed. */
import { unreachable } from "../../base/assert.ts";
import { systemClock } from "../../base/clock.ts";
import { UserError } from "../../base/error.ts";
import { Conductor } from "../../tune/conductor.ts";
import { startCoordinator, type Coordinator } from "../../tune/coordinator.ts";
import { searchOf } from "../../tune/search.ts";
import { openStudy } from "../../tune/study-journal.ts";
import type { ChildQuestion, Coordinating, Opened } from "./tune-study.ts";

/** Where a free block of five ports is looked for, and how often. */
const PORT_FIRST = 21_000, PORTS = 5, TRIES = 200;

/** Memory that is held: objects and buffers, without what is garbage. */
function heldBytes(): number {
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function open(folder: string): Opened {
  const before = heldBytes(), start = performance.now();
  const store = openStudy({ folder, at: 0 });
  const seconds = (performance.now() - start) / 1_000, memoryBytes = heldBytes() - before;
  const again = performance.now();
  const conductor = new Conductor({ study: store.study, search: searchOf(store.study.begun), leaseMs: 1_000,
    newToken: () => 1, record: (event) => { store.study.apply(event); } }, 0);
  conductor.ask("worker", 0);
  return { seconds, memoryBytes, firstSeconds: (performance.now() - again) / 1_000 };
}

async function coordinate(folder: string): Promise<Coordinating> {
  const store = openStudy({ folder, at: systemClock.now() }), search = searchOf(store.study.begun);
  for (let k = 0; ; k++) {
    try {
      const port = PORT_FIRST + PORTS * ((process.pid + k) % 4_000);
      const coordinator: Coordinator = await startCoordinator({ store, search, clock: systemClock, port,
        workersMax: 64 });
      return { address: coordinator.address };
    } catch (error) {
      if (!(error instanceof UserError) || k === TRIES) throw error;
    }
  }
}

// Nobody is left to answer.
process.once("disconnect", () => { process.exit(); });
process.once("message", (question: ChildQuestion) => {
  const answer = (value: Opened | Coordinating): void => { process.send!(value); };
  switch (question.ask) {
    case "open": answer(open(question.folder)); return;
    case "coordinate": void coordinate(question.folder).then(answer); return;
    default: unreachable(question);
  }
});
