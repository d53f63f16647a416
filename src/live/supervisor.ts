/**
 * Starts the processes of a session, watches them, starts again what dies, and stops all of it.
 *
 *   spawn ──> starting ──> running ──(exit, or 3 heartbeats missed: SIGKILL)──> backoff ──> spawn
 *                                                     │ more than restartsMax times, or it refuses
 *                                                     v
 *                                              trading is HALTED, and says so
 *
 * Decisions stay with execution: what is told here (halt, resume, ...) is handed on and acknowledged.
 */
import type { ChildProcess } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import type { Clock } from "../base/clock.ts";
import { UserError } from "../base/error.ts";
import type { ControlAnswer } from "./control.ts";
import type { AlertFact, ControlCommand, HeartbeatFact, MeterRow } from "./message.ts";
import type { Note, Order } from "./parent.ts";
import { HEARTBEAT_MS } from "./process.ts";
import type { Session } from "./session.ts";
import { BACKOFF } from "../wire/backoff.ts";
import { placesOf, seatOf, type Place, type Role } from "./topology.ts";

/** Heartbeats that may be missed. */
const MISSED_MAX = 3;
/** A heartbeat's allowance for our own timer's lateness, and how much of that is remembered at each check. */
const LATE_FACTOR = 8, LATE_KEPT = 0.8;
const CHECK_MS = 200, START_MS = 60_000;
/** A process that has run this long has its restarts forgiven, ms. */
const STEADY_MS = 60_000;
/** One Ctrl-C reaches a supervisor and its children within this, ms. */
const SAME_PRESS_MS = 500;
const ANSWER_MS = 2_000;
/**
 * Stages of an orderly stop and their limits, ms: deciding ends first, then what it rests on, then trading.
 */
const STAGES: readonly (readonly [readonly Role[], number])[] = [
  [["feed", "decision"], 300], [["features", "model", "meta"], 250], [["execution"], 800],
  [["recorder", "monitor"], 400], [["simulator"], 150],
];
/** They take in history at the start; and they place no orders: an emergency ends them at once. */
const THINKERS: readonly Role[] = ["feed", "features", "model", "meta", "decision"];

interface Child {
  readonly place: Place;
  process: ChildProcess | null;
  state: "starting" | "running" | "stopped";
  spawnedMs: number;
  /** Real ms of its last heartbeat. */
  beatMs: number;
  heartbeat: HeartbeatFact | null;
  meters: readonly MeterRow[];
  restarts: number;
  /** Of the present run of bad luck. */
  tries: number;
  isOver: boolean;
}

export interface ProcessStatus {
  readonly name: string;
  readonly pid: number | null;
  readonly state: "starting" | "running" | "stopped";
  readonly restarts: number;
  readonly cpuShare: number;
  readonly memoryBytes: number;
  readonly loopDelayMs: number;
  readonly handled: number;
}

export interface SupervisorOptions {
  readonly session: Session;
  readonly clock: Clock;
  readonly spawn: (place: Place) => ChildProcess;
  readonly restartsMax: number;
  readonly memoryMaxBytes: number;
  /** Told in a sentence. */
  readonly say: (severity: AlertFact["severity"], text: string, fact?: AlertFact) => void;
  /** Of every start, the first and those after a death. */
  readonly running: (place: Place) => void;
  /** A person, or a process, wants something that concerns the whole run. */
  readonly asked: (command: ControlCommand) => Promise<ControlAnswer>;
}

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #children: readonly Child[];
  readonly #answers = new Map<number, (answer: ControlAnswer) => void>();
  readonly #failed = Promise.withResolvers<never>();
  #orders = 0;
  #checks: NodeJS.Timeout | undefined;
  #checkedMs = performance.now();
  /** By how much our own timer was late, of late. */
  #lateMs = 0;
  #isStopping = false;
  #wakeStart: () => void = () => {};

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#children = placesOf(options.session).map((place) => ({
      place, process: null, state: "stopped", spawnedMs: 0,
      beatMs: 0, heartbeat: null, meters: [], restarts: 0, tries: 0, isOver: false }));
    // Whoever waits for it hears it; nobody has to.
    this.#failed.promise.catch(() => {});
  }

  /** Rejects with the UserError of a process that refuses to work. */
  get failed(): Promise<never> { return this.#failed.promise; }

  /** Resolves when every process is running. */
  async start(signal: AbortSignal): Promise<void> {
    this.#checks = setInterval(() => { this.#check(); }, CHECK_MS);
    for (const child of this.#children) this.#spawn(child);
    const children = this.#children, late = AbortSignal.timeout(START_MS);
    while (children.some(({ state }) => state !== "running")) {
      signal.throwIfAborted();
      if (late.aborted) {
        const missing = children.filter(({ state }) => state !== "running").map(({ place }) => place.name);
        throw new UserError(`${missing.join(", ")} did not start within ${START_MS / 1_000} s`,
          "see logs/ for what they said");
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wakeStart = resolve;
      await Promise.race([promise, this.#failed.promise, delay(CHECK_MS)]);
    }
  }

  #spawn(child: Child): void {
    if (this.#isStopping) return;
    const spawned = this.#options.spawn(child.place);
    child.process = spawned;
    child.state = "starting";
    child.spawnedMs = child.beatMs = performance.now();
    spawned.on("message", (note) => { if (child.process === spawned) this.#hear(child, note as Note); });
    spawned.on("error", ({ message }) => {
      this.#options.say("critical", `${child.place.name}: ${message}`);
    });
    spawned.on("exit", (code, signal) => {
      if (child.process === spawned) this.#mourn(child, code, signal);
    });
  }

  #hear(child: Child, note: Note): void {
    switch (note.note) {
      case "heartbeat":
        child.beatMs = performance.now();
        child.heartbeat = note.fact;
        if (child.state !== note.fact.state) this.#turn(child, note.fact.state);
        if (note.fact.memoryBytes > this.#options.memoryMaxBytes) this.#shed(child);
        return;
      case "meters": child.meters = note.rows; return;
      case "alert":
        this.#options.say(note.fact.severity, `${child.place.name}: ${note.fact.text}`, note.fact);
        return;
      case "done": this.#answers.get(note.id)?.({ isDone: note.text === "", text: note.text }); return;
      case "control":
        void this.#options.asked(note.command).then(({ isDone, text }) => {
          this.#tell(child, { order: "answer", id: note.id, isDone, text });
        });
        return;
      case "refused":
        child.isOver = true;
        this.#failed.reject(new UserError(note.problem, note.hint));
    }
  }

  #turn(child: Child, state: Child["state"]): void {
    child.state = state;
    this.#wakeStart();
    if (state === "running") this.#options.running(child.place);
  }

  #tell(child: Child, order: Order): void {
    if (child.process?.connected === true) child.process.send(order, undefined, {}, () => {});
  }

  #mourn(child: Child, code: number | null, signal: NodeJS.Signals | null, isLate = false): void {
    const { say, restartsMax } = this.#options, { name, role } = child.place;
    child.process = null;
    child.state = "stopped";
    for (const [id, settle] of this.#answers) if (id % 1_000 === this.#indexOf(child)) settle(DIED);
    this.#wakeStart();
    if (this.#isStopping || child.isOver) return;
    // Ctrl-C reaches the whole terminal, and ends whoever still loads its code: we are about to hear it too.
    if (signal === "SIGINT" && !isLate) {
      setTimeout(() => { this.#mourn(child, code, signal, true); }, SAME_PRESS_MS);
      return;
    }
    const how = signal === null ? `ended with code ${code}` : `was ended by ${signal}`;
    if (performance.now() - child.spawnedMs > STEADY_MS) child.tries = 0;
    if (role === "simulator" || child.tries >= restartsMax) {
      const why = role === "simulator" ? "its market and its account are gone"
        : `${child.tries} restarts did not help`;
      child.isOver = true;
      say("critical", `${name} ${how}; ${why}: trading is halted`);
      void this.halt(`${name} is gone for good`);
      if (role === "simulator") {
        this.#failed.reject(new UserError(`the simulator ${how}: its market and its account are gone`,
          "see logs/trading/simulator.log, then start again: dmn live --paper"));
      }
      return;
    }
    const waitMs = BACKOFF.firstMs * BACKOFF.factor ** child.tries++;
    child.restarts++;
    say("warning", `${name} ${how}; it starts again in ${Math.round(waitMs)} ms (restart ${child.restarts})`);
    setTimeout(() => { this.#spawn(child); }, waitMs);
  }

  /** Frozen processes are ended: what holds stale positions must not wake up. */
  #check(): void {
    const now = performance.now(), lateMs = Math.max(0, now - this.#checkedMs - CHECK_MS);
    const isLate = lateMs > CHECK_MS;
    this.#checkedMs = now;
    this.#lateMs = Math.max(lateMs, this.#lateMs * LATE_KEPT);
    for (const child of this.#children) {
      // Who was frozen ourselves cannot tell who else was.
      if (isLate) { child.beatMs = Math.max(child.beatMs, now - HEARTBEAT_MS); continue; }
      // On a machine that is itself late, others may be later.
      const limitMs =
        child.state === "running" ? MISSED_MAX * HEARTBEAT_MS + LATE_FACTOR * this.#lateMs : START_MS;
      if (child.process === null || child.state === "stopped" || now - child.beatMs <= limitMs) continue;
      this.#options.say("warning",
        `${child.place.name} has been silent for ${Math.round(now - child.beatMs)} ms; `
        + "it is ended");
      child.beatMs = now;
      child.process.kill("SIGKILL");
    }
  }

  #shed(child: Child): void {
    if (child.state !== "running" || this.#isStopping) return;
    const MiB = 1 << 20, { memoryMaxBytes, say } = this.#options;
    say("warning",
      `${child.place.name} holds ${Math.round(child.heartbeat!.memoryBytes / MiB)} MiB, more than `
      + `${Math.round(memoryMaxBytes / MiB)} (live.memoryMaxMiB); it starts anew`);
    child.state = "stopped";
    this.#tell(child, { order: "stop" });
    setTimeout(() => { child.process?.kill("SIGKILL"); }, 1_000).unref();
  }

  #indexOf(child: Child): number { return this.#children.indexOf(child); }

  /** Resolves when nobody has anything left to do: history has been taken in. At most `limitMs`. */
  async quiet(limitMs: number, signal: AbortSignal): Promise<void> {
    const handled = (roles: readonly Role[]): number[] =>
      this.#of(roles).map(({ heartbeat }) => heartbeat?.handled ?? 0);
    const until = performance.now() + limitMs;
    for (let before = ""; performance.now() < until;) {
      await delay(2 * HEARTBEAT_MS, undefined, { signal });
      const now = handled(THINKERS).join();
      if (now === before && !handled(["feed", "features", "model"]).includes(0)) return;
      before = now;
    }
  }

  /** Hands a command to a process; the answer is what came of it there. */
  async order(name: string, command: ControlCommand, isWaiting = false): Promise<ControlAnswer> {
    const child = this.#children.find(({ place }) => place.name === name);
    if (child === undefined) return { isDone: false, text: `there is no process "${name}"` };
    if (child.process === null) return { isDone: false, text: `${name} is not running` };
    // The process is part of the number, so that its death answers what it was asked.
    const id = ++this.#orders * 1_000 + this.#indexOf(child);
    const { promise, resolve } = Promise.withResolvers<ControlAnswer>();
    const timer = setTimeout(() => { resolve({ isDone: false, text: `${name} did not answer` }); },
      ANSWER_MS);
    this.#answers.set(id, resolve);
    this.#tell(child, { order: "control", id, command, isWaiting });
    try { return await promise; } finally { clearTimeout(timer); this.#answers.delete(id); }
  }

  async halt(reason: string): Promise<ControlAnswer> {
    return this.order("execution", { kind: "control", at: this.#options.clock.now(), action: "halt",
      by: "supervisor", subject: reason, value: "" });
  }

  /** Ends all processes in order; resolves when none is left, within 2 s. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    clearInterval(this.#checks);
    for (const [roles, limitMs] of STAGES) await this.#end(this.#of(roles), limitMs);
  }

  /**
   * Cancels, refuses, persists, ends: who cannot place orders is killed at once, execution is asked to cancel
   * all and waits until each cancel is acknowledged. `cancelMs`: until then; `isDone` false: not all were.
   */
  async emergencyStop(command: ControlCommand): Promise<ControlAnswer & { readonly cancelMs: number }> {
    const begunMs = performance.now();
    this.#isStopping = true;
    clearInterval(this.#checks);
    const cancelled = this.order("execution", command, true);
    for (const { process: spawned } of this.#of(THINKERS)) spawned?.kill("SIGKILL");
    const answer = await cancelled, cancelMs = performance.now() - begunMs;
    await this.#end(this.#of(["execution", "recorder", "monitor"]), 150);
    await this.#end(this.#children, 0);
    return { ...answer, cancelMs };
  }

  #of(roles: readonly Role[]): Child[] {
    return this.#children.filter(({ place }) => roles.includes(place.role));
  }

  async #end(children: readonly Child[], limitMs: number): Promise<void> {
    const alive = children.filter((child) => child.process !== null);
    const ends = Promise.all(alive.map(async ({ process: spawned }) => {
      if (spawned!.exitCode !== null || spawned!.signalCode !== null) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      spawned!.once("exit", () => { resolve(); });
      await promise;
    }));
    if (limitMs > 0) {
      for (const child of alive) {
        // Who still loads its code hears nothing and has nothing to put in order.
        if (child.state === "starting") child.process?.kill("SIGKILL");
        else this.#tell(child, { order: "stop" });
      }
      await Promise.race([ends, delay(limitMs)]);
    }
    for (const child of alive) child.process?.kill("SIGKILL");
    await ends;
  }

  status(): ProcessStatus[] {
    return this.#children.map(({ place, process: spawned, state, restarts, heartbeat }) => ({
      name: place.name,
      pid: spawned?.pid ?? null, state, restarts, cpuShare: heartbeat?.cpuShare ?? 0,
      memoryBytes: heartbeat?.memoryBytes ?? 0, loopDelayMs: heartbeat?.loopDelayMs ?? 0,
      handled: heartbeat?.handled ?? 0 }));
  }

  /** Latest meters of all processes; rows of one name are told apart by nobody. */
  meters(): MeterRow[] { return this.#children.flatMap(({ meters }) => meters); }
  isVital(name: string): boolean {
    const child = this.#children.find(({ place }) => place.name === name);
    return child !== undefined && seatOf(child.place.role).isVital;
  }
}

const DIED: ControlAnswer = { isDone: false, text: "the process died before it answered" };
