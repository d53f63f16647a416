/**
 * One writer per dataset: a lock file that names its process; the lock of a dead process is taken
 * over.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { UserError } from "../base/error.ts";
import { explainWrite } from "../base/file.ts";

/** Locks of this very process, so that a recycled process id is not mistaken for it. */
const held = new Set<string>();

/** Takes the lock or throws UserError naming the process that has it. Dispose to release. */
export function takeLock(place: string, what: string): Disposable {
  try {
    fs.mkdirSync(path.dirname(place), { recursive: true });
    for (let tries = 0; tries < 3; tries++) {
      if (tryLock(place)) {
        held.add(place);
        return {
          [Symbol.dispose]() { if (held.delete(place)) fs.rmSync(place, { force: true }); },
        };
      }
      const holder = readHolder(place);
      if (holder !== null && isAlive(holder, place)) throw busy(what, holder.pid);
      // Moved aside, not removed: of two processes that find it dead, one moves it and the other
      // finds nothing.
      moveAside(place);
    }
    throw busy(what, null);
  } catch (error) { throw explainWrite(place, error); }
}

interface Holder {
  readonly pid: number;
  /** When the process was started, in the kernel's words; null where that is not known. */
  readonly started: string | null;
}

/** Creates the lock with its content in one step: written beside, then linked. */
function tryLock(place: string): boolean {
  const draft = `${place}.${process.pid}.tmp`;
  const holder: Holder = { pid: process.pid, started: startOf(process.pid) };
  fs.writeFileSync(draft, JSON.stringify(holder));
  try {
    fs.linkSync(draft, place);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally { fs.rmSync(draft, { force: true }); }
}

function readHolder(place: string): Holder | null {
  try { return JSON.parse(fs.readFileSync(place, "utf8")) as Holder; } catch { return null; }
}

function moveAside(place: string): void {
  const aside = `${place}.dead.${process.pid}.tmp`;
  try { fs.renameSync(place, aside); } catch { return; }
  fs.rmSync(aside, { force: true });
}

function isAlive(holder: Holder, place: string): boolean {
  if (holder.pid === process.pid) return held.has(place);
  try { process.kill(holder.pid, 0); } catch (error) {
    // Somebody else's process: alive.
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  return holder.started === null || startOf(holder.pid) === holder.started;
}

/**
 * Linux tells when a process began (field 22 of /proc/PID/stat): a recycled id has another start.
 */
function startOf(pid: number): string | null {
  try {
    const text = fs.readFileSync(`/proc/${pid}/stat`, "utf8");
    return text.slice(text.lastIndexOf(")") + 2).split(" ")[19] ?? null;
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
