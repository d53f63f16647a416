/** A recorder to be killed: batches of 50 fills without end, the number of each acknowledged one on stdout. */
import { FakeClock, systemClock } from "../src/base/clock.ts";
import { openLog } from "../src/base/log.ts";
import { rowsOf, startRows } from "../src/live/recorder/rows.ts";
import { openRecorderRim } from "../src/live/recorder/rim.ts";
import { fill, makeSession, OPEN } from "./monitor-facts.ts";

const session = makeSession(), state = startRows(session);
const rim = openRecorderRim({ root: process.argv[2], session, clock: systemClock, log: openLog("silent"),
  machine: new FakeClock(OPEN) });
let next = 0;
function persist(): void {
  const batch = next++;
  const heard = Array.from({ length: 50 }, (_, k) => {
    const number = 50 * batch + k;
    return { heardAt: OPEN + number, message: fill(OPEN + number, { executionId: `x-${number}` }) };
  });
  rim.carryOut({ kind: "persist", batch, heard, rows: heard.flatMap(({ message }) => rowsOf(state, message)) });
}
await rim.start((outcome) => {
  if (outcome.kind !== "persisted") return;
  process.stdout.write(`${outcome.batch}\n`);
  persist();
});
for (let k = 0; k < 4; k++) persist();
