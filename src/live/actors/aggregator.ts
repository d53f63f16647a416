/**
 * What the members say together, once per step: `combineDecisions` of those that answered in time and sanely.
 *
 *   market t ─────────> step t opens ──┐
 *   prediction t, A ──> A is there     ├─ all are there, or deadlineMs is over ──> decision t
 *   prediction t, B ──> B is there     │        quorum of sane members? their combination
 *   mixture t ────────> weights of t ──┘        none?                   flat (position 0), alert
 *
 * An instrument is decided on when every sane member answered for it. A member that has missed three steps
 * is not waited for until it speaks again. Weight 0, and an alert, for a member that says what no position
 * can be, says the same for `constantSteps` steps (networks only: a sign may stand still, a network's answer
 * to changing inputs does not), or changes its version without being told to.
 */
import { combineDecisions } from "../../strategy/combine.ts";
import type { Decision } from "../../strategy/strategy.ts";
import type { Actor } from "../actor.ts";
import { BAR_FLAGS, type AlertFact, type DecisionFact, type MarketFact, type MixtureFact, type PredictionFact,
  type Spoken, type Tick } from "../message.ts";
import type { Session } from "../session.ts";
import { Sanity } from "./sanity.ts";
import { placeOf } from "./windows.ts";

/** Steps that wait for answers; beyond it the oldest is decided with what is there. */
const STEPS_MAX = 64;
/** Steps a member misses before it is no longer waited for, and without quorum before all is closed. */
const MISSES_MAX = 3;

export interface AggregatorOptions {
  readonly session: Session;
  /** Steps after which a network's unchanged answer is not believed; Infinity: never. Default 30. */
  readonly constantSteps?: number;
}

interface Step {
  readonly at: number;
  readonly openedAt: number;
  /** (M) null: not yet. */
  readonly said: (PredictionFact | null)[];
  weights: readonly number[] | null;
}

interface Member {
  readonly name: string;
  readonly sanity: Sanity;
  /** Steps missed in a row. */
  missed: number;
  /** Why it is not believed; null: it is. */
  reason: string | null;
}

export function aggregatorActor(options: AggregatorOptions): Actor { return new Aggregator(options); }

class Aggregator implements Actor {
  readonly name = "aggregator";
  readonly hears = ["market", "prediction", "mixture", "control"] as const;
  readonly #session: Session;
  readonly #members: readonly Member[];
  readonly #equal: readonly number[];
  readonly #steps: Step[] = [];
  /** (N) 1: had a bar. Ever decided on, and the volatility it last had. */
  readonly #seen: Uint8Array;
  readonly #volatility: Float32Array;
  #weights: readonly number[];
  #decidedAt = -Infinity;
  #late = 0;
  /** Steps without quorum, and without a mixture, in a row. */
  #lost = 0;
  #unweighed = 0;
  #isStopped = false;

  constructor({ session, constantSteps = 30 }: AggregatorOptions) {
    this.#session = session;
    this.#members = session.models.map(({ worker, strategy }) => ({ name: worker, missed: 0, reason: null,
      sanity: new Sanity(session.symbols.length,
        strategy.startsWith("model:") ? constantSteps : Infinity) }));
    this.#equal = session.models.map(() => 1 / session.models.length);
    this.#weights = this.#equal;
    this.#seen = new Uint8Array(session.symbols.length);
    this.#volatility = new Float32Array(session.symbols.length).fill(NaN);
  }

  handle(message: Spoken | Tick, now: number): readonly Spoken[] {
    const said: Spoken[] = [];
    switch (message.kind) {
      case "market": this.#open(message, now); break;
      case "prediction": this.#hear(message, now, said); break;
      case "mixture": this.#weigh(message, now); break;
      case "control":
        if (message.action === "swap-model") this.#memberOf(message.subject)?.sanity.expectVersion();
        // Members that leave at the end are not lost: nothing is closed because of it.
        if (message.action === "stop" || message.action === "emergency-stop") this.#isStopped = true;
        break;
      default:
    }
    if (this.#isStopped) return [];
    this.#decideDue(now, said);
    return said;
  }

  #memberOf(name: string): Member | undefined { return this.#members.find((one) => one.name === name); }

  #open({ at, instrument, flags }: MarketFact, now: number): void {
    for (const i of instrument) this.#seen[i] = 1;
    if (flags.includes(BAR_FLAGS.fresh)) this.#stepOf(at, now);
  }

  /** The step of a close that is still to be decided; in order of time. */
  #stepOf(at: number, now: number): Step | null {
    if (!(at > this.#decidedAt)) return null;
    let place = this.#steps.length;
    while (place > 0 && this.#steps[place - 1].at > at) place--;
    if (place > 0 && this.#steps[place - 1].at === at) return this.#steps[place - 1];
    // What comes first may come before its time: a deadline runs from the close at the earliest.
    const step: Step = { at, openedAt: Math.max(now, at), weights: null,
      said: this.#members.map(() => null) };
    this.#steps.splice(place, 0, step);
    return step;
  }

  #hear(prediction: PredictionFact, now: number, said: Spoken[]): void {
    const m = this.#members.findIndex(({ name }) => name === prediction.model);
    if (m < 0) return;
    const step = this.#stepOf(prediction.at, now);
    if (step !== null) { step.said[m] ??= prediction; return; }
    this.#late++;
    // Said at the first, second, fourth, ... late answer.
    if (Math.log2(this.#late) % 1 === 0) {
      said.push(this.#alert(now, "warning", "member-late",
        `${prediction.model} answered after the step was decided (${this.#late} late answers so far)`));
    }
  }

  #weigh({ at, models, weights }: MixtureFact, now: number): void {
    if (models.join() !== this.#members.map(({ name }) => name).join()) return;
    const step = this.#stepOf(at, now);
    if (step === null) this.#weights = weights; else step.weights = weights;
  }

  #decideDue(now: number, said: Spoken[]): void {
    for (;;) {
      const [step] = this.#steps;
      if (step === undefined) return;
      const isWeighed = this.#session.mixture === "equal" || step.weights !== null
        || this.#unweighed >= MISSES_MAX;
      const isComplete = isWeighed
        && step.said.every((one, m) => one !== null || this.#members[m].missed >= MISSES_MAX);
      const isOver = now >= step.openedAt + this.#session.deadlineMs || this.#steps.length > STEPS_MAX;
      if (!isComplete && !isOver) return;
      // Nobody is expected: the deadline tells whether somebody is back.
      if (!isOver && step.said.every((one) => one === null)) return;
      this.#steps.shift();
      this.#decide(step, now, said);
    }
  }

  #decide(step: Step, now: number, said: Spoken[]): void {
    this.#decidedAt = step.at;
    this.#weights = step.weights ?? this.#weights;
    this.#unweighed = step.weights === null ? this.#unweighed + 1 : 0;
    if (this.#session.mixture === "adaptive" && this.#unweighed === MISSES_MAX) {
      said.push(this.#alert(now, "warning", "mixture-lost",
        `no mixture for ${MISSES_MAX} steps: the last weights stay and are not waited for`));
    }
    const answers = step.said.map((one, m) => this.#judge(this.#members[m], one, now, said));
    const sane = answers.filter((one) => one !== null);
    const quorum = Math.min(this.#session.quorum, this.#members.length);
    const hasQuorum = sane.length >= quorum;
    if (!hasQuorum) this.#lost++;
    if (!hasQuorum && this.#lost === 1) {
      said.push(this.#alert(now, "critical", "quorum-lost",
        `${sane.length} of ${this.#members.length} models answered in time and sanely, ${quorum} are needed: `
        + "all positions go to zero"));
    }
    if (hasQuorum && this.#lost > 0) {
      said.push(this.#alert(now, "info", "quorum-back", `${sane.length} models answer again`));
      this.#lost = 0;
    }
    const members = sane.map(({ model }) => model);
    said.push(hasQuorum ? this.#together(step.at, answers, members) : this.#flat(step.at, members));
  }

  /** The member's answer, or null when there is none to be believed; says what changed. */
  #judge(member: Member, answer: PredictionFact | null, now: number, said: Spoken[]): PredictionFact | null {
    if (answer === null) {
      member.missed++;
      if (member.missed === MISSES_MAX) {
        said.push(this.#alert(now, "warning", "member-lost",
          `${member.name} has missed ${MISSES_MAX} steps and is not waited for`));
      }
      return null;
    }
    if (member.missed >= MISSES_MAX) {
      said.push(this.#alert(now, "info", "member-back", `${member.name} answers again`));
    }
    member.missed = 0;
    const reason = member.sanity.check(answer, this.#session.symbols);
    if (reason !== null && reason !== member.reason) {
      said.push(this.#alert(now, "warning", "member-insane", `${member.name} ${reason}: its weight is 0`));
    }
    if (reason === null && member.reason !== null) {
      said.push(this.#alert(now, "info", "member-sane", `${member.name} is believed again`));
    }
    member.reason = reason;
    return reason === null ? answer : null;
  }

  #together(at: number, answers: readonly (PredictionFact | null)[],
    members: readonly string[]): DecisionFact {
    const weights = this.#session.mixture === "equal" ? this.#equal : this.#weights;
    const instrument = sharedBy(answers.filter((one) => one !== null));
    const decisions = answers.map((one) => one === null ? null : rowsOf(one, instrument));
    const { position, volatility, confidence } = combineDecisions(decisions, () => weights,
      { isConfidenceWeighted: this.#session.isConfidenceWeighted });
    instrument.forEach((i, b) => { this.#volatility[i] = volatility[b]; });
    return { kind: "decision", at, instrument, position, volatility, confidence, members, hasQuorum: true };
  }

  /** Position 0 for all that was ever decided on; after some steps for all that had a bar. */
  #flat(at: number, members: readonly string[]): DecisionFact {
    const instrument = Int32Array.from(this.#seen.keys()).filter((i) =>
      !Number.isNaN(this.#volatility[i]) || (this.#lost >= MISSES_MAX && this.#seen[i] === 1));
    const zeros = (): Float32Array => new Float32Array(instrument.length);
    return { kind: "decision", at, instrument, members, hasQuorum: false, position: zeros(),
      confidence: zeros(),
      volatility: Float32Array.from(instrument, (i) => this.#volatility[i] || 0) };
  }

  #alert(at: number, severity: AlertFact["severity"], code: string, text: string): AlertFact {
    return { kind: "alert", at, severity, code, text, process: this.name };
  }
}

/** Instruments that all of these answered for, ascending. */
function sharedBy(answers: readonly PredictionFact[]): Int32Array {
  const [first, ...others] = answers;
  if (others.every(({ instrument }) => isEqual(instrument, first.instrument))) return first.instrument;
  return first.instrument.filter((i) => others.every(({ instrument }) => placeOf(instrument, i) >= 0));
}

const isEqual = (a: Int32Array, b: Int32Array): boolean =>
  a.length === b.length && a.every((i, k) => i === b[k]);

/** A member's answers for these instruments. */
function rowsOf(answer: PredictionFact, instrument: Int32Array): Decision {
  if (isEqual(answer.instrument, instrument)) return answer;
  const rows = Int32Array.from(instrument, (i) => placeOf(answer.instrument, i));
  const pick = (values: Float32Array): Float32Array => Float32Array.from(rows, (k) => values[k]);
  return { position: pick(answer.position), volatility: pick(answer.volatility),
    confidence: pick(answer.confidence) };
}
