/**
 * As many workers as there is work for, on any engine.
 *
 *   wanted = min(max, trials waiting + trials leased)       says the coordinator
 *   placed = running + pending           pending at most what there is room for now, and k more: that is
 *                                        what a cluster's autoscaler sees
 *
 *   ended      it was told that there is no more work; nothing to do
 *   unplaced   there was no room: another one, later, under a new id. For as long as it takes, up to a day
 *   failed     a machine was lost, or a worker cannot work. Another one; but where one after the other fails
 *              before it has run for a minute and no trial is told, they are given up, with their last words
 *
 * An engine that does not answer stops nobody: workers talk to the coordinator, not to us.
 */
import type { Clock } from "../../base/clock.ts";
import { messageOf, UserError } from "../../base/error.ts";
import type { Engine, PlacedWorker, WorkerAsk } from "./engine.ts";

/** What is asked of a coordinator. */
export interface Employer {
  /** min(max, waiting + leased): those to be begun, also if not asked yet, and those at work. */
  readonly wanted: number;
  /** `finishedCount`: that trials finish means that workers work. Over: workers are told so, and end. */
  readonly study: { readonly finishedCount: number; readonly isOver: boolean };
  /** This worker has ended: what it had leased waits for another. */
  gone(worker: string, why: string): void;
}
export interface KeepOptions {
  readonly engine: Engine;
  readonly coordinator: Employer;
  /** A worker under this id. */
  readonly ask: (id: string) => WorkerAsk;
  readonly study: string;
  /** k, beyond the room that the engine says it has. */
  readonly pendingMax?: number;
  readonly clock: Clock;
  /** Stops all workers, then the loop. */
  readonly signal: AbortSignal;
  /** A sentence that people should see; each is said once until it changes. */
  readonly say: (sentence: string) => void;
  readonly limits?: Partial<KeepLimits>;
}
export interface KeepLimits {
  readonly pollMs: number;
  /** A worker that fails in less than this was not at work. */
  readonly earlyMs: number;
  /** Times in a row that workers fail early, with no trial told. */
  readonly failuresMax: number;
  /** Without a running worker, for want of room. */
  readonly roomlessMs: number;
  /** From when on people are told that there is no room; to unpack a bundle takes half a minute too. */
  readonly patienceMs: number;
  /** That the engine does not answer. */
  readonly outageMs: number;
  /** From the end of work, or from SIGTERM, to all workers having ended. */
  readonly drainMs: number;
}
const LIMITS: KeepLimits = {
  pollMs: 2_000, earlyMs: 60_000, failuresMax: 8, roomlessMs: 86_400_000, patienceMs: 40_000,
  outageMs: 3_600_000, drainMs: 60_000,
};
/** How far behind an engine's list may be. */
const LATE_MS = 30_000;
const PENDING_MAX = 4, BACKOFF_MS_MAX = 60_000;

/** How many workers to place and how many pending ones to take back. */
export function change(
  placed: { readonly running: number; readonly pending: number }, wanted: number, pendingMax: number,
): { readonly submit: number; readonly withdraw: number } {
  const surplus = placed.running + placed.pending - wanted;
  return {
    submit: Math.max(0, Math.min(-surplus, pendingMax - placed.pending)),
    withdraw: Math.max(0, Math.min(surplus, placed.pending)),
  };
}

/**
 * Keeps workers at work until there is no more of it and the last has ended, or until the signal aborts.
 * Throws UserError where going on makes no sense; then, too, workers are stopped, and the study is whole.
 */
export async function keepWorkers(options: KeepOptions): Promise<void> {
  const crew = new Crew(options);
  try { await crew.work(); } finally { await crew.stopAll(); }
}

class Crew {
  readonly #options: KeepOptions;
  readonly #limits: KeepLimits;
  /** Known by us and alive when last heard of: when it was asked for, and when first seen at work. */
  readonly #alive = new Map<string, { askedAt: number; runningAt: number | null }>();
  /** Stopped before they had begun: some engines stop them only once they have. Nobody waits for these. */
  readonly #withdrawn = new Set<string>();
  /** Those whose end was taken notice of. */
  readonly #buried = new Set<string>();
  readonly #prefix: string;
  #number = 0;
  #isFirst = true;
  #failures = 0;
  #lastFailed: PlacedWorker | null = null;
  #unplaced = 0;
  #told: number;
  #notBefore = 0;
  #roomlessSince: number | null = null;
  #silentSince: number | null = null;
  #said = "";
  #reason = "";

  constructor(options: KeepOptions) {
    this.#options = options;
    this.#limits = { ...LIMITS, ...options.limits };
    // An engine may forget ids, and ids must not come again: the time of this start is in them.
    this.#prefix = `${options.study}-${options.clock.now().toString(36)}`;
    this.#told = options.coordinator.study.finishedCount;
  }

  async work(): Promise<void> {
    const { clock, coordinator, signal } = this.#options;
    let overSince: number | null = null;
    while (!signal.aborted) {
      const isHeard = await this.#look();
      const now = clock.now(), isOver = coordinator.study.isOver;
      overSince = isOver ? overSince ?? now : null;
      if (isOver && (this.#alive.size === 0 && isHeard || now - overSince! >= this.#limits.drainMs)) return;
      if (isHeard) await this.#adjust();
      try { await clock.sleep(this.#limits.pollMs, signal); } catch { return; }
    }
  }

  /** Stops whoever is alive, and waits until they have ended. */
  async stopAll(): Promise<void> {
    const { clock } = this.#options, deadline = clock.now() + this.#limits.drainMs;
    for (const id of this.#alive.keys()) await this.#stop(id);
    while (this.#alive.size > 0 && clock.now() < deadline) {
      try { this.#take(await this.#options.engine.list()); } catch { /* asked again, up to the deadline */ }
      if (this.#alive.size > 0) await clock.sleep(Math.min(500, this.#limits.pollMs));
    }
  }

  async #stop(id: string): Promise<void> {
    if (this.#alive.get(id)?.runningAt === null) {
      this.#withdrawn.add(id);
      this.#alive.delete(id);
    }
    try { await this.#options.engine.stop(id); } catch (error) {
      this.#say(`worker ${id} could not be stopped: ${messageOf(error)}`);
    }
  }

  /** Asks the engine who is there; false where it does not answer. */
  async #look(): Promise<boolean> {
    const { engine, clock } = this.#options;
    let workers: readonly PlacedWorker[];
    try { workers = await engine.list(); } catch (error) { return this.#onSilence(error); }
    this.#silentSince = null;
    this.#judge(this.#take(workers), clock.now());
    await this.#giveUp();
    return true;
  }

  #onSilence(error: unknown): false {
    if (error instanceof UserError) throw error;
    const now = this.#options.clock.now();
    this.#silentSince ??= now;
    if (now - this.#silentSince >= this.#limits.outageMs) {
      throw new UserError(`${this.#options.engine.name} has not answered for `
        + `${Math.round(this.#limits.outageMs / 60_000)} minutes: ${messageOf(error)}`,
      "the study is whole; when the cluster is back, go on with --resume");
    }
    this.#say(`${messageOf(error)}; workers that run go on, and it is asked again`);
    return false;
  }

  /** Takes notice of who lives and who does not any more; answers with those that have ended since. */
  #take(workers: readonly PlacedWorker[]): (PlacedWorker & { readonly ranMs: number })[] {
    const now = this.#options.clock.now(), listed = new Set<string>(), gone = [];
    this.#reason = "";
    for (const worker of workers) {
      listed.add(worker.id);
      const known = this.#alive.get(worker.id);
      if (this.#withdrawn.has(worker.id)) continue;
      if (worker.state === "pending" || worker.state === "running") {
        const runningAt = worker.state === "running" ? known?.runningAt ?? now : null;
        this.#alive.set(worker.id, { askedAt: known?.askedAt ?? now, runningAt });
        if (worker.state === "pending") this.#reason = worker.reason;
      } else if (!this.#buried.has(worker.id)) {
        this.#buried.add(worker.id);
        this.#alive.delete(worker.id);
        this.#options.coordinator.gone(worker.id, worker.reason || worker.state);
        // Those of an earlier coordinator are not ours to mourn.
        if (!this.#isFirst) gone.push({ ...worker, ranMs: now - (known?.runningAt ?? now) });
      }
    }
    this.#isFirst = false;
    // A list may be a moment behind what was asked; after that, who is not in it is gone without a word.
    for (const [id, { askedAt }] of this.#alive) {
      if (listed.has(id) || now - askedAt <= LATE_MS) continue;
      this.#alive.delete(id);
      this.#options.coordinator.gone(id, "the engine does not know it any more");
    }
    return gone;
  }

  #judge(gone: readonly (PlacedWorker & { readonly ranMs: number })[], now: number): void {
    const { finishedCount: told } = this.#options.coordinator.study;
    if (told > this.#told) this.#failures = 0;
    this.#told = told;
    const early = gone.filter(({ state, ranMs }) => state === "failed" && ranMs < this.#limits.earlyMs);
    const unplaced = gone.find(({ state }) => state === "unplaced"), isUnplaced = unplaced !== undefined;
    if (early.length > 0) {
      this.#failures++;
      this.#lastFailed = early.at(-1)!;
    }
    if (isUnplaced) this.#unplaced++;
    else if (this.#running() > 0) this.#unplaced = 0;
    const streak = Math.max(early.length > 0 ? this.#failures : 0, isUnplaced ? this.#unplaced : 0);
    if (streak > 0) this.#notBefore = now + Math.min(BACKOFF_MS_MAX, 500 * 2 ** Math.min(streak, 10));
    if (isUnplaced) this.#reason = unplaced.reason;
    this.#judgeRoom(now);
  }

  #judgeRoom(now: number): void {
    const { coordinator } = this.#options;
    const isRoomless = !coordinator.study.isOver && coordinator.wanted > 0 && this.#running() === 0
      && (this.#alive.size > 0 || this.#unplaced > 0);
    this.#roomlessSince = isRoomless ? this.#roomlessSince ?? now : null;
    if (this.#roomlessSince === null) return;
    const { engine } = this.#options, waitedMs = now - this.#roomlessSince;
    const why = this.#reason === "" ? "" : `: ${this.#reason}`;
    if (waitedMs >= this.#limits.roomlessMs) {
      throw new UserError(`${engine.name} has had no room for a worker for `
        + `${Math.round(this.#limits.roomlessMs / 3_600_000)} hours${why}`,
      "ask for less per worker, or add machines; the study is whole, go on with --resume");
    }
    if (waitedMs >= this.#limits.patienceMs) {
      this.#say(`no worker has begun on ${engine.name} yet${why.replace(/\.$/, "")}; the study waits`);
    }
  }

  async #giveUp(): Promise<void> {
    if (this.#failures < this.#limits.failuresMax || this.#lastFailed === null) return;
    const { id, reason } = this.#lastFailed;
    let log = "";
    try { log = await this.#options.engine.logs(id); } catch { /* then the reason has to do */ }
    const lines = log.split("\n").map((line) => line.trim()).filter((line) => line !== "");
    // What dmn refuses is a sentence after its name, and a hint on the next line.
    const words = lines.findLast((line) => line.startsWith("dmn: "))?.slice(5) ?? lines.at(-1) ?? reason;
    throw new UserError(`workers fail as soon as they begin, ${this.#failures} times in a row; `
      + `the last one said: ${words}`, "mend that; the study is whole, go on with --resume");
  }

  #running(): number {
    return [...this.#alive.values()].filter(({ runningAt }) => runningAt !== null).length;
  }

  async #adjust(): Promise<void> {
    const { engine, ask, clock, coordinator, pendingMax = PENDING_MAX, signal } = this.#options;
    const wanted = coordinator.study.isOver ? 0 : coordinator.wanted;
    const running = this.#running(), pending = this.#alive.size - running;
    const room = wanted - running > pendingMax ? await this.#room() : 0;
    const { submit, withdraw } = change({ running, pending }, wanted, pendingMax + room);
    const waiting = [...this.#alive].filter(([, { runningAt }]) => runningAt === null);
    for (const [id] of waiting.slice(waiting.length - withdraw)) await this.#stop(id);
    if (clock.now() < this.#notBefore) return;
    for (let k = 0; k < submit && !signal.aborted; k++) {
      const id = `${this.#prefix}-${String(++this.#number).padStart(4, "0")}`;
      this.#alive.set(id, { askedAt: clock.now(), runningAt: null });
      try { await engine.submit(ask(id)); } catch (error) {
        // It may have arrived all the same: then the list has it. Else it is forgotten like any other.
        this.#onSilence(error);
        return;
      }
    }
  }

  async #room(): Promise<number> {
    try { return await this.#options.engine.capacity() ?? 0; } catch { return 0; }
  }

  #say(sentence: string): void {
    if (sentence !== this.#said) this.#options.say(sentence);
    this.#said = sentence;
  }
}
