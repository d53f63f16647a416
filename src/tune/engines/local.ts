/**
 * Workers as processes of this machine.
 *
 *   FOLDER/workers/ID.json   who it is: so that a coordinator that was killed and started again finds it
 *                  ID.log    what it prints; a pipe would end with us, and the worker with it
 *
 * Workers are sessions of their own: Ctrl-C in a terminal reaches the coordinator, which has them stop in
 * order.
 */
import { spawn, type ChildProcess } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { assert } from "../../base/assert.ts";
import { messageOf, UserError } from "../../base/error.ts";
import { explainWrite, makeFolder, readTail } from "../../base/file.ts";
import { holderFrom, isRunning, type Holder } from "../../base/writer-lock.ts";
import type { Engine, PlacedWorker } from "./engine.ts";

export interface LocalOptions {
  /** The study's. */
  readonly folder: string;
  /** From SIGTERM to SIGKILL: a checkpoint takes up to 3 s. */
  readonly graceMs?: number;
}

interface Local {
  readonly id: string;
  readonly holder: Holder;
  /** Null: of a coordinator before us. */
  readonly child: ChildProcess | null;
  state: PlacedWorker["state"];
  reason: string;
}

const GRACE_MS = 6_000, POLL_MS = 50, CAPACITY = 1_024;
/** Workers whose files are kept; of more, the oldest that have ended are forgotten. */
const KEPT_MAX = 500;
const LOG_BYTES = 1 << 16;

/** Throws UserError where the folder cannot be written. */
export function localEngine({ folder, graceMs = GRACE_MS }: LocalOptions): Engine {
  const home = path.join(folder, "workers"), workers = new Map<string, Local>();
  const placeOf = (id: string, suffix: string): string => path.join(home, `${id}.${suffix}`);
  try { makeFolder(home); } catch (error) { throw explainWrite(home, error); }
  for (const found of adopt(home)) workers.set(found.id, found);

  const look = (worker: Local): Local => {
    if (worker.child === null && worker.state === "running" && !isRunning(worker.holder)) {
      // Nobody was there to be told how.
      Object.assign(worker, { state: "failed", reason: "it ended while no coordinator was there" });
    }
    return worker;
  };
  const forget = (): void => {
    for (const { id, state } of workers.values()) {
      if (workers.size <= KEPT_MAX) return;
      if (state === "running") continue;
      workers.delete(id);
      for (const suffix of ["json", "log"]) fs.rmSync(placeOf(id, suffix), { force: true });
    }
  };
  const end = async (stopped: readonly Local[]): Promise<void> => {
    for (const worker of stopped) kill(worker, "SIGTERM");
    for (let leftMs = graceMs; leftMs > 0 && stopped.some((worker) => look(worker).state === "running");) {
      await new Promise((resolve) => { setTimeout(resolve, POLL_MS); });
      leftMs -= POLL_MS;
    }
    for (const worker of stopped) if (look(worker).state === "running") kill(worker, "SIGKILL");
  };
  return {
    name: "local",
    // Nothing is counted here: who asked for so many workers knows the machine.
    capacity: () => Promise.resolve(CAPACITY),
    async submit({ id, command, environment }) {
      assert(/^[\w.-]+$/.test(id), `"${id}" names a file`);
      if (workers.has(id)) return;
      const child = await start(command, environment, placeOf(id, "log"));
      const worker: Local = { id, holder: holderFrom(child.pid!), child, state: "running", reason: "" };
      workers.set(id, worker);
      child.once("exit", (code, signal) => {
        worker.state = code === 0 ? "ended" : "failed";
        worker.reason = code === 0 ? "" : signal === null ? `ended with code ${code}` : `ended by ${signal}`;
        // Whoever comes after us need not know of it.
        fs.rmSync(placeOf(id, "json"), { force: true });
      });
      try { fs.writeFileSync(placeOf(id, "json"), JSON.stringify(worker.holder)); } catch (error) {
        kill(worker, "SIGKILL");
        throw explainWrite(home, error);
      }
      forget();
    },
    list: () => Promise.resolve(Array.from(workers.values(), (worker): PlacedWorker => {
      const { id, state, reason } = look(worker);
      return { id, state, node: null, reason };
    })),
    stop(id) {
      const worker = workers.get(id);
      if (worker === undefined || look(worker).state !== "running") return Promise.resolve(false);
      void end([worker]);
      return Promise.resolve(true);
    },
    logs: (id) => Promise.resolve(readTail(placeOf(id, "log"), LOG_BYTES)),
    [Symbol.asyncDispose]: () =>
      end([...workers.values()].filter((worker) => look(worker).state === "running")),
  };
}

/** Workers that a coordinator before us has left, alive or not. */
function adopt(home: string): Local[] {
  return fs.readdirSync(home).filter((name) => name.endsWith(".json")).sort().flatMap((name): Local[] => {
    try {
      const holder = JSON.parse(fs.readFileSync(path.join(home, name), "utf8")) as Holder;
      return [{ id: name.slice(0, -".json".length), holder, child: null, state: "running", reason: "" }];
    } catch { return []; }
  });
}

async function start(command: readonly string[], environment: Readonly<Record<string, string>>, log: string):
Promise<ChildProcess> {
  const descriptor = fs.openSync(log, "a");
  try {
    const [program, ...words] = command;
    const child = spawn(program, words, { detached: true, stdio: ["ignore", descriptor, descriptor],
      env: { ...process.env, ...environment } });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    child.once("spawn", resolve);
    child.once("error", (error) => {
      reject(new UserError(`a worker cannot be started: ${messageOf(error)}`,
        "free some memory or processes, or ask for fewer: --workers N", { cause: error }));
    });
    await promise;
    child.unref();
    return child;
  } finally { fs.closeSync(descriptor); }
}

/** SIGKILL ends what the worker has started, too; it is the leader of a group. */
function kill({ holder }: Local, signal: "SIGTERM" | "SIGKILL"): void {
  if (!isRunning(holder)) return;
  const isGroup = signal === "SIGKILL" && process.platform !== "win32";
  try { process.kill(isGroup ? -holder.pid : holder.pid, signal); } catch { /* it has just ended */ }
}
