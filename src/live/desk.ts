/**
 * An actor's desk: letters in order, one at a time, a bound, and what came of each handed on.
 *
 *   push ──> | letter | letter | ... | ──> handle() ──> route(said)
 *            a command of a person goes first; beyond the bound `push` answers a promise: bring no more
 */
import type { Inbound } from "./hosted.ts";
import type { Hosted } from "./hosted.ts";

export interface Letter {
  readonly message: Inbound;
  /** Monotonic ns of what caused it; 0 unknown. */
  readonly originNs: number;
  /** Monotonic ns at which its sender gave it away, and the name of the hop; 0: none. */
  readonly sentNs: number;
  readonly hop: string;
  readonly bytes: number;
  readonly plainBytes: number;
  /** Called when it has been handled and its effects were handed to the rim. */
  readonly done?: () => void;
}

/** Letters on a desk before senders are asked to wait. */
const LETTERS_MAX = 4_096;

export interface DeskOptions {
  readonly hosted: Hosted;
  readonly now: () => number;
  /** Called before a letter is handled and after, for meters. */
  readonly begin: (letter: Letter) => number;
  readonly end: (letter: Letter, token: number) => void;
  readonly route: (said: readonly unknown[], letter: Letter) => void;
  /** A bug: the process ends. */
  readonly fail: (error: unknown) => void;
}

export class Desk {
  readonly hosted: Hosted;
  /** Letters so far, ticks apart. */
  handled = 0;
  readonly #options: DeskOptions;
  #letters: Letter[] = [];
  #next = 0;
  readonly #urgent: Letter[] = [];
  #isBusy = false;
  #isTicking = false;
  #room: PromiseWithResolvers<void> | null = null;

  constructor(options: DeskOptions) {
    this.#options = options;
    this.hosted = options.hosted;
  }

  get length(): number { return this.#letters.length - this.#next + this.#urgent.length; }
  get isIdle(): boolean { return !this.#isBusy && this.length === 0; }

  push(letter: Letter): void | Promise<void> {
    if (letter.message.kind === "control") this.#urgent.push(letter); else this.#letters.push(letter);
    if (!this.#isBusy) this.#work();
    if (this.length < LETTERS_MAX) return;
    this.#room ??= Promise.withResolvers<void>();
    return this.#room.promise;
  }

  /** One tick at most waits. */
  tick(at: number): void {
    if (this.#isTicking) return;
    this.#isTicking = true;
    void this.push({ message: { kind: "tick", at }, originNs: 0, sentNs: 0, hop: "", bytes: 0,
      plainBytes: 0 });
  }

  #take(): Letter | undefined {
    if (this.#urgent.length > 0) return this.#urgent.shift();
    if (this.#next >= this.#letters.length) return undefined;
    const letter = this.#letters[this.#next++];
    if (this.#next === this.#letters.length) { this.#letters = []; this.#next = 0; }
    return letter;
  }

  /** Everything there is; goes on by itself after an actor that answers later. */
  #work(): void {
    const { hosted, now, begin, end, route, fail } = this.#options;
    this.#isBusy = true;
    try {
      for (let letter = this.#take(); letter !== undefined; letter = this.#take()) {
        if (letter.message.kind === "tick") this.#isTicking = false;
        const current = letter, token = begin(letter);
        const said = hosted.handle(letter.message, now());
        if (said instanceof Promise) {
          said.then((later) => { this.#finish(current, token, later); this.#work(); }).catch(fail);
          return;
        }
        end(letter, token);
        route(said, letter);
        this.#settle(letter);
      }
    } catch (error) { fail(error); return; }
    this.#isBusy = false;
  }

  #finish(letter: Letter, token: number, said: readonly unknown[]): void {
    this.#options.end(letter, token);
    this.#options.route(said, letter);
    this.#settle(letter);
  }

  #settle(letter: Letter): void {
    if (letter.message.kind !== "tick") this.handled++;
    letter.done?.();
    if (this.#room === null || this.length > LETTERS_MAX / 2) return;
    this.#room.resolve();
    this.#room = null;
  }
}
