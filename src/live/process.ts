/**
 * What surrounds the actors of one process.
 *
 *   sockets ── heard ──> desks (an actor each, in order) ── said ──┬─> sockets, desks of the same process
 *   ticks, orders of the supervisor ─^            ^                └─> effects ──> rims
 *                                                 └── outcomes ────────────────────┘
 *
 *   starting   sockets open; hearers come; rims recover
 *   running    heartbeats each 500 ms to the supervisor and the monitor
 *   stopped    actors hear `stop`, rims come to rest, all is closed: within 1 s
 *
 * It ends in that order too when its supervisor dies, and at once, with a sentence and a code, on a bug.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { ExitCode, messageOf, UserError } from "../base/error.ts";
import type { Log } from "../base/log.ts";
import { monotonicNs } from "../wire/codec.ts";
import type { Meters } from "../wire/meter.ts";
import type { Security } from "../wire/security.ts";
import { Bus, type Heard } from "./bus.ts";
import { Desk, type Letter } from "./desk.ts";
import type { Hosted } from "./hosted.ts";
import { BAR_FLAGS, isSpoken, type AlertFact, type ControlCommand, type Kind, type Spoken,
} from "./message.ts";
import type { Order, Parent } from "./parent.ts";
import type { Session } from "./session.ts";
import type { SessionClock } from "./session-clock.ts";
import type { TickToOrder } from "./tick-to-order.ts";
import { seatOf, type Place } from "./topology.ts";

export const HEARTBEAT_MS = 500;
const TICK_MS = 100, METERS_MS = 2_000;
/** An orderly end: for actors and rims to come to rest, then for rims to close, ms. */
const REST_MS = 700, CLOSE_MS = 200, POLL_MS = 5;
/** Kinds whose `at` is the market's time. */
const TIMED: ReadonlySet<string> =
  new Set(["market", "quote", "features", "prediction", "mixture", "decision",
  "target"]);
/** What hops and work are called in meters; others are called after their actors. */
const HOP_NAMES: Readonly<Record<string, string>> = {
  "market features": "market: feed -> features",
  "features model": "features: features -> model", "prediction decision": "prediction: model -> decision",
  "target execution": "target: decision -> execution",
};
const WORK_NAMES: Readonly<Record<string, string>> = {
  feed: "ingestion", features: "feature engineering", portfolio: "risk", performance: "monitoring",
};

export interface ProcessOptions {
  readonly session: Session;
  readonly place: Place;
  readonly clock: SessionClock;
  readonly hosted: readonly Hosted[];
  /** What runs here besides actors: the simulator's server, the dashboard. */
  readonly services?: readonly { start(): Promise<void>; stop(): Promise<void> }[];
  readonly parent: Parent | null;
  readonly security: Security | null;
  readonly meters: Meters;
  /** Of the process that sends orders. */
  readonly tickToOrder?: TickToOrder;
  readonly log: Log;
}

const isHistory = (message: { readonly kind: string; readonly flags?: Uint8Array }): boolean =>
  message.flags?.[0] === BAR_FLAGS.history;
const LOCAL = { sentNs: 0, hop: "", bytes: 0, plainBytes: 0 } as const;

export class LiveProcess {
  readonly #options: ProcessOptions;
  readonly #desks: readonly Desk[];
  readonly #byKind = new Map<string, readonly Desk[]>();
  readonly #isVital: boolean;
  readonly #started = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<number>();
  readonly #stopping = new AbortController();
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #delay = monitorEventLoopDelay({ resolution: 10 });
  /** When each worker was last asked: with a GPU a process has several. */
  readonly #inferringNs = new Map<Desk, number>();
  #bus: Bus | null = null;
  #state: "starting" | "running" | "stopped" = "starting";
  #cpu = process.cpuUsage();
  #beatNs = monotonicNs();
  /** Of the newest command or bar that an actor with a rim works on. */
  #originNs = 0;

  constructor(options: ProcessOptions) {
    this.#options = options;
    this.#isVital = seatOf(options.place.role).isVital;
    this.#desks = options.hosted.map((hosted) => this.#deskOf(hosted));
    for (const kind of new Set(options.hosted.flatMap(({ hears }) => hears))) {
      this.#byKind.set(kind, this.#desks.filter((desk) => desk.hosted.hears.includes(kind)));
    }
  }

  /** Runs until it is told to stop, its supervisor dies, or a bug ends it; answers the exit code. */
  async run(): Promise<number> {
    const { parent, place, log } = this.#options;
    parent?.listen((order) => { this.#obey(order); }, () => { void this.stop("the supervisor is gone"); });
    process.on("SIGTERM", () => { void this.stop("asked to end"); });
    // Ctrl-C reaches the whole terminal: the supervisor decides what it means.
    process.on("SIGINT", () => {});
    process.on("uncaughtException", (error) => { this.fail(error); });
    this.#delay.enable();
    this.#every(HEARTBEAT_MS, () => { this.#beat(); });
    try { await this.#start(); } catch (error) { this.fail(error); }
    if (this.#state === "running") log.info({ pid: process.pid }, `${place.name} is running`);
    return this.#ended.promise;
  }

  async #start(): Promise<void> {
    const { session, place, services = [], security, clock } = this.#options;
    for (const service of services) await service.start();
    this.#bus = await Bus.open({ session, place, security,
      wanted: [...new Set(this.#desks.flatMap(({ hosted }) => hosted.hears))] as Kind[],
      // What is heard waits in the sockets until the rims have said what they recovered.
      hear: (heard) => this.#state === "starting" ? this.#started.promise.then(() => this.#hear(heard))
        : this.#hear(heard),
      command: async (heard) => { await this.#started.promise; await this.#takeCommand(heard); },
      trouble: (code, text) => { this.#trouble(code, text); } });
    // Told to stop meanwhile: what has just been opened is nobody's.
    if (this.#stopping.signal.aborted) { this.#bus.close(); return; }
    await this.#bus.ready(this.#stopping.signal);
    for (const desk of this.#desks) {
      if (this.#stopping.signal.aborted) return;
      await desk.hosted.start((outcome) => { this.#takeOutcome(desk, outcome); });
    }
    if (this.#state !== "starting") return;
    this.#state = "running";
    this.#started.resolve();
    this.#every(TICK_MS, () => { for (const desk of this.#desks) desk.tick(clock.now()); });
    this.#every(METERS_MS, () => { this.#tellMeters(); });
    this.#beat();
  }

  #every(periodMs: number, act: () => void): void { this.#timers.push(setInterval(act, periodMs)); }

  #deskOf(hosted: Hosted): Desk {
    const { meters, clock } = this.#options;
    const work = meters.of(WORK_NAMES[hosted.name] ?? hosted.name);
    const desk: Desk = new Desk({ hosted, now: () => clock.now(),
      begin: ({ sentNs, hop, bytes, plainBytes }) => {
        const now = monotonicNs();
        if (sentNs > 0) meters.of(hop).record((now - sentNs) / 1_000, bytes, plainBytes);
        return now;
      },
      end: ({ message }, begunNs) => {
        if (message.kind !== "tick" && !isHistory(message)) work.record((monotonicNs() - begunNs) / 1_000);
      },
      route: (said, letter) => {
        for (const one of said) this.#route(desk, one as { kind: string }, letter);
      },
      fail: (error) => { this.fail(error); } });
    return desk;
  }

  #hear({ message, sentNs, originNs, bytes, plainBytes }: Heard): void | Promise<void> {
    if (TIMED.has(message.kind)) this.#options.clock.hear(message.at);
    const { role } = this.#options.place, { kind } = message;
    const hop = HOP_NAMES[`${kind} ${role}`] ?? `${kind} -> ${role}`;
    // History comes as fast as it can be read: how long it queues is no latency of trading.
    const sent = isHistory(message) ? 0 : sentNs;
    let room: Promise<void> | undefined;
    for (const desk of this.#byKind.get(message.kind) ?? []) {
      room = desk.push({ message, originNs, sentNs: sent, hop, bytes, plainBytes }) ?? room;
    }
    return room;
  }

  #takeCommand({ message, sentNs, originNs, bytes, plainBytes }: Heard): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (TIMED.has(message.kind)) this.#options.clock.hear(message.at);
    const desks = this.#byKind.get(message.kind) ?? [];
    if (desks.length === 0) resolve();
    for (const desk of desks) {
      void desk.push({ message, originNs, sentNs, hop: HOP_NAMES["target execution"], bytes, plainBytes,
        done: resolve });
    }
    return promise;
  }

  #takeOutcome(desk: Desk, outcome: { readonly kind: string }): void {
    const now = monotonicNs();
    const begunNs = outcome.kind.endsWith("inferred") ? this.#inferringNs.get(desk) : undefined;
    if (begunNs !== undefined) {
      this.#inferringNs.delete(desk);
      this.#options.meters.of("inference").record((now - begunNs) / 1_000);
    }
    const { originNs: heardNs = now } = outcome as { readonly originNs?: number };
    const originNs = this.#options.place.role === "feed" ? heardNs : this.#originNs;
    void desk.push({ ...LOCAL, message: outcome, originNs });
  }

  #route(desk: Desk, one: { readonly kind: string }, letter: Letter): void {
    if (letter.originNs > 0) this.#originNs = letter.originNs;
    if (isSpoken(one)) { this.#say(one, letter.originNs, desk); return; }
    if (one.kind === "infer") this.#inferringNs.set(desk, monotonicNs());
    if (one.kind === "submit") this.#options.tickToOrder?.submit(this.#originNs);
    desk.hosted.carryOut(one);
  }

  #say(message: Spoken, originNs: number, from: Desk | null): void {
    const { parent, log, clock } = this.#options;
    if (message.kind === "control") { void parent?.ask(message); return; }
    if (message.kind === "alert") {
      log[message.severity === "info" ? "info" : "warn"]({ code: message.code }, message.text);
      parent?.tell({ note: "alert", fact: message });
    }
    if (TIMED.has(message.kind)) clock.hear(message.at);
    this.#bus?.say(message, originNs);
    for (const desk of this.#byKind.get(message.kind) ?? []) {
      if (desk !== from) void desk.push({ ...LOCAL, message, originNs });
    }
  }

  /** A loss that cannot be mended stops trading where it matters; the rest is told. */
  #trouble(code: string, text: string): void {
    const { place, clock, meters } = this.#options, isLoss = code === "gap-lost" || code === "dropped";
    meters.of(`trouble: ${code}`).fail();
    const fact: AlertFact = { kind: "alert", at: clock.now(), code, text, process: place.name,
      severity: isLoss && this.#isVital ? "critical" : "warning" };
    // Peers come and go at start and end, and say so themselves; who comes late asks for what it missed.
    const isPassing = ["disconnected", "unreachable", "handshake", "hearers-late"].includes(code);
    if (isPassing || this.#state === "stopped") {
      this.#options.log.info({ code }, text);
      return;
    }
    this.#say(fact, 0, null);
    if (isLoss && this.#isVital) {
      const at = clock.now(), by = place.name;
      this.#say({ kind: "control", at, action: "halt", by, subject: code, value: text }, 0, null);
    }
  }

  #obey(order: Order): void {
    if (order.order === "stop") { void this.stop("told to"); return; }
    if (order.order === "control") void this.#carryOut(order.id, order.command, order.isWaiting);
  }

  async #carryOut(id: number, command: ControlCommand, isWaiting: boolean): Promise<void> {
    await this.#control(command);
    if (isWaiting) await this.#rest(REST_MS);
    const text = isWaiting && !this.#isAtRest() ? "something is still under way" : "";
    this.#options.parent?.tell({ note: "done", id, text });
  }

  /** Resolves when every actor that hears commands has handled this one. */
  async #control(command: ControlCommand): Promise<void> {
    await Promise.all((this.#byKind.get("control") ?? []).map((desk) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      void desk.push({ ...LOCAL, message: command, originNs: 0, done: resolve });
      return promise;
    }));
  }

  #isAtRest(): boolean { return this.#desks.every((desk) => desk.isIdle && desk.hosted.isIdle()); }

  async #rest(limitMs: number): Promise<void> {
    const until = performance.now() + limitMs;
    while (!this.#isAtRest() && performance.now() < until) await this.#options.clock.sleep(POLL_MS);
  }

  /** To a safe state, then the end: within a second. */
  async stop(reason: string): Promise<void> {
    if (this.#state === "stopped") return;
    const { parent, clock, services = [], log } = this.#options, wasRunning = this.#state === "running";
    this.#state = "stopped";
    this.#stopping.abort();
    log.info({ reason }, "stopping");
    if (wasRunning) {
      const command: ControlCommand = { kind: "control", at: clock.now(), action: "stop", by: "supervisor",
        subject: reason, value: "" };
      await Promise.race([this.#control(command).then(() => this.#rest(REST_MS)), clock.sleep(REST_MS)]);
    }
    const closing = [...this.#desks.map(({ hosted }) => hosted), ...services].map((one) => one.stop());
    await Promise.race([Promise.allSettled(closing), clock.sleep(CLOSE_MS)]);
    this.#beat();
    this.#tellMeters();
    for (const timer of this.#timers) clearInterval(timer);
    this.#bus?.close();
    parent?.leave();
    this.#ended.resolve(ExitCode.ok);
  }

  /** What a person can mend is told to the supervisor; anything else is a bug. Either way this is the end. */
  fail(error: unknown): void {
    const { parent, log } = this.#options, isUsers = error instanceof UserError;
    if (isUsers) {
      log.error(messageOf(error));
      parent?.tell({ note: "refused", problem: error.problem, hint: error.hint });
    } else log.fatal({ stack: error instanceof Error ? error.stack : undefined },
      `a bug ends this process: ${messageOf(error)}`);
    for (const timer of this.#timers) clearInterval(timer);
    this.#bus?.close();
    this.#state = "stopped";
    this.#ended.resolve(isUsers ? ExitCode.user : ExitCode.bug);
  }

  #beat(): void {
    const { place, clock, parent } = this.#options, now = monotonicNs();
    const { user, system } = process.cpuUsage(this.#cpu);
    const elapsedUs = Math.max(1, (now - this.#beatNs) / 1_000);
    const handled = this.#desks.reduce((sum, desk) => sum + desk.handled, 0);
    const fact = { kind: "heartbeat", at: clock.now(), process: place.name, pid: process.pid,
      state: this.#state, handled,
      cpuShare: (user + system) / elapsedUs, memoryBytes: process.memoryUsage.rss(),
      loopDelayMs: this.#delay.max / 1e6 } as const;
    this.#cpu = process.cpuUsage();
    this.#beatNs = now;
    this.#delay.reset();
    parent?.tell({ note: "heartbeat", fact });
    this.#say(fact, 0, null);
  }

  #tellMeters(): void {
    const { place, clock, parent, meters } = this.#options, now = monotonicNs(), rows = meters.rows(now);
    if (rows.length === 0) return;
    parent?.tell({ note: "meters", rows: meters.rows(now, "start") });
    this.#say({ kind: "meter", at: clock.now(), process: place.name, rows }, 0, null);
  }
}
