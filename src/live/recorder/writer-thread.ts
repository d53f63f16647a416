/** The thread of writer.ts. */
import { parentPort, workerData } from "node:worker_threads";
import { assert } from "../../base/assert.ts";
import { systemClock } from "../../base/clock.ts";
import { messageOf, UserError } from "../../base/error.ts";
import { explainWrite } from "../../base/file.ts";
import { livePlaces } from "./places.ts";
import { Storage, type Batch } from "./storage.ts";
import type { WriterOrder, WriterTask, WriterWord } from "./writer.ts";

/** Wait before a batch that could not be written is tried again, ms: doubled up to the second. */
const RETRY_MS = 200, RETRY_MS_MAX = 5000;

const port = parentPort;
assert(port !== null, "this file is a thread of writer.ts");
const say = (word: WriterWord): void => { port.postMessage(word); };
const queue: WriterOrder[] = [];
let isRunning = false, isClosing = false;

/** The system's refusals name the file that they are about; SQLite's do not. */
const explain = (error: unknown): unknown => explainWrite((error as { path?: string }).path
  ?? livePlaces.database((workerData as WriterTask).root, "trading_history"), error);

function open(task: WriterTask): Storage | null {
  try { return new Storage({ ...task, wallNow: () => systemClock.now() }); } catch (error) {
    const known = explain(error);
    if (!(known instanceof UserError)) throw error;
    say({ word: "refused", problem: known.problem, hint: known.hint });
    return null;
  }
}

async function write(storage: Storage, batch: Batch): Promise<void> {
  for (let tries = 0; ; tries++) {
    try { storage.write(batch); break; } catch (error) {
      const known = explain(error);
      const reason = known instanceof UserError ? known.problem : messageOf(error);
      if (tries === 0) say({ word: "stuck", reason });
      if (isClosing) return;
      await systemClock.sleep(Math.min(RETRY_MS * 2 ** tries, RETRY_MS_MAX));
    }
  }
  say({ word: "written", refused: storage.refused });
}

const storage = open(workerData as WriterTask);
if (storage !== null) {
  say({ word: "ready", found: storage.found });
  const run = async (): Promise<void> => {
    isRunning = true;
    for (let order; (order = queue.shift()) !== undefined;) {
      if ("batch" in order) { await write(storage, order.batch); continue; }
      storage[Symbol.dispose]();
      say({ word: "closed" });
      port.close();
    }
    isRunning = false;
  };
  port.on("message", (order: WriterOrder) => {
    if ("close" in order) isClosing = true;
    queue.push(order);
    if (!isRunning) void run();
  });
}
