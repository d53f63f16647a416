/**
 * A worker's end of the wire: questions that outlive a coordinator, beats, and what is heard in between.
 */
import { systemClock } from "../base/clock.ts";
import { UserError } from "../base/error.ts";
import { openPublisher, openRequester, openSubscriber, type Trouble } from "../wire/socket.ts";
import type { Attempted } from "./conductor.ts";
import { workerSecurity } from "./keys.ts";
import { addressOf, contentOf, PORTS, senderOf, type Credentials, type Order, type Question,
  type Reply } from "./protocol.ts";
import type { WorkerOptions } from "./worker.ts";

/** Of silence until a worker ends itself, ms. */
const PATIENCE_MS = 600_000;
const DEADLINE_MS = 5_000, RETRY_MS = 1_000, PAUSE_MS = 100;

export class Stopped extends Error { override readonly name = "Stopped"; }

type Body<Q> = Q extends unknown ? Omit<Q, keyof Credentials> : never;

export interface Line extends AsyncDisposable {
  readonly worker: string;
  /** Aborts when the worker or the whole study is to stop. */
  readonly stopping: AbortSignal;
  running: { readonly of: Attempted; readonly drop: () => void } | null;
  /**
   * Asks until it is answered, also by a coordinator that was started again. Null: `until` aborted first
   * (`stopping` if it is not said). Throws UserError for a refusal, and after `patienceMs` of silence.
   */
  ask(question: Body<Question>, deadlineMs?: number, until?: AbortSignal): Promise<Reply | null>;
  beatEvery(beatMs: number): void;
  log(text: string): void;
}

export async function connect(options: WorkerOptions): Promise<Line> {
  const { address, study, worker, keys = null, signal, patienceMs = PATIENCE_MS } = options;
  const { deadlineMs: questionMs = DEADLINE_MS } = options;
  const { clock = systemClock, say: tell = () => undefined, warn = tell } = options;
  const credentials: Credentials = { study, worker, secret: keys?.secret ?? "" };
  const stopping = new AbortController(), refused = new AbortController();
  let timer: NodeJS.Timeout | undefined, heardAt = clock.now(), isIn = false, isSilent = false;
  const stop = (why: string): void => { stopping.abort(new Stopped(why)); };
  if (signal.aborted) stop("the worker was stopped");
  signal.addEventListener("abort", () => { stop("the worker was stopped"); }, { once: true });
  const link = { sender: senderOf(worker), security: keys === null ? null : workerSecurity(keys),
    onTrouble: ({ code, text }: Trouble): void => {
      if (code === "unreachable") tell(text);
      // Of a coordinator that dies in the middle of it, too: whoever was let in once will be again.
      if (code !== "handshake" || isIn) return;
      refused.abort(new UserError(
        `the coordinator at ${address} does not take this worker's keys (${text})`,
        "give it the study's: DMN_TUNE_KEYS=join.keys, as `dmn tune status` says"));
    } };
  const at = (offset: number): string => addressOf(address, offset);
  /** Once for each silence, which may last for minutes. */
  const hearNothing = (): void => {
    if (isSilent) return;
    isSilent = true;
    warn(`no coordinator answers at ${address}; trying on for ${Math.ceil(patienceMs / 1_000)} s`);
  };
  const hearAnything = (): void => {
    if (isSilent) warn(`the coordinator at ${address} answers`);
    isSilent = false;
  };
  const questions = await openRequester({ ...link, address });
  const beats = await openRequester({ ...link, address: at(PORTS.beats) });
  const lines = await openPublisher({ ...link, address: at(PORTS.lines), isBound: false });
  const line = {
    worker, stopping: stopping.signal, running: null as Line["running"],
    async ask(question: Body<Question>, deadlineMs = questionMs, until = stopping.signal):
    Promise<Reply | null> {
      const begun = clock.now();
      while (!until.aborted) {
        const leftMs = Math.max(1, patienceMs - (clock.now() - begun));
        const asked = questions.ask(contentOf({ ...credentials, ...question }, clock.now()),
          { deadlineMs: Math.min(deadlineMs, leftMs), retryMs: RETRY_MS });
        const answer = await orAborted(asked, [until, refused.signal]);
        refused.signal.throwIfAborted();
        if (answer === null) return null;
        if (answer.outcome === "answered") {
          const reply = answer.packet.meta as Reply;
          if (reply.reply === "refused") throw new UserError(reply.problem, reply.hint);
          isIn = true;
          hearAnything();
          return reply;
        }
        if (clock.now() - begun >= patienceMs) throw silent(address, clock.now() - begun, study);
        hearNothing();
        await clock.sleep(PAUSE_MS);
      }
      return null;
    },
    beatEvery(beatMs: number): void {
      heardAt = clock.now();
      timer = setInterval(() => { void beat(beatMs); }, beatMs);
    },
    log(text: string): void {
      tell(text);
      lines.say("line", contentOf({ worker, text }, clock.now()));
    },
    [Symbol.asyncDispose](): Promise<void> {
      clearInterval(timer);
      for (const socket of [questions, beats, lines, control]) socket.close();
      return Promise.resolve();
    },
  };
  const heard = (order: Order): void => {
    if (order.order === "stop") stop("the study was stopped");
    else if (order.of.token === line.running?.of.token) line.running.drop();
  };
  const control = await openSubscriber({ ...link, addresses: [at(PORTS.control)], topics: [""],
    hear: ({ meta }) => { heard(meta as Order); } });
  /** While the coordinator is silent the trial goes on: its result finds whoever is there then. */
  const beat = async (beatMs: number): Promise<void> => {
    const of = line.running?.of ?? null;
    lines.say("metrics", contentOf({ worker, memoryBytes: process.memoryUsage.rss(),
      cpuSeconds: process.cpuUsage().user / 1e6 + process.cpuUsage().system / 1e6 }, clock.now()));
    const answer = await beats.ask(contentOf({ ...credentials, ask: "beat", of }, clock.now()),
      { deadlineMs: beatMs, retryMs: beatMs / 2 });
    if (answer.outcome !== "answered") {
      if (clock.now() - heardAt >= patienceMs) stop("the coordinator is gone");
      return;
    }
    heardAt = clock.now();
    const reply = answer.packet.meta as Reply;
    if (reply.reply !== "beat") return;
    if (reply.isStopping) stop("the study was stopped");
    if (!reply.isYours && line.running?.of.token === of?.token) line.running?.drop();
  };
  return line;
}

/** Null: one of them aborted first. Leaves nothing behind: signals live as long as the worker. */
async function orAborted<T>(promise: Promise<T>, signals: readonly AbortSignal[]): Promise<T | null> {
  const aborted = Promise.withResolvers<null>(), hear = (): void => { aborted.resolve(null); };
  for (const signal of signals) {
    if (signal.aborted) return null;
    signal.addEventListener("abort", hear);
  }
  try { return await Promise.race([promise, aborted.promise]); } finally {
    for (const signal of signals) signal.removeEventListener("abort", hear);
  }
}

const silent = (address: string, ms: number, study: string): UserError => new UserError(
  `the coordinator at ${address} has not answered for ${Math.round(ms / 1_000)} s`,
  `is it running? dmn tune --resume --name ${study} starts it again, and places new workers`);
