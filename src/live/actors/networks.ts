/**
 * Where the networks of a process answer: said at the start and whenever that changes, so that nobody has to
 * read a log to know that a GPU was lost.
 */
import type { Actor, Rim } from "../actor.ts";

/** A sentence without a full stop; a warning where something answers elsewhere than was asked for. */
export interface NetworksPlaced {
  readonly kind: "networks-placed"; readonly severity: "info" | "warning"; readonly text: string;
}
/** The code of its alerts. */
export const NETWORKS = "networks";

export function networksActor(process: string): Actor<never, NetworksPlaced> {
  return { name: NETWORKS, hears: [],
    handle: (message, now) => {
      if (message.kind !== "networks-placed") return [];
      const { severity, text } = message;
      return [{ kind: "alert", at: now, code: NETWORKS, severity, text, process }];
    } };
}

export interface NetworksRim extends Rim<never, NetworksPlaced> {
  /** Kept until there is somebody to hear it: networks are opened before actors are. */
  say(severity: NetworksPlaced["severity"], text: string): void;
  /** Whether anything was a warning. */
  readonly isWarned: boolean;
}

export function networksRim(): NetworksRim {
  const waiting: NetworksPlaced[] = [];
  let push = (one: NetworksPlaced): void => { waiting.push(one); }, isWarned = false;
  return {
    say(severity, text) {
      isWarned ||= severity === "warning";
      push({ kind: "networks-placed", severity, text });
    },
    get isWarned() { return isWarned; },
    async start(to) {
      push = to;
      for (const one of waiting.splice(0)) to(one);
    },
    carryOut() { /* it has no effects */ },
    async stop() { push = () => {}; },
  };
}
