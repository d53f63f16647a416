/**
 * The recorder's hands: encodes what was heard, hands it to the writer's thread, and says what became of
 * it. At most QUEUE_ROWS rows (or QUEUE_BYTES) wait for the disk; what comes beyond is dropped, counted and
 * said: a slow disk costs history, never trading.
 */
import { systemClock, type Clock } from "../../base/clock.ts";
import { UserError } from "../../base/error.ts";
import { explainWrite } from "../../base/file.ts";
import type { Log } from "../../base/log.ts";
import { dayOf, formatDay } from "../../base/units.ts";
import { takeLock } from "../../base/writer-lock.ts";
import type { Persist, RecorderOutcome } from "../actors/recorder.ts";
import type { Rim } from "../actor.ts";
import type { Session } from "../session.ts";
import { encodeRecord } from "./journal.ts";
import { encodeSpoken } from "./packet.ts";
import { livePlaces } from "./places.ts";
import { RETENTION, type Retention } from "./retention.ts";
import { startWriter, type Writer, type WriterTask, type WriterWord } from "./writer.ts";

export const QUEUE_ROWS = 50_000, QUEUE_BYTES = 1 << 27;
/** Longest wait for what is on its way to the disk when the process stops, ms. */
const STOP_MS = 3000;

export interface RecorderRimOptions {
  readonly root: string;
  readonly session: Session;
  /** The session's. */
  readonly clock: Clock;
  /** The machine's: journals lie under the day on which they were written. */
  readonly machine?: Clock;
  readonly log: Log;
  readonly retention?: Retention;
  /** Stands in for writer.ts in tests. */
  readonly start?: typeof startWriter;
}
interface RecorderRim extends Rim<Persist, RecorderOutcome> { isIdle(): boolean }

/** `start` rejects with UserError when another recorder writes here, or the folder cannot be written. */
export function openRecorderRim(options: RecorderRimOptions): RecorderRim {
  const { root, session, clock, log, machine = systemClock, retention = RETENTION } = options;
  const waiting: { batch: number; rows: number; bytes: number }[] = [];
  let writer: Writer | null = null, lock: Disposable | null = null;
  let rows = 0, bytes = 0, isStuck = false, idle = (): void => {};
  let push: (outcome: RecorderOutcome) => void = () => {};

  function hear(word: WriterWord): void {
    if (word.word === "stuck") {
      isStuck = true;
      log.warn({ reason: word.reason }, "recording waits for the disk");
      push({ kind: "stuck", reason: word.reason });
    }
    if (word.word !== "written") return;
    const done = waiting.shift();
    if (done === undefined) return;
    rows -= done.rows;
    bytes -= done.bytes;
    push({ kind: "persisted", batch: done.batch, refused: word.refused, wasStuck: isStuck });
    isStuck = false;
    if (waiting.length === 0) idle();
  }

  async function start(task: WriterTask): Promise<readonly string[]> {
    const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>();
    writer = (options.start ?? startWriter)(task, (word) => {
      if (word.word === "ready") resolve(word.found);
      else if (word.word === "refused") reject(new UserError(word.problem, word.hint));
      else if (word.word === "closed") idle();
      else hear(word);
    }, (error) => {
      // A thread that died writes no more: the process ends and the supervisor starts it anew.
      reject(error);
      push({ kind: "died", reason: error.message });
    });
    return promise;
  }

  return {
    async start(listen) {
      push = listen;
      try {
        lock = takeLock(livePlaces.lock(root), "the recordings of live trading");
        const found = await start({ root, session, retention, startedAt: clock.now(),
          day: formatDay(dayOf(machine.now())) });
        for (const text of found) log.warn(text);
        listen({ kind: "recovered", found });
      } catch (error) {
        lock?.[Symbol.dispose]();
        throw explainWrite(livePlaces.live(root), error);
      }
    },
    carryOut({ batch, heard, rows: made }) {
      const records = Buffer.concat(heard.map(({ message, heardAt }) =>
        encodeRecord(heardAt, encodeSpoken(message))));
      const size = Math.max(made.length, heard.length);
      if (rows + size > QUEUE_ROWS || bytes + records.length > QUEUE_BYTES) {
        push({ kind: "dropped", batch, rows: made.length, messages: heard.length });
        return;
      }
      waiting.push({ batch, rows: size, bytes: records.length });
      rows += size;
      bytes += records.length;
      const own = new Uint8Array(records);
      writer?.post({ batch: { day: formatDay(dayOf(machine.now())), records: own, rows: made } });
    },
    isIdle: () => waiting.length === 0,
    async stop() {
      if (writer !== null) {
        const ended = new Promise<void>((resolve) => { idle = resolve; });
        writer.post({ close: true });
        const patience = new AbortController();
        await Promise.race([ended, clock.sleep(STOP_MS, patience.signal).catch(() => {})]);
        patience.abort();
        if (waiting.length > 0) log.warn({ batches: waiting.length }, "not everything reached the disk");
        await writer.end();
      }
      lock?.[Symbol.dispose]();
    },
  };
}
