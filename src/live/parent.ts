/**
 * What a process and its supervisor tell each other, over the channel that Node gives a child (ordered,
 * closed by the death of either). Orders are acknowledged; a channel that closes means: stop trading, end.
 */
import type { AlertFact, ControlCommand, HeartbeatFact, MeterRow } from "./message.ts";

export type Note =
  | { readonly note: "heartbeat"; readonly fact: HeartbeatFact }
  | { readonly note: "meters"; readonly rows: readonly MeterRow[] }
  | { readonly note: "alert"; readonly fact: AlertFact }
  /** An order has been carried out as far as this process can tell. */
  | { readonly note: "done"; readonly id: number; readonly text: string }
  /** It asks for something that concerns others: halt, or a button of the dashboard. */
  | { readonly note: "control"; readonly id: number; readonly command: ControlCommand }
  /** It cannot work, and a person has to do something: it ends after this, and is not started again. */
  | { readonly note: "refused"; readonly problem: string; readonly hint: string };

export type Order =
  /** `isWaiting`: answer when all that followed from it has come to rest too. */
  | { readonly order: "control"; readonly id: number; readonly command: ControlCommand;
    readonly isWaiting: boolean }
  | { readonly order: "answer"; readonly id: number; readonly isDone: boolean; readonly text: string }
  | { readonly order: "stop" };

export interface Answer { readonly isDone: boolean; readonly text: string }

export interface Parent {
  tell(note: Note): void;
  /** Asks for what concerns other processes; answered within the deadline, if only by "no answer". */
  ask(command: ControlCommand): Promise<Answer>;
  /** `gone`: the supervisor is no more. */
  listen(obey: (order: Exclude<Order, { order: "answer" }>) => void, gone: () => void): void;
  leave(): void;
}

const ANSWER_MS = 2_000;

/** The supervisor of this very process; null when it was started by hand. */
export function openParent(): Parent | null {
  if (process.send === undefined) return null;
  const asked = new Map<number, (answer: Answer) => void>();
  let count = 0;
  // Where it has gone, `disconnect` says so.
  const tell = (note: Note): void => {
    if (process.connected) process.send?.(note, undefined, {}, () => {});
  };
  return {
    tell,
    ask(command) {
      const id = ++count, { promise, resolve } = Promise.withResolvers<Answer>();
      const late = { isDone: false, text: "the supervisor did not answer" };
      const timer = setTimeout(() => { answer(late); }, ANSWER_MS);
      const answer = (said: Answer): void => { clearTimeout(timer); asked.delete(id); resolve(said); };
      asked.set(id, answer);
      tell({ note: "control", id, command });
      return promise;
    },
    listen(obey, gone) {
      process.on("message", (message) => {
        const order = message as Order;
        if (order.order === "answer") asked.get(order.id)?.(order); else obey(order);
      });
      if (process.connected) process.on("disconnect", gone); else gone();
    },
    leave() { if (process.connected) process.disconnect?.(); },
  };
}
