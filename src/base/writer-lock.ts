/** One writer per dataset, study, ...: a lock file that names its process. A dead process's is taken over. */
import * as fs from "node:fs";
import * as path from "node:path";
import { UserError } from "./error.ts";
import { explainWrite, makeFolder, TEMPORARY } from "./file.ts";

/** Locks of this very process, so that a recycled process id is not mistaken for it. */
const held = new Set<string>();

/** Takes the lock or throws UserError naming the process that has it. Dispose to release. */
export function takeLock(place: string, what: string): Disposable {
  try {
    makeFolder(path.dirname(place));
    for (let tries = 0; tries < 3; tries++) {
      if (tryLock(place)) {
        held.add(place);
        sweep(path.dirname(place));
        return {
          [Symbol.dispose]() { if (held.delete(place)) fs.rmSync(place, { force: true }); },
        };
      }
      const found = readText(place);
      if (found === null) continue;
      const holder = holderOf(found);
      if (holder !== null && isAlive(holder, place)) throw busy(what, holder.pid);
      removeDead(place, found);
    }
    throw busy(what, null);
  } catch (error) { throw explainWrite(place, error); }
}

/** A process that another one of ours may ask about later, though ids are used again. */
export interface Holder {
  readonly pid: number;
  /** When the process was started, in the kernel's words; null where that is not known. */
  readonly started: string | null;
}

/** Creates the lock with its content in one step: written beside, then linked. */
function tryLock(place: string): boolean {
  const draft = `${place}.${process.pid}${TEMPORARY}`;
  const holder = holderFrom(process.pid);
  fs.writeFileSync(draft, JSON.stringify(holder));
  try {
    fs.linkSync(draft, place);
    return true;
  } catch (error) {
    // ENOENT: whoever has the lock has just swept our draft away.
    const { code = "" } = error as NodeJS.ErrnoException;
    if (code === "EEXIST" || code === "ENOENT") return false;
    throw error;
  } finally { fs.rmSync(draft, { force: true }); }
}

/** The folder is the holder's: what killed processes left unfinished in it goes. */
function sweep(folder: string): void {
  for (const name of fs.readdirSync(folder)) {
    if (name.endsWith(TEMPORARY)) fs.rmSync(path.join(folder, name), { force: true });
  }
}

/** Null when there is none (any more). */
function readText(place: string): string | null {
  try { return fs.readFileSync(place, "utf8"); } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

/** Null for a text that names nobody: the lock of no process. */
function holderOf(text: string): Holder | null {
  try { return JSON.parse(text) as Holder; } catch { return null; }
}

/**
 * Removes the lock that was found dead, and no other: since it was read, another process may have
 * taken it over, whose lock then stands at this place. So it is moved aside, read again, and put
 * back when it is not the one.
 */
function removeDead(place: string, dead: string): void {
  const aside = `${place}.dead.${process.pid}${TEMPORARY}`;
  try { fs.renameSync(place, aside); } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  try {
    if (readText(aside) !== dead) fs.linkSync(aside, place);
  } finally { fs.rmSync(aside, { force: true }); }
}

function isAlive(holder: Holder, place: string): boolean {
  return holder.pid === process.pid ? held.has(place) : isRunning(holder);
}

/** Of a process that runs now. */
export const holderFrom = (pid: number): Holder => ({ pid, started: fieldsOf(pid)?.[START] ?? null });

/** Does it still run? Another process under its id does not count, where the system tells. */
export function isRunning(holder: Holder): boolean {
  try { process.kill(holder.pid, 0); } catch (error) {
    // Somebody else's process: alive.
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  const fields = fieldsOf(holder.pid);
  // A zombie has ended: its parent has not asked yet, and one that has taken it over may never ask.
  if (fields !== null && /^[ZX]/.test(fields[0])) return false;
  return holder.started === null || (fields?.[START] ?? null) === holder.started;
}

/** Where Linux says when a process began: a recycled id has another start. */
const START = 19;

/** /proc/PID/stat from its third field on, the state; null where there is none. */
function fieldsOf(pid: number): string[] | null {
  try {
    const text = fs.readFileSync(`/proc/${pid}/stat`, "utf8");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch { return null; }
}

function busy(what: string, pid: number | null): UserError {
  const who = pid === null ? "another process" : pid === process.pid ? "this process already"
    : `process ${pid}`;
  return new UserError(`${who} is writing ${what}`,
    pid === null || pid === process.pid
      ? "wait until it has finished, then run the same command again"
      : `wait until it has finished, or stop it (kill ${pid}), then run the same command again`);
}
