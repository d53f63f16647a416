/**
 * What goes wrong in a session, drawn from a seed: a little of everything, then a calm in which all must
 * heal.
 */
import { random, type Random } from "../../base/random.ts";
import type { BrokerFaults } from "./memory-broker.ts";
import type { SpoiltStep } from "./memory-feed.ts";
import type { FaultPlan, Mischief } from "./simulation.ts";

export interface PlanShape {
  readonly processes: readonly string[];
  readonly instruments: number;
  /** First live step and the number of them. */
  readonly live: number;
  readonly steps: number;
  readonly stepMs: number;
  /** The last so many steps are calm. */
  readonly calmSteps: number;
}

/** Most of a seed's session is spoilt in a few ways only, so that each shows. */
export function faultPlan(seed: number, shape: PlanShape): FaultPlan {
  const draw = random(seed, "fault plan"), { stepMs, steps, calmSteps } = shape;
  const calmFromMs = (steps - calmSteps) * stepMs;
  const count = 1 + draw.below(6);
  return {
    weather: { delayMs: pick(draw, [[0, 0], [0, 5], [1, 80], [5, 400]] as const),
      lostShare: pick(draw, [0, 0, 0.02, 0.1]), twiceShare: pick(draw, [0, 0, 0.05]) },
    broker: brokerFaults(draw),
    mischief: Array.from({ length: count }, () => mischief(draw, shape, calmFromMs)),
    spoilt: Array.from({ length: draw.below(4) }, () => spoilt(draw, shape)),
    calmFromMs,
  };
}

function brokerFaults(draw: Random): BrokerFaults {
  const share = (most: number): number => pick(draw, [0, 0, 0, most / 3, most]);
  return { delayMs: pick(draw, [[0, 1], [5, 50], [20, 900]] as const), lostCallShare: share(0.1),
    lostAnswerShare: share(0.2), limitedShare: share(0.2), troubleShare: share(0.3),
      rejectedShare: share(0.2),
    partialShare: share(0.3), lostUpdateShare: share(0.3), twiceUpdateShare: share(0.3),
      lateUpdateShare: share(0.3),
    lateMs: pick(draw, [500, 2_000, 20_000]), strangeWordShare: share(0.1), stuckCancelShare: share(0.3),
    beatenCancelShare: share(0.3) };
}

const KINDS = ["kill", "kill", "kill", "kill-all", "freeze", "freeze", "step-clock", "disk-full", "slow-disk",
  "break-stream", "mute-stream", "break-feed", "mute-feed", "trade", "halt", "control"] as const;

function mischief(draw: Random, shape: PlanShape, calmFromMs: number): Mischief {
  const { stepMs, processes, instruments } = shape;
  // Where it hurts: within a second or two of a bar, mostly.
  const step = draw.below(Math.floor(calmFromMs / stepMs));
  const atMs = step * stepMs + (draw.below(4) > 0 ? draw.uniform() * 1_500 : draw.uniform() * stepMs);
  const untilCalm = (most: number): number => Math.max(0, Math.min(most * draw.uniform(), calmFromMs - atMs));
  const what = pick(draw, KINDS), process = pick(draw, processes), instrument = draw.below(instruments);
  switch (what) {
    case "kill": return { atMs, what, process };
    case "kill-all": return { atMs, what };
    case "freeze": return { atMs, what, process, ms: untilCalm(10_000) };
    case "step-clock": return { atMs, what, process, ms: pick(draw, [-5_000, -200, 200, 5_000]) };
    case "slow-disk": return { atMs, what, delayMs: 20 + draw.below(2_000), ms: untilCalm(180_000) };
    case "trade": return { atMs, what, instrument, quantity: (1 + draw.below(20)) * pick(draw, [-1, 1]) };
    case "halt": return { atMs, what, instrument };
    case "control": return { atMs, what,
      action: pick(draw, ["halt", "reduce", "resume", "emergency-stop"] as const) };
    default: return { atMs, what, ms: untilCalm(120_000) };
  }
}

function spoilt(draw: Random, { live, steps, calmSteps, instruments }: PlanShape): SpoiltStep {
  const step = live + draw.below(steps - calmSteps),
    what = pick(draw, ["late", "missing", "revised"] as const);
  return { step, what, instrument: draw.below(instruments),
    ...what === "revised" ? { factor: pick(draw, [1.001, 10, 0.1, 0, -1, NaN]) } : {} };
}

function pick<T>(draw: Random, choices: readonly T[]): T { return choices[draw.below(choices.length)]; }
