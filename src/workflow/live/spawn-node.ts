/** A process of the graph: node.ts with a name, its log file, its priority and, if asked for, its cores. */
import { spawn, type ChildProcess } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { fileURLToPath } from "node:url";
import { places } from "../../base/data-root.ts";
import { explainWrite, makeFolder } from "../../base/file.ts";
import type { LiveConsent } from "../../live/brokers/alpaca-hosts.ts";
import { seatOf, type Place } from "../../live/topology.ts";

export interface SpawnOptions {
  readonly root: string;
  /** "execution=1,feed=0"; null: anywhere. */
  readonly cores: string | null;
  readonly consent: LiveConsent | null;
}

/**
 * MiB of V8's young generation, of which a process holds three: 2 instead of 16 take a graph of eleven from
 * 1.7 to 1.3 GiB and cost no time that could be measured. Nor has each thread of its pool an own heap of
 * malloc's.
 */
const YOUNG_MIB = 2, ARENAS = "2";
const isBuilt = path.extname(import.meta.filename);
const NODE = fileURLToPath(new URL(`./node${isBuilt}`, import.meta.url));

/** What it prints goes to its log, its words to us over Node's channel. UserError where no log can be. */
export function spawnNode(place: Place, { root, cores, consent }: SpawnOptions): ChildProcess {
  const { log: kind, nice } = seatOf(place.role);
  const file = path.join(places.logs(root, kind), `${place.name}.log`);
  let log: number;
  try {
    makeFolder(path.dirname(file));
    log = fs.openSync(file, "a");
  } catch (error) { throw explainWrite(file, error); }
  const env = { NODE_COMPILE_CACHE: path.join(places.storage(root), "cache"), MALLOC_ARENA_MAX: ARENAS,
    ...process.env,
    ...(consent === null ? {} : { DMN_LIVE_CONSENT: consent.typed }) };
  const child = spawn(process.execPath, [`--max-semi-space-size=${YOUNG_MIB}`, NODE, place.name, root],
    { stdio: ["ignore", log, log, "ipc"], serialization: "advanced", env });
  fs.closeSync(log);
  if (child.pid !== undefined) settle(child.pid, nice, coresOf(cores, place.name));
  return child;
}

/** Before it has made its threads, which inherit both. Where we are not allowed to, all are alike. */
function settle(pid: number, nice: number, cores: string | null): void {
  try { os.setPriority(pid, nice); } catch { /* Not allowed, or it has ended already. */ }
  if (cores === null) return;
  // Only Linux has it, and not everywhere.
  spawn("taskset", ["-acp", cores, String(pid)], { stdio: "ignore" }).on("error", () => {});
}

/** "execution=1,feed=0-1;2": the list of one process, "0-1,2"; null: none was said. */
export function coresOf(text: string | null, name: string): string | null {
  const rows = (text ?? "").split(",").map((row) => /^([a-z0-9-]+)=([\d\-;]+)$/.exec(row.trim()));
  return rows.find((row) => row?.[1] === name)?.[2].replaceAll(";", ",") ?? null;
}
