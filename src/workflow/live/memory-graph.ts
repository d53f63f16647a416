/**
 * The processes of one session over memory: the table of topology.ts with the product's own actors, each
 * started afresh from what outlives a process.
 *
 *   feed ─> features ─> lstm-1, lstm-2, ... ─> decision (aggregator, portfolio) ─> execution ─> broker
 *                  └──> meta ──────────────────────^                    disk <───────┘
 */
import { assert } from "../../base/assert.ts";
import { openLog } from "../../base/log.ts";
import type { Panel } from "../../features/panel.ts";
import type { Rim } from "../../live/actor.ts";
import { aggregatorActor } from "../../live/actors/aggregator.ts";
import { executionActor, type ExecutionOptions } from "../../live/actors/execution.ts";
import { featuresActor } from "../../live/actors/features.ts";
import { metaActor } from "../../live/actors/meta.ts";
import { infer } from "../../live/actors/model-rim.ts";
import { modelActor, type ModelEffect, type ModelOutcome } from "../../live/actors/model.ts";
import { portfolioActor, type PortfolioEffect, type PortfolioOptions,
  type PortfolioOutcome } from "../../live/actors/portfolio.ts";
import { eligibilityOf, type Eligibility } from "../../live/actors/windows.ts";
import type { Broker } from "../../live/brokers/broker.ts";
import { openExecutionRim } from "../../live/execution/rim.ts";
import type { Session } from "../../live/session.ts";
import type { Instrument } from "../../market/instrument.ts";
import type { RiskLimits } from "../../strategy/risk.ts";
import type { Strategy } from "../../strategy/strategy.ts";
import type { Host, Kinded, Member, MemoryProcess } from "./memory-process.ts";
import { heldRim, type MemoryDisk } from "./memory-rims.ts";
import type { VirtualTime } from "./virtual-time.ts";

export interface GraphOptions {
  readonly session: Session;
  readonly panel: Pick<Panel, "names"> & Partial<Panel>;
  /** (N) in the order of session.symbols. */
  readonly instruments: readonly Instrument[];
  readonly periodsPerYear: number;
  readonly limits: RiskLimits;
  /** Of session.sizing.method; absent or null: volatility targeting alone. */
  readonly shaper?: PortfolioOptions["shaper"];
  /** By worker; asked at each start. */
  readonly strategies: ReadonlyMap<string, () => Strategy>;
  readonly time: VirtualTime;
  readonly disk: MemoryDisk;
  readonly connect: (host: Host) => Broker;
  /** How long a model thinks, ms of virtual time. */
  readonly inferMs?: number;
  readonly execution?: Partial<ExecutionOptions>;
}

const VERSION = "00000000";
/** What is wrong is in the record. */
const QUIET = openLog("silent");

/**
 * Everything between prices and orders but the feed, which is the caller's; who hears starts before who says.
 */
export function memoryGraph(options: GraphOptions): MemoryProcess[] {
  const { session, limits, disk, connect } = options;
  const isAdaptive = session.mixture === "adaptive";
  const eligibility = eligibilityOf([...options.strategies.values()].map((make) => make()), isAdaptive);
  const one = (name: string, start: (host: Host) => readonly Member[]): MemoryProcess => ({ name, start });
  return [
    one("execution", (host) => [{ actor: executionActor({ session, limits, ...options.execution }),
      rim: openExecutionRim({ session, folder: "", journal: disk.open(), broker: connect(host),
        clock: host.clock,
        log: QUIET }) }]),
    decisionOf(options),
    ...isAdaptive ? [one("meta", () => [{ rim: null,
      actor: metaActor({ session, names: options.panel.names, eligibility }) }])] : [],
    ...session.models.map(({ worker }) => modelOf(options, worker, eligibility)),
  ];
}

/** The features of live bars; a graph on stored ones has no need of it. */
export const featuresProcess = (session: Session, panel: Panel): MemoryProcess =>
  ({ name: "features", start: () => [{ actor: featuresActor({ session, panel }), rim: null }] });

function decisionOf({ session, instruments, periodsPerYear, limits,
  shaper = null }: GraphOptions): MemoryProcess {
  let kept: PortfolioOutcome | null = null;
  const keeper = (): Rim<PortfolioEffect, PortfolioOutcome> => ({
    start(push) {
      if (kept !== null) push(kept);
      return Promise.resolve();
    },
    carryOut({ snapshot }) { kept = { kind: "kept", snapshot: structuredClone(snapshot) }; },
    stop: () => Promise.resolve(),
  });
  return { name: "decision", start: () => [
    { actor: aggregatorActor({ session }), rim: null },
    { actor: portfolioActor({ session, instruments, periodsPerYear, limits, shaper, isKept: true }),
      rim: keeper() },
  ] };
}

function modelOf({ session, panel, strategies, time, inferMs = 0 }: GraphOptions, worker: string,
  eligibility: Eligibility): MemoryProcess {
  const make = strategies.get(worker)!;
  const answer = (effect: Kinded): Promise<Kinded> => {
    const asked = effect as ModelEffect;
    if (asked.kind === "infer") return infer(asked);
    assert(asked.kind === "prepare", "strategies in memory hold nothing that must be freed");
    const outcome: ModelOutcome = strategies.has(asked.name)
      ? { kind: "prepared", strategy: strategies.get(asked.name)!(), version: VERSION }
      : { kind: "not-prepared", name: asked.name, reason: "there is no such strategy" };
    return Promise.resolve(outcome);
  };
  return { name: worker, start: (host) => [{ rim: heldRim(time, host, answer, inferMs),
    actor: modelActor({ session, worker, strategy: make(), version: VERSION, names: panel.names,
      eligibility }) }] };
}
