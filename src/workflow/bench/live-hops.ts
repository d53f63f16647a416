/**
 * The first evidence for the process cut: what do the hops of an empty graph cost, with the real codec?
 *
 *   seven   feed > features > model > aggregator > risk > portfolio > execution     a process each, six hops
 *   five    feed > features > model > aggregator+risk+portfolio > execution         four hops
 *
 * The last hop is the acknowledged hand-over of targets. Latency counts from the *intended* send time
 * (coordinated omission: a sender that is late does not get to say so), hop latency from the hand-over to the
 * socket, so a message that waited for its predecessor is counted with its wait.
 */
import { fork, type ChildProcess } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { fileURLToPath } from "node:url";

export const CUTS = {
  seven: [["feed"], ["features"], ["model"], ["aggregator"], ["risk"], ["portfolio"], ["execution"]],
  five: [["feed"], ["features"], ["model"], ["aggregator", "risk", "portfolio"], ["execution"]],
} as const satisfies Record<string, readonly (readonly string[])[]>;
/** Messages at once, every so many milliseconds. */
export const LOADS = {
  "100/s": { everyMs: 10, atOnce: 1 },
  "900/s": { everyMs: 1 / 0.9, atOnce: 1 },
  burst: { everyMs: 100, atOnce: 50 },
} as const;
export type CutName = keyof typeof CUTS;
export type LoadName = keyof typeof LOADS;

export interface HopOptions {
  readonly cut: CutName;
  readonly transport: "tcp" | "ipc";
  readonly loads: readonly LoadName[];
  readonly seconds: number;
  /** Rows of each message, and features of each. */
  readonly instruments: number;
  readonly columns: number;
}
/** What a child is started with, ordered, and says. */
export interface Part extends Pick<HopOptions, "transport" | "instruments" | "columns"> {
  readonly roles: readonly string[];
  readonly folder: string;
}
export type Order =
  | { readonly what: "connect"; readonly upstream: string | null; readonly downstream: string | null }
  | { readonly what: "drive"; readonly load: LoadName; readonly seconds: number }
  | { readonly what: "forget" } | { readonly what: "tell" } | { readonly what: "stop" };
export type Said =
  | { readonly what: "bound"; readonly address: string | null } | { readonly what: "connected" }
  | { readonly what: "driven"; readonly messages: number } | { readonly what: "forgotten" }
  | { readonly what: "figures"; readonly figures: Figures };
/** Microseconds. */
interface Quantiles {
  readonly count: number; readonly mean: number; readonly max: number;
  readonly p50: number; readonly p99: number; readonly p999: number;
}
export interface Figures {
  readonly role: string;
  readonly heard: number;
  readonly missed: number;
  /** Into this process. */
  readonly hop: Quantiles;
  /** In this process: decode, make the next, encode, hand to the socket. */
  readonly work: Quantiles;
  /** From the intended time of the first send to here. */
  readonly end: Quantiles;
  readonly cpuMs: number;
}
export interface LoadFigures {
  readonly load: LoadName;
  readonly messages: number;
  readonly parts: readonly Figures[];
}

const SUFFIX = path.extname(import.meta.filename);
const CHILD = fileURLToPath(new URL(`./live-hops-actor${SUFFIX}`, import.meta.url));
/** Nothing here takes longer than its load and this, ms. */
const PATIENCE_MS = 20_000;

/** Starts the graph, drives it through the loads after a second of warm-up, and stops it. */
export async function measureHops(options: HopOptions): Promise<LoadFigures[]> {
  const { cut, loads, seconds } = options;
  const folder = fs.mkdtempSync(path.join(tmpdir(), "dmn-hops-"));
  const children = CUTS[cut].map((roles) => fork(CHILD, [JSON.stringify({ ...options, roles, folder })]));
  try {
    const bound = await Promise.all(children.map((child) => hear(child, "bound")));
    const connected = children.map((child) => hear(child, "connected"));
    children.forEach((child, k) => {
      const upstream = bound[k - 1]?.address ?? null, downstream = bound[k + 1]?.address ?? null;
      order(child, { what: "connect", upstream, downstream });
    });
    await Promise.all(connected);
    await driveThrough(children, "900/s", 1);
    const figures: LoadFigures[] = [];
    for (const load of loads) figures.push(await driveThrough(children, load, seconds));
    return figures;
  } finally {
    for (const child of children) child.kill("SIGKILL");
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

async function driveThrough(
  children: readonly ChildProcess[], load: LoadName, seconds: number,
): Promise<LoadFigures> {
  await askAll(children, { what: "forget" }, "forgotten");
  const driven = hear(children[0], "driven", seconds * 1_000);
  order(children[0], { what: "drive", load, seconds });
  const { messages } = await driven;
  // What is under way arrives, or is missing: no more news twice in a row.
  for (let before = -1;;) {
    const parts = (await askAll(children, { what: "tell" }, "figures")).map(({ figures }) => figures);
    // Asked a moment apart, the last may know of a message that an earlier one did not.
    const heard = Math.min(...parts.slice(1).map((part) => part.heard));
    if (heard >= messages || heard === before) return { load, messages, parts };
    before = heard;
    await new Promise((resolve) => { setTimeout(resolve, 500); });
  }
}

const order = (child: ChildProcess, what: Order): void => { child.send(what); };

async function askAll<W extends Said["what"]>(
  children: readonly ChildProcess[], question: Order, what: W,
): Promise<Extract<Said, { what: W }>[]> {
  const answers = children.map((child) => hear(child, what));
  for (const child of children) order(child, question);
  return await Promise.all(answers);
}

/** The next word of that kind; rejects when the child ends or is silent. */
async function hear<W extends Said["what"]>(
  child: ChildProcess, what: W, extraMs = 0,
): Promise<Extract<Said, { what: W }>> {
  const { promise, resolve, reject } = Promise.withResolvers<Extract<Said, { what: W }>>();
  const listen = (said: Said): void => {
    if (said.what === what) resolve(said as Extract<Said, { what: W }>);
  };
  const ended = (code: number | null): void => { reject(new Error(`a process ended with ${code}`)); };
  const patience = setTimeout(() => { reject(new Error(`no word "${what}"`)); }, PATIENCE_MS + extraMs);
  child.on("message", listen).on("exit", ended);
  try { return await promise; } finally {
    clearTimeout(patience);
    child.off("message", listen).off("exit", ended);
  }
}
