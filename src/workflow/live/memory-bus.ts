/**
 * The process graph in one process: the same actors as live, joined by memory instead of sockets, under a
 * seeded virtual clock. What sockets and machines do wrong is done here on purpose, by seed:
 *
 *     process A                                    process B
 *     actor ──said──> fact     ──delay, lost, twice──> inbox ──> actor ──effect──> rim ──outcome──┐
 *                     command  ──delay, until handled─> inbox      ^                              │
 *                                                                  └──────────────────────────────┘
 *
 *   facts      in order per sender; a lost one is seen by the next one's number (or the next heartbeat's)
 *              and asked for; a hearer that starts is told what it has missed: prices and features as
 *              history but for the newest, and the last word on account, state and mixture
 *   commands   never lost while both ends live; may come twice when the receiver dies while handling one
 *   kill       actors and inbox are gone, rims are cut off in mid-air; started again later
 *   freeze     nothing is handled, nothing lost (SIGSTOP, a long pause)
 */
import { AssertionError } from "../../base/assert.ts";
import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/error.ts";
import { random, type Random } from "../../base/random.ts";
import { timeMs } from "../../base/units.ts";
import { isSpoken, type Fact, type Kind, type Spoken, type Tick } from "../../live/message.ts";
import { asHistory, hears, retain, type Entry, type Host, type Kinded, type LiveProcess, type Member,
  type MemoryProcess, type Weather } from "./memory-process.ts";
import type { VirtualTime } from "./virtual-time.ts";

export interface BusOptions {
  readonly time: VirtualTime;
  readonly seed: number;
  readonly weather: Weather;
  /** How often time is told to actors, ms; null: never. */
  readonly tickMs: number | null;
  /** Whoever starts later is told what was said before; off saves its memory. */
  readonly isRetaining: boolean;
  /** From the death of a process to its next start, ms. */
  readonly restartMs: number;
  /** Everything said, effects and outcomes of rims included. */
  readonly onEntry?: (entry: Entry) => void;
}

/** A lost fact is noticed by the next heartbeat at the latest. */
const NOTICE_MS = 500;
const COMMANDS_MAX = 64, RETRY_MS = 100, RETRIES_MAX = 600;
/** After so many deaths by its own fault a process stays down. */
const CRASHES_MAX = 5;

/** Facts from one life of a process to one life of another. */
interface Link {
  readonly life: number;
  arrivalMs: number;
  expected: number;
  isAsking: boolean;
  /** By number. */
  readonly sent: Fact[];
}

interface Queue { readonly commands: Spoken[]; isBusy: boolean }

export class MemoryBus {
  readonly time: VirtualTime;
  readonly #options: BusOptions;
  readonly #draw: Random;
  #now: Weather;
  readonly #processes = new Map<string, LiveProcess>();
  readonly #links = new Map<string, Link>();
  readonly #queues = new Map<string, Queue>();
  /** Facts lost, and those that a hearer has asked for and got. */
  lost = 0;
  refilled = 0;

  constructor(options: BusOptions) {
    this.#options = options;
    this.time = options.time;
    this.#now = options.weather;
    this.#draw = random(options.seed, "memory bus", "weather");
  }

  /** Adds a process; it starts now. */
  add(definition: MemoryProcess): void {
    const process: LiveProcess = {
      name: definition.name, definition, life: 0, isAlive: false, awakeMs: 0, skewMs: 0, crashes: 0,
        members: [],
      inbox: [], isPumping: false, abort: new AbortController(), told: [], lastWord: new Map(),
    };
    this.#processes.set(definition.name, process);
    this.#start(process);
  }

  /** From now on. */
  set weather(weather: Weather) { this.#now = weather; }
  names(): string[] { return [...this.#processes.keys()]; }
  isAlive(name: string): boolean { return this.#of(name).isAlive; }

  /** The actors of a process as they are now, for looking at. */
  members(name: string): readonly Member[] { return this.#of(name).members; }

  /** kill -9. It comes back after `restartMs`, unless told not to. */
  kill(name: string, isRestarted = true): void {
    const process = this.#of(name);
    if (!process.isAlive) return;
    this.#end(process, "killed", "");
    if (isRestarted) this.time.after(this.#options.restartMs, () => { this.#start(process); });
  }

  /** SIGSTOP and, later, SIGCONT. */
  freeze(name: string, durationMs: number): void {
    const process = this.#of(name);
    process.awakeMs = Math.max(process.awakeMs, this.time.elapsedMs + durationMs);
    this.#note(process, "frozen", null, `${durationMs} ms`);
    this.time.at(process.awakeMs, () => this.#pump(process));
  }

  /** Its clock jumps. */
  stepClock(name: string, byMs: number): void { this.#of(name).skewMs += byMs; }

  /** All clocks show so much more than the time that has passed. */
  setClocks(skewMs: number): void { for (const process of this.#processes.values()) process.skewMs = skewMs; }

  /** A message from outside the graph (a person's command), handed over like every other command. */
  hand(message: Spoken, from = "user"): void { this.#command(from, message); }

  /** A fact from outside, to everybody who hears it, now. */
  async tell(message: Fact): Promise<void> {
    for (const process of this.#processes.values()) {
      if (!hears(process, message.kind)) continue;
      process.inbox.push({ message, to: null });
      await this.#pump(process);
    }
  }

  #of(name: string): LiveProcess {
    const found = this.#processes.get(name);
    if (found === undefined) throw new AssertionError(`there is no process ${name}`);
    return found;
  }

  #note(process: LiveProcess, what: Entry["what"], message: Kinded | null, text = ""): void {
    this.#options.onEntry?.({ elapsedMs: this.time.elapsedMs, process: process.name, what, message, text });
  }

  #start(process: LiveProcess): void {
    if (process.isAlive) return;
    const life = ++process.life;
    process.isAlive = true;
    process.abort = new AbortController();
    process.inbox = [];
    process.isPumping = false;
    process.told.length = 0;
    process.lastWord.clear();
    this.#note(process, "started", null, `life ${life}`);
    process.members = process.definition.start(this.#hostOf(process));
    this.#dropLinks(process.name);
    for (const member of process.members) void this.#startRim(process, member, life);
    if (this.#options.tickMs !== null) this.#tick(process, life);
    for (const other of this.#processes.values()) if (other !== process
      && other.isAlive) this.#catchUp(other, process);
  }

  #hostOf(process: LiveProcess): Host {
    const { time } = this, life = process.life, { signal } = process.abort;
    const after = (delayMs: number, run: () => void): void => {
      time.after(delayMs, () => {
        if (process.life !== life || !process.isAlive) return;
        if (process.awakeMs > time.elapsedMs) { after(process.awakeMs - time.elapsedMs, run); return; }
        time.settle();
        run();
      });
    };
    const clock: Clock = {
      now: () => timeMs(time.now() + process.skewMs),
      sleep: (durationMs, own) => new Promise((resolve, reject) => {
        own?.addEventListener("abort", () => { reject(own.reason as Error); }, { once: true });
        after(durationMs, resolve);
      }),
    };
    return { name: process.name, clock, signal, after };
  }

  async #startRim(process: LiveProcess, member: Member, life: number): Promise<void> {
    if (member.rim === null) return;
    this.time.settle();
    const push = (outcome: Kinded): void => {
      if (process.life !== life || !process.isAlive) return;
      this.#note(process, "outcome", outcome);
      this.time.after(0, () => {
        if (process.life !== life) return undefined;
        process.inbox.push({ message: outcome, to: member });
        return this.#pump(process);
      });
    };
    try { await member.rim.start(push); } catch (error) {
      if (process.life === life && process.isAlive) this.#crash(process, error);
    }
  }

  #tick(process: LiveProcess, life: number): void {
    const tickMs = this.#options.tickMs!;
    const next = (): void => {
      this.time.after(tickMs, () => {
        if (process.life !== life || !process.isAlive) return undefined;
        next();
        // A frozen process is told the time once when it wakes, not once for each tick it slept through.
        if (process.awakeMs > this.time.elapsedMs) return undefined;
        const tick: Tick = { kind: "tick", at: this.time.now() + process.skewMs };
        for (const member of process.members) process.inbox.push({ message: tick, to: member });
        return this.#pump(process);
      });
    };
    next();
  }

  /** Handles what is in the inbox, one message after the other. */
  async #pump(process: LiveProcess): Promise<void> {
    if (process.isPumping) return;
    process.isPumping = true;
    const life = process.life;
    try {
      while (process.inbox.length > 0 && process.isAlive && process.awakeMs <= this.time.elapsedMs) {
        // It leaves the inbox when it has been handled: who dies over a command has not acknowledged it.
        const { message, to, done } = process.inbox[0];
        for (const member of to === null ? process.members : [to]) {
          if (to === null && !member.actor.hears.includes(message.kind as Kind)) continue;
          const said = member.actor.handle(message, this.time.now() + process.skewMs);
          const list = said instanceof Promise ? await said : said;
          if (process.life !== life || !process.isAlive) return;
          for (const one of list) this.#emit(process, member, one);
        }
        process.inbox.shift();
        done?.();
      }
    } catch (error) {
      if (process.life === life) this.#crash(process, error);
    } finally { if (process.life === life) process.isPumping = false; }
  }

  #emit(process: LiveProcess, by: Member, message: Kinded): void {
    if (!isSpoken(message)) {
      this.#note(process, "effect", message);
      this.time.settle();
      by.rim?.carryOut(message);
      return;
    }
    this.#note(process, "said", message);
    for (const member of process.members) {
      if (member !== by && member.actor.hears.includes(message.kind)) process.inbox.push({ message,
        to: member });
    }
    if (message.kind === "target" || message.kind === "control") this.#command(process.name, message);
    else this.#fact(process, message);
  }

  #fact(from: LiveProcess, fact: Fact): void {
    if (this.#options.isRetaining) retain(from, fact);
    for (const to of this.#processes.values()) {
      if (to !== from && to.isAlive && hears(to, fact.kind)) this.#send(from, to, fact);
    }
  }

  #send(from: LiveProcess, to: LiveProcess, fact: Fact): void {
    const link = this.#link(from, to), number = link.sent.push(fact) - 1;
    const { lostShare, twiceShare } = this.#now;
    if (lostShare > 0 && this.#draw.uniform() < lostShare) {
      this.lost++;
      this.time.after(NOTICE_MS, () => { if (link.expected <= number) this.#ask(from, to, link); });
      return;
    }
    const isTwice = twiceShare > 0 && this.#draw.uniform() < twiceShare;
    for (let k = 0; k < (isTwice ? 2 : 1); k++) {
      link.arrivalMs = Math.max(link.arrivalMs, this.time.elapsedMs + this.#delay());
      this.time.at(link.arrivalMs, () => {
        if (to.life !== link.life || !to.isAlive || link.isAsking) return undefined;
        if (number > link.expected) return this.#ask(from, to, link);
        // The second of two is heard as well, but nothing from before what has been heard since.
        if (number < link.expected - (isTwice ? 1 : 0)) return undefined;
        link.expected = number + 1;
        return this.#deliver(to, fact);
      });
    }
  }

  /** A hole was seen: the hearer asks the sender for everything from there on. */
  #ask(from: LiveProcess, to: LiveProcess, link: Link): void {
    if (link.isAsking || to.life !== link.life || !to.isAlive) return;
    link.isAsking = true;
    this.#note(to, "gap", null, `${from.name} ${link.expected}`);
    const life = from.life;
    const answer = (): void | Promise<void> => {
      if (to.life !== link.life || !to.isAlive) return;
      // The sender's next life tells its own story from the start.
      if (from.life !== life || !from.isAlive) { link.isAsking = false; return; }
      if (from.awakeMs > this.time.elapsedMs) { this.time.at(from.awakeMs, answer); return; }
      const missed = link.sent.slice(link.expected);
      this.#note(to, "refilled", null, `${from.name} ${link.expected} +${missed.length}`);
      this.refilled += missed.length;
      link.expected = link.sent.length;
      link.isAsking = false;
      for (const fact of missed) to.inbox.push({ message: fact, to: null });
      return this.#pump(to);
    };
    this.time.after(this.#delay() + this.#delay(), answer);
  }

  #deliver(to: LiveProcess, message: Spoken): Promise<void> {
    to.inbox.push({ message, to: null });
    return this.#pump(to);
  }

  #link(from: LiveProcess, to: LiveProcess): Link {
    const key = `${from.name}>${to.name}`, known = this.#links.get(key);
    if (known !== undefined) return known;
    const link = { life: to.life, arrivalMs: 0, expected: 0, isAsking: false, sent: [] };
    this.#links.set(key, link);
    return link;
  }

  #dropLinks(name: string): void {
    for (const key of this.#links.keys()) {
      if (key.startsWith(`${name}>`) || key.endsWith(`>${name}`)) this.#links.delete(key);
    }
  }

  /** What a process that has just started is told by one that was there before. */
  #catchUp(from: LiveProcess, to: LiveProcess): void {
    const newest = new Map<Kind, Fact>();
    for (const fact of from.told) newest.set(fact.kind, fact);
    for (const fact of from.told) {
      // The newest keeps its flags: a step whose features died with their process is still decided on.
      if (hears(to, fact.kind)) this.#send(from, to, newest.get(fact.kind) === fact ? fact : asHistory(fact));
    }
    for (const fact of from.lastWord.values()) if (hears(to, fact.kind)) this.#send(from, to, fact);
  }

  #command(from: string, command: Spoken): void {
    for (const to of this.#processes.values()) {
      if (to.name === from || !hears(to, command.kind)) continue;
      const key = `${from}>${to.name}`;
      const queue = this.#queues.get(key) ?? { commands: [], isBusy: false };
      this.#queues.set(key, queue);
      // Of targets only the newest matters to somebody who was away; the one on its way stays.
      const older = queue.commands.findIndex((one, k) => k > 0 && one.kind === "target");
      if (command.kind === "target" && older > 0) queue.commands.splice(older, 1);
      if (queue.commands.length >= COMMANDS_MAX) { this.#note(to, "undelivered", command,
        "outbox full"); continue; }
      queue.commands.push(command);
      if (!queue.isBusy) this.#next(from, to, queue, RETRIES_MAX);
    }
  }

  /** The oldest command of a queue, until it has been handled. */
  #next(from: string, to: LiveProcess, queue: Queue, retries: number): void {
    queue.isBusy = queue.commands.length > 0;
    if (!queue.isBusy) return;
    const [command] = queue.commands;
    const again = (): void => {
      if (retries === 0) {
        this.#note(to, "undelivered", queue.commands.shift()!, "no answer");
        this.#next(from, to, queue, RETRIES_MAX);
      } else this.time.after(RETRY_MS, () => { this.#next(from, to, queue, retries - 1); });
    };
    this.time.after(this.#delay(), () => {
      if (queue.commands[0] !== command) return undefined;
      if (!to.isAlive) return again();
      const life = to.life;
      const done = (): void => {
        this.time.after(this.#delay(), () => {
          // Died before its acknowledgement was out: it may have been handled, and comes again.
          if (to.life !== life || !to.isAlive) { again(); return; }
          queue.commands.shift();
          this.#next(from, to, queue, RETRIES_MAX);
        });
      };
      to.abort.signal.addEventListener("abort", () => {
        if (to.inbox.some((one) => one.done === done)) again();
      }, { once: true });
      to.inbox.push({ message: command, to: null, done });
      return this.#pump(to);
    });
  }

  #delay(): number {
    const [least, most] = this.#now.delayMs;
    return most === 0 ? 0 : least + (most - least) * this.#draw.uniform();
  }

  #crash(process: LiveProcess, error: unknown): void {
    process.crashes++;
    this.#end(process, "crashed",
      error instanceof AssertionError ? error.stack ?? error.message : messageOf(error));
    if (process.crashes < CRASHES_MAX) this.time.after(this.#options.restartMs,
      () => { this.#start(process); });
  }

  #end(process: LiveProcess, how: "killed" | "crashed", text: string): void {
    this.#note(process, how, null, text);
    process.isAlive = false;
    process.isPumping = false;
    process.abort.abort();
    process.inbox = [];
    process.awakeMs = 0;
    // Commands that it had not got rid of die with it.
    for (const [key, queue] of this.#queues) if (key.startsWith(`${process.name}>`)) queue.commands.length =
      0;
  }
}
