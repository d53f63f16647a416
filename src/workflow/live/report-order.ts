/**
 * What was recorded, in the order in which it happened. The recorder hears each sender in order, but a bar
 * may reach it before the fills that the step before it waited for, and after the fills of its own step:
 *
 *     heard      market 1   market 2   fill 1   settled 1   settled 2   market 3
 *     happened   market 1   fill 1   settled 1   market 2   settled 2   market 3
 *
 * A stepped market makes its next step when execution has settled the one before; on a paced one, times tell.
 * On the wall clock the order heard is the best there is.
 */
import { BAR_FLAGS, type Spoken } from "../../live/message.ts";
import type { Recorded } from "../../live/recorder/journal.ts";
import type { Session } from "../../live/session.ts";

type Heard = Pick<Recorded, "message">;

const isOfFeed = ({ message: { kind } }: Heard): boolean =>
  kind === "market" || kind === "quote" || kind === "notice";
const isOfExecution = ({ message: { kind } }: Heard): boolean =>
  kind === "account" || kind === "fill" || kind === "order-state" || kind === "settled"
  || kind === "trading-state";
const isStep = ({ message }: Heard): boolean =>
  message.kind === "market" && message.flags.includes(BAR_FLAGS.fresh);

/** What the feed and execution said, each in its order; execution's before the step that waited for it. */
export function asHappened<T extends Heard>(recorded: readonly T[], { clock }: Session): readonly T[] {
  const first = recorded.findIndex(isStep);
  if (clock.kind === "wall" || first < 0) return recorded;
  const feed = recorded.filter(isOfFeed), others = recorded.filter(isOfExecution);
  const settled = settledBy(others);
  const last = feed.reduce((at, { message }) => Math.max(at, message.at), -Infinity);
  const happened: T[] = [];
  let next = 0;
  // Before its first bar a market's clock shows the machine's time.
  for (const early = new Set(recorded.slice(0, first)); next < others.length && early.has(others[next])
    && others[next].message.at > last; next++) happened.push(others[next]);
  for (const one of feed) {
    const { at } = one.message;
    for (; isStep(one) && next < others.length; next++) {
      const isBefore = others[next].message.at < at || (clock.isStepped && settled[next] < at);
      if (!isBefore) break;
      happened.push(others[next]);
    }
    happened.push(one);
  }
  return [...happened, ...others.slice(next)];
}

/** The step that execution settled after each of its words; Infinity after the last one. */
function settledBy(others: readonly Heard[]): number[] {
  let step = Infinity;
  return others.map((_, k) => {
    const { message } = others[others.length - 1 - k];
    if (message.kind === "settled") step = Math.min(step, message.at);
    return step;
  }).reverse();
}

/**
 * Without the step that was under way when a stepped run was told to stop: nobody lived it to its end, and
 * how far each process came was chance. What orders of before it did then counts.
 */
export function livedOut<T extends Heard>(recorded: readonly T[], { clock }: Session): readonly T[] {
  const last = recorded.reduce((at, { message }) =>
    (message.kind === "settled" ? Math.max(at, message.at) : at), -Infinity);
  if (!clock.isStepped || last === -Infinity) return recorded;
  const cut = new Set(recorded.flatMap(({ message }) =>
    message.kind === "order-state" && message.order.decidedAt > last ? [message.order.id] : []));
  return recorded.filter(({ message }) => {
    if (message.kind === "order-state") return !cut.has(message.order.id);
    if (message.kind === "fill") return !cut.has(message.orderId);
    return !OF_A_STEP.has(message.kind) || message.at <= last;
  });
}
const OF_A_STEP: ReadonlySet<Spoken["kind"]> =
  new Set(["market", "features", "prediction", "mixture", "decision", "target"]);
