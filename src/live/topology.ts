/**
 * Who runs where and who hears whom: the graph of `dmn live` as one table. Actors know nothing of it.
 *
 *   ROLES   what a process hosts, says and hears, and the port on which its facts are to be had
 *   INLETS  ports that are bound by the one who hears: many processes say these things, and come and go
 *
 * A process has one socket for all its facts; it binds it where it is the stable side, and joins it to every
 * inlet. Facts of an actor reach the others of its process without a socket. `diagram` draws all of it.
 */
import { assert } from "../base/assert.ts";
import type { Fact, Kind, Spoken } from "./message.ts";
import { PORTS, type PortName, type Session } from "./session.ts";

export type Role = "simulator" | "feed" | "features" | "model" | "meta" | "decision" | "execution"
  | "recorder" | "monitor";
type Heard = Exclude<Spoken["kind"], "control">;

export interface Seat {
  /** Actors, in the order in which they are told what their process hears. */
  readonly hosts: readonly string[];
  readonly says: readonly Heard[];
  /** What its actors ask to hear from other processes, facts only. */
  readonly hears: readonly Heard[];
  /** Where its facts are to be had; null: at inlets only. */
  readonly binds: PortName | null;
  /** What it is told when it comes (back): all, as history but for the newest; all unchanged; or the last. */
  readonly joins: "history" | "as-said" | "last";
  /** Which log folder takes what it prints. */
  readonly log: "trading" | "system" | "performance";
  /** Trading stops when it cannot keep up or is gone for good. */
  readonly isVital: boolean;
  /**
   * Scheduling priority (nice). Beside two busy processes of the same priority the graph of two cores needs
   * half a second from tick to order, beside two of priority 19 half a millisecond. Below 0 only where we are
   * allowed to.
   */
  readonly nice: number;
}
/** On the way from a bar to an order; and whoever only looks on. */
const TRADES = -10, LOOKS_ON = 5;

/** Said by every process about itself. */
const OF_ALL = ["heartbeat", "meter", "alert"] as const satisfies readonly Heard[];
const TRADED =
  ["order-state", "fill", "account", "settled", "trading-state"] as const satisfies readonly Heard[];

export const ROLES = {
  simulator: { hosts: [], says: [], hears: [], binds: null, joins: "last", log: "trading", isVital: true,
    nice: 0 },
  feed: { hosts: ["feed"], says: ["market", "quote", "notice"], hears: ["settled"],
    binds: "data", joins: "last", log: "trading", isVital: true, nice: TRADES },
  features: { hosts: ["features"], says: ["features"], hears: ["market"],
    binds: "features", joins: "history", log: "trading", isVital: true, nice: TRADES },
  model: { hosts: ["model"], says: ["prediction"], hears: ["features"], binds: null, joins: "history",
    log: "trading", isVital: false, nice: TRADES },
  meta: { hosts: ["meta"], says: ["mixture"], hears: ["features", "prediction", "mixture"], binds: null,
    joins: "history", log: "trading", isVital: false, nice: TRADES },
  // `target` goes to execution as a command; what is broadcast is its copy, for those who keep or show it.
  decision: { hosts: ["aggregator", "portfolio"], says: ["decision", "target", "prediction", "mixture"],
    hears: ["market", "notice", "prediction", "mixture", "account", "fill", "trading-state"],
    binds: "decisions", joins: "history", log: "trading", isVital: true, nice: TRADES },
  execution: { hosts: ["execution"], says: TRADED, hears: ["market", "quote", "notice"],
    binds: "execution", joins: "last", log: "trading", isVital: true, nice: TRADES },
  recorder: { hosts: ["recorder"], says: [], hears: ["market", "quote", "notice", "features", "prediction",
    "mixture", "decision", "target", ...TRADED, ...OF_ALL, "performance"], binds: null, joins: "as-said",
  log: "system", isVital: false, nice: LOOKS_ON },
  monitor: { hosts: ["health", "performance", "alerts", "dashboard"], says: ["performance"],
    hears: ["market", "prediction", "mixture", "decision", "target", "order-state", "fill", "account",
      "trading-state", ...OF_ALL],
    binds: null, joins: "last", log: "performance", isVital: false, nice: LOOKS_ON },
} as const satisfies Record<Role, Seat>;

export const seatOf = (role: Role): Seat => ROLES[role];

export interface Inlet {
  readonly port: PortName;
  readonly by: Role;
  readonly takes: readonly Heard[];
  /** Passed on unchanged with the facts of the process that binds it. */
  readonly isRelayed: boolean;
}

export const INLETS: readonly Inlet[] = [
  { port: "predictions", by: "decision", takes: ["prediction", "mixture"], isRelayed: true },
  { port: "health", by: "monitor", takes: ["heartbeat"], isRelayed: false },
  { port: "performance", by: "monitor", takes: ["meter"], isRelayed: false },
  { port: "alerts", by: "monitor", takes: ["alert"], isRelayed: false },
  { port: "records", by: "recorder", takes: ["heartbeat", "meter", "alert", "performance"],
    isRelayed: false },
];

/** What a sender keeps for hearers that come (back), and how much: `all` within a bound, or the last one. */
export const RETAINED: Readonly<Partial<Record<Fact["kind"], "all" | "last">>> = {
  market: "all", features: "all", mixture: "last", account: "last", "trading-state": "last",
};

/** A process of one session. */
export interface Place {
  /** "features-2", "lstm-1", ... : unique, names logs and heartbeats. */
  readonly name: string;
  readonly role: Role;
}

/** Processes of a session in the order of their start: who hears starts before who says. */
export function placesOf(session: Session): Place[] {
  const one = (role: Role): Place => ({ name: role, role });
  return [
    ...(session.venue === "simulator" || session.feed === "simulator" ? [one("simulator")] : []),
    one("recorder"), one("monitor"), one("execution"), one("decision"),
    ...(session.mixture === "adaptive" ? [one("meta")] : []),
    // Kernels that stay on a GPU must not compete for it: its process hosts all workers.
    ...(session.device === "cuda" ? [{ name: "models", role: "model" } as const]
      : session.models.map(({ worker }): Place => ({ name: worker, role: "model" }))),
    one("features"), one("feed"),
  ];
}

/** The workers that a process hosts. */
export const workersOf = (session: Session, place: Place): Session["models"] =>
  session.models.filter(({ worker }) => session.device === "cuda" || worker === place.name);
/** The process that hosts a worker. */
export const processOf = (session: Session, worker: string): string =>
  session.device === "cuda" && session.models.some((one) => one.worker === worker) ? "models" : worker;

/** Where a speaker answers about what it said. */
export const QUESTIONS: Readonly<Partial<Record<PortName, PortName>>> = {
  data: "feedQuestions", features: "featuresQuestions", decisions: "decisionsQuestions",
  execution: "executionQuestions",
};

/** The number of a port in this session. */
export function portOf(session: Session, name: PortName): number {
  return session.ports[name] ?? PORTS[name];
}

/** All ports, moved so that the first, 5555, is `base`. */
export const portsFrom = (base: number): Record<PortName, number> => Object.fromEntries(
  Object.entries(PORTS).map(([name, port]) => [name, port - PORTS.data + base])) as Record<PortName, number>;

export interface Hearing {
  readonly port: PortName;
  readonly kinds: readonly Heard[];
  /** It binds the port itself: an inlet. */
  readonly isInlet: boolean;
}

/** The sockets on which a process hears, for the kinds that its actors want; commands come another way. */
export function hearingsOf(role: Role, wanted: readonly Kind[]): Hearing[] {
  const seat = seatOf(role);
  const kinds = wanted.filter((kind): kind is Heard => kind !== "tick" && kind !== "control"
    && !(role === "execution" && kind === "target"));
  const local = kinds.filter((kind) => seat.says.includes(kind) && !isTaken(role, kind));
  for (const kind of kinds) {
    assert(seat.hears.includes(kind) || local.includes(kind), `${role} may hear ${kind}: see ROLES`);
  }
  const left = new Set(kinds.filter((kind) => !local.includes(kind)));
  const inlets = INLETS.filter(({ by }) => by === role).map((inlet): Hearing => {
    const own = inlet.takes.filter((kind) => left.delete(kind) || inlet.isRelayed);
    return { port: inlet.port, kinds: own, isInlet: true };
  });
  const ports = Map.groupBy([...left], (kind) => speakerOf(kind));
  return [...inlets, ...[...ports].map(([port, own]): Hearing => ({ port, kinds: own, isInlet: false }))];
}

const isTaken = (role: Role, kind: Heard): boolean =>
  INLETS.some(({ by, takes }) => by === role && takes.includes(kind));

/** The port that its speaker binds. */
function speakerOf(kind: Heard): PortName {
  const seat = Object.values(ROLES).find(({ says, binds }: Seat) => binds !== null && says.includes(kind));
  assert(seat?.binds, `somebody who binds a port says ${kind}`);
  return seat.binds;
}

/** Inlets that a process's facts go to. */
export function inletsFor(role: Role): readonly Inlet[] {
  const says: readonly Heard[] = [...seatOf(role).says, ...OF_ALL];
  return INLETS.filter(({ by, takes, isRelayed }) => by !== role && takes.some((kind) => says.includes(kind))
    && !(isRelayed && seatOf(role).binds !== null));
}

/** How many other processes of the session hear facts at the port that `role` binds. */
export function hearersOf(session: Session, role: Role): number {
  const { binds } = seatOf(role);
  if (binds === null) return 0;
  return placesOf(session).filter((place) => place.role !== role && place.role !== "simulator"
    && hearingsOf(place.role, seatOf(place.role).hears).some(({ port }) => port === binds)).length;
}

/** The graph as text, with this session's ports. */
export function diagram(session: Session): string {
  const lines = placesOf(session).map(({ name, role }) => {
    const seat = seatOf(role);
    const binds = seat.binds === null ? "" : `${seat.binds} :${portOf(session, seat.binds)}`;
    const inlets = INLETS.filter(({ by }) => by === role).map(({ port, takes, isRelayed }) =>
      `  <- ${port} :${portOf(session, port)} takes ${takes.join(", ")}`
        + (isRelayed ? ", passes them on" : ""));
    const heard = hearingsOf(role, seat.hears).filter(({ isInlet }) => !isInlet)
      .map(({ port, kinds }) => `  <- ${port}: ${kinds.join(", ")}`);
    const said = binds === "" ? seat.says.join(", ") : `${seat.says.join(", ")} -> ${binds}`;
    return [`${name}${seat.hosts.length === 0 ? "" : ` (${seat.hosts.join(", ")})`}`,
      ...inlets, ...heard, ...(said === "" ? [] : [`  says ${said}`]),
      ...(role === "decision" ? [`  hands target -> orders :${portOf(session, "orders")}`] : [])].join("\n");
  });
  return [`supervisor  control :${portOf(session, "control")}`, ...lines].join("\n");
}
