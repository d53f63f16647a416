/**
 * The one process that decides and writes: workers ask it over the wire, and hear nothing that is not on the
 * disk.
 *
 *   questions --> Conductor --> events --> store --(one write, one fdatasync)--> answers of all of them
 *
 * All questions that came while the disk was busy share the next write. When the disk refuses, nobody is
 * answered any more, `over` rejects, and workers wait for whoever opens the study again.
 */
import { randomBytes } from "node:crypto";
import { unreachable } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import { UserError } from "../base/error.ts";
import type { Content, Packet } from "../wire/codec.ts";
import { openPublisher, openResponder, openSubscriber, type Publisher } from "../wire/socket.ts";
import { Conductor } from "./conductor.ts";
import { coordinatorSecurity, type StudyKeys } from "./keys.ts";
import { contentOf, isUnderstood, PORTS, senderOf, type Line, type Order, type Question, type Reply,
  type StudyStatus, type WorkerStatus } from "./protocol.ts";
import type { StudyStore } from "./study-journal.ts";
import type { StudyView } from "./study.ts";
import type { Search } from "./suggester.ts";

export interface CoordinatorOptions {
  readonly store: StudyStore;
  readonly search: Search;
  readonly clock: Clock;
  /** 127.0.0.1 unless others are to reach it, for which it needs keys. */
  readonly host?: string;
  /** The first of five. */
  readonly port: number;
  readonly keys?: StudyKeys | null;
  readonly beatMs?: number;
  /** Of silence until a trial is given to somebody else. */
  readonly leaseMs?: number;
  /** At most so many workers are wanted. */
  readonly workersMax: number;
  /** A worker that had nothing to do for so long, and will not have, is sent home. */
  readonly idleMs?: number;
  /** Told in a sentence. */
  readonly say?: (text: string) => void;
}
export interface Coordinator extends AsyncDisposable {
  readonly study: StudyView & { readonly finishedCount: number; readonly isOver: boolean };
  /** tcp://HOST:PORT, for workers. */
  readonly address: string;
  /** Resolves when every trial is finished; rejects when the study cannot go on. */
  readonly over: Promise<void>;
  /** How many workers have something to do, up to the most: what an engine should place. */
  readonly wanted: number;
  /** An engine says that the worker has ended. */
  gone(worker: string, why: string): void;
  cancel(trial: number, reason: string): boolean;
  status(): StudyStatus;
  /** Workers checkpoint and give their trials back; at most 4 s. */
  stop(): Promise<void>;
}

/** Engines tell who has ended; six beats are for who is only busy, and would be run twice. */
const BEAT_MS = 5_000, LEASE_BEATS = 6, IDLE_MS = 30_000;
/** A question for work is held for so long, ms. */
const HOLD_MS = 5_000;
/** Workers that are remembered for `status`; who was silent longest is forgotten. */
const WORKERS_MAX = 4_096;
const STOP_MS = 4_000, STOP_POLL_MS = 20;

interface Waiter { readonly settle: (reply: Reply) => void; readonly timer: NodeJS.Timeout }

/** Throws UserError for ports in use, or a host that needs keys. */
export async function startCoordinator(options: CoordinatorOptions): Promise<Coordinator> {
  const { host = "127.0.0.1", port, keys = null, store, clock, say = () => undefined } = options;
  const desk = new Desk(options);
  const link = { sender: senderOf(store.study.terms.name), onTrouble: ({ code, text }: {
    code: string; text: string }) => { if (code === "refused") say(text); },
    security: keys === null ? null : coordinatorSecurity(keys) };
  const at = (offset: number): string => `tcp://${host}:${port + offset}`;
  const answer = (question: Packet): Content | Promise<Content> => {
    const reply = desk.answer(question.meta as Question);
    return reply instanceof Promise ? reply.then((later) => contentOf(later, clock.now()))
      : contentOf(reply, clock.now());
  };
  const opened: { close: (lingerMs?: number) => void }[] = [];
  try {
    const { beats, questions, status, control, lines } = PORTS;
    // Questions last: who is answered there finds the others.
    for (const offset of [beats, status]) {
      opened.push(await openResponder({ ...link, address: at(offset), answer }));
    }
    opened.push(desk.control = await openPublisher({ ...link, address: at(control) }));
    opened.push(await openSubscriber({ ...link, addresses: [at(lines)], isBound: true, topics: [""],
      hear: ({ meta }) => { desk.hear(meta as Line); } }));
    opened.push(await openResponder({ ...link, address: at(questions), answer }));
  } catch (error) {
    for (const { close } of opened) close(0);
    throw explainBind(error, port);
  }
  desk.close = () => { for (const { close } of opened) close(); };
  desk.begin();
  return {
    study: store.study, address: at(0), over: desk.over.promise,
    get wanted() { return desk.wanted; },
    gone: (worker, why) => { desk.gone(worker, why); },
    cancel: (trial, reason) => desk.cancel(trial, reason),
    status: () => desk.status(),
    stop: () => desk.stop(),
    [Symbol.asyncDispose]: () => desk.stop(),
  };
}

/** What the wire says of an address, in words of a study. */
function explainBind(error: unknown, port: number): unknown {
  const { code } = ((error as Error).cause ?? {}) as NodeJS.ErrnoException;
  if (!(error instanceof UserError) || code === undefined) return error;
  return new UserError(error.problem, code === "EADDRINUSE"
    ? `if another study runs there, give this one other ports: DMN_TUNE_PORT_BASE=${port + 10} dmn tune ...`
    : "name an address of this machine: --host", { cause: error });
}

class Desk {
  readonly #options: CoordinatorOptions;
  readonly #conductor: Conductor;
  readonly over = Promise.withResolvers<void>();
  control: Publisher | null = null;
  close: () => void = () => undefined;
  readonly #beatMs: number;
  readonly #leaseMs: number;
  /** By worker, in the order in which they asked. */
  readonly #waiters = new Map<string, Waiter>();
  /** Since when a worker has had nothing to do. */
  readonly #idleSince = new Map<string, number>();
  readonly #workers = new Map<string, { heardAt: number; cpuSeconds: number; memoryBytes: number }>();
  /** Answers that wait for the disk. */
  #unsaid: (() => void)[] = [];
  #isCommitting = false;
  #isClosed = false;
  #isStopping = false;
  #checks: NodeJS.Timeout | undefined;
  #checkedAt: number;

  constructor(options: CoordinatorOptions) {
    const { store, search, clock, beatMs = BEAT_MS, leaseMs = LEASE_BEATS * beatMs } = options;
    this.#options = options;
    this.#beatMs = beatMs;
    this.#leaseMs = leaseMs;
    this.#checkedAt = clock.now();
    this.#conductor = new Conductor({ study: store.study, search, leaseMs,
      newToken: () => randomBytes(4).readUInt32LE(),
      record: (event) => { store.record(event); } }, clock.now());
    // Whoever waits for it hears it; nobody has to.
    this.over.promise.catch(() => undefined);
  }

  begin(): void {
    this.#checks = setInterval(() => { this.#guard(() => { this.#check(); }); }, this.#leaseMs / 4);
    this.#settleIfOver();
  }

  /** What goes wrong here is the study's end for this process, and no worker's fault. */
  #guard<T>(work: () => T): T | undefined {
    if (this.#isClosed) return undefined;
    try { return work(); } catch (error) {
      this.#shut();
      this.over.reject(error);
      return undefined;
    }
  }

  #shut(): void {
    this.#isClosed = true;
    clearInterval(this.#checks);
    for (const { timer } of this.#waiters.values()) clearTimeout(timer);
    this.close();
  }

  answer(question: Question): Reply | Promise<Reply> {
    const refusal = this.#refusal(question);
    if (refusal !== null) return refusal;
    const { clock } = this.#options, now = clock.now();
    if (question.worker !== "") this.#hearOf(question.worker, now);
    const reply = this.#guard(() => this.#carryOut(question, now));
    // Nobody hears of what did not happen: who asks will ask our successor.
    return reply ?? new Promise<Reply>(() => undefined);
  }

  #refusal(question: Question): Reply | null {
    const { store: { study: { terms } }, keys = null } = this.#options;
    const refused = (problem: string, hint: string): Reply => ({ reply: "refused", problem, hint });
    if (!isUnderstood(question, terms.objectives.length)) {
      return refused("the coordinator does not understand this worker", "give both the same version of dmn");
    }
    if (keys !== null && question.secret !== keys.secret) {
      return refused(`wrong token for the study "${terms.name}"`,
        "give it the study's: DMN_TUNE_KEYS=join.keys, as `dmn tune status` says");
    }
    if (question.study !== terms.name) {
      return refused(`this coordinator runs the study "${terms.name}", not "${question.study}"`,
        `use the address of "${question.study}", or: --study ${terms.name}`);
    }
    if (question.ask === "hello" && question.version !== terms.version) {
      return refused(
        `the worker is of version ${question.version}, the study "${terms.name}" of ${terms.version}`,
        "install on the worker what the coordinator has (dmn, dataset), then start it again");
    }
    return null;
  }

  #carryOut(question: Question, now: number): Reply | Promise<Reply> {
    const { store: { study } } = this.#options;
    switch (question.ask) {
      case "hello":
        return { reply: "welcome", terms: study.terms, beatMs: this.#beatMs };
      case "work": return this.#work(question.worker, now);
      case "report": {
        const goesOn = this.#conductor.report(question.of, question.step, question.values, now);
        return this.#durable({ reply: "decided", goesOn });
      }
      case "tell": {
        const isKnown = this.#conductor.tell(question.end, now);
        this.#serve(now);
        return this.#durable({ reply: "taken", isKnown });
      }
      case "beat": {
        const isYours = question.of === null || this.#conductor.beat(question.of, now);
        return this.#durable({ reply: "beat", isYours, isStopping: this.#isStopping });
      }
      case "status": return { reply: "status", status: this.status() };
      case "cancel": {
        const isDone = this.cancel(question.trial, question.reason);
        return this.#durable({ reply: "done", isDone });
      }
      case "stop":
        void this.stop();
        return { reply: "done", isDone: true };
      default: return unreachable(question);
    }
  }

  /** Held until there is a trial for this worker, or HOLD_MS have passed. */
  #work(worker: string, now: number): Promise<Reply> {
    const { promise, resolve } = Promise.withResolvers<Reply>();
    this.#release(worker, { reply: "wait" });
    if (!this.#idleSince.has(worker)) this.#idleSince.set(worker, now);
    const timer = setTimeout(() => { this.#release(worker, this.#unanswered(worker)); }, HOLD_MS);
    this.#waiters.set(worker, { settle: resolve, timer });
    this.#serve(now);
    return promise;
  }

  #release(worker: string, reply: Reply): void {
    const waiter = this.#waiters.get(worker);
    if (waiter === undefined) return;
    clearTimeout(waiter.timer);
    this.#waiters.delete(worker);
    waiter.settle(reply);
  }

  /** Whoever has nothing to do, and will have nothing unless somebody is lost, goes home after a while. */
  #unanswered(worker: string): Reply {
    const { store: { study }, clock, idleMs = IDLE_MS } = this.#options;
    const isSurplus = study.count >= study.terms.trials && study.waiting.size === 0;
    const since = this.#idleSince.get(worker) ?? clock.now();
    return { reply: isSurplus && clock.now() - since >= idleMs ? "over" : "wait" };
  }

  /** Gives those who wait what there is. */
  #serve(now: number): void {
    const { store: { study } } = this.#options;
    for (const worker of this.#waiters.keys()) {
      if (study.isOver) { this.#release(worker, { reply: "over" }); continue; }
      if (this.#isStopping) return;
      const work = this.#conductor.ask(worker, now);
      if (work === null) return;
      const { settle, timer } = this.#waiters.get(worker)!;
      clearTimeout(timer);
      this.#waiters.delete(worker);
      this.#idleSince.delete(worker);
      void this.#durable({ reply: "work", work }).then(settle);
    }
  }

  /** The reply, when all that happened so far is on the disk. */
  #durable(reply: Reply): Promise<Reply> {
    const { promise, resolve } = Promise.withResolvers<Reply>();
    this.#unsaid.push(() => { resolve(reply); });
    this.#commitSoon();
    return promise;
  }

  #commitSoon(): void {
    if (this.#isCommitting) return;
    this.#isCommitting = true;
    // After all that has arrived by now.
    setImmediate(() => {
      this.#isCommitting = false;
      this.#guard(() => { this.#commit(); });
    });
  }

  #commit(): void {
    this.#options.store.commit();
    const unsaid = this.#unsaid;
    this.#unsaid = [];
    for (const settle of unsaid) settle();
    this.#settleIfOver();
  }

  #settleIfOver(): void {
    const { store, clock } = this.#options;
    if (!store.study.isOver) return;
    this.#serve(clock.now());
    this.over.resolve();
  }

  /** Gives up the silent; who was frozen itself cannot tell who else was. */
  #check(): void {
    const { clock, say = () => undefined } = this.#options, now = clock.now();
    const isLate = now - this.#checkedAt > this.#leaseMs / 2;
    this.#checkedAt = now;
    if (isLate) {
      for (const lease of this.#conductor.leases.all()) this.#conductor.leases.renew(lease, now);
      return;
    }
    const expired = this.#conductor.expire(now);
    for (const { worker, trial } of expired) {
      say(`${worker} was not heard of: trial ${trial} is given to another`);
    }
    if (expired.length > 0) this.#changed(now);
  }

  #changed(now: number): void {
    this.#serve(now);
    this.#commitSoon();
  }

  #hearOf(worker: string, now: number): void {
    const known = this.#workers.get(worker) ?? { heardAt: 0, cpuSeconds: 0, memoryBytes: 0 };
    known.heardAt = now;
    // The last one is who was heard of last.
    this.#workers.delete(worker);
    this.#workers.set(worker, known);
    if (this.#workers.size <= WORKERS_MAX) return;
    const silent = this.#workers.keys().next().value!;
    this.#workers.delete(silent);
    this.#idleSince.delete(silent);
  }

  hear(line: Line): void {
    if ("text" in line) { this.#options.say?.(`${line.worker}: ${line.text}`); return; }
    const known = this.#workers.get(line.worker);
    if (known === undefined) return;
    known.cpuSeconds = line.cpuSeconds;
    known.memoryBytes = line.memoryBytes;
  }

  get wanted(): number {
    const { store: { study }, workersMax } = this.#options;
    if (study.isOver || this.#isStopping || this.#isClosed) return 0;
    return Math.min(workersMax, this.#conductor.waiting + this.#conductor.leases.count);
  }

  gone(worker: string, why: string): void {
    this.#guard(() => {
      const { clock, say = () => undefined } = this.#options, now = clock.now();
      this.#release(worker, { reply: "wait" });
      this.#idleSince.delete(worker);
      this.#workers.delete(worker);
      const lease = this.#conductor.gone(worker, why, now);
      if (lease === null) return;
      say(`${worker} has ended (${why}): trial ${lease.trial} waits for another`);
      this.#changed(now);
    });
  }

  cancel(trial: number, reason: string): boolean {
    return this.#guard(() => {
      const { clock } = this.#options, now = clock.now(), lease = this.#conductor.leases.ofTrial(trial);
      const isDone = this.#conductor.cancel(trial, reason, now);
      if (lease !== null) {
        const { attempt, token, worker } = lease;
        this.#order({ order: "drop", of: { trial, attempt, token, worker } });
      }
      if (isDone) this.#changed(now);
      return isDone;
    }) ?? false;
  }

  #order(order: Order): void { this.control?.say(order.order, contentOf(order, this.#options.clock.now())); }

  status(): StudyStatus {
    const { store: { study } } = this.#options, { leases } = this.#conductor;
    const workers = Array.from(this.#workers, ([worker, heard]): WorkerStatus => {
      const lease = leases.ofWorker(worker);
      return { worker, ...heard, trial: lease?.trial ?? null, attempt: lease?.attempt ?? 0,
        step: lease === null ? 0 : study.lastStepOf(lease.trial) };
    });
    return { name: study.terms.name, trials: study.terms.trials, count: study.count,
      finished: study.finishedCount, counts: { ...study.counts }, waiting: this.#conductor.waiting,
      leased: leases.count, wanted: this.wanted, isOver: study.isOver, workers };
  }

  async stop(): Promise<void> {
    const { clock, store } = this.#options;
    if (this.#isClosed) return;
    this.#isStopping = true;
    this.#order({ order: "stop" });
    for (const worker of this.#waiters.keys()) {
      this.#release(worker, { reply: store.study.isOver ? "over" : "wait" });
    }
    const until = clock.now() + STOP_MS;
    while (this.#conductor.leases.count > 0 && clock.now() < until) await clock.sleep(STOP_POLL_MS);
    this.#guard(() => { this.#commit(); });
    if (!this.#isClosed) this.#shut();
    if (!store.study.isOver) {
      this.over.reject(new UserError(`the study "${store.study.terms.name}" was stopped`,
        `go on with it: dmn tune --resume --name ${store.study.terms.name}`));
    }
  }
}
