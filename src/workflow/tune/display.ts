/**
 * A study while it runs, on stderr: a table that is drawn over itself on a terminal, a line now and then
 * elsewhere.
 */
import type { Clock } from "../../base/clock.ts";
import { TERMINAL_COLUMNS } from "../../base/table.ts";
import { factsOf, type Watched } from "./study-facts.ts";
import { headline, liveLines } from "./study-text.ts";

const DRAW_EVERY_MS = 500, LINE_EVERY_MS = 10_000;
/** Trials in the table. */
const ROWS = 12;

export interface Display extends Disposable {
  /** A sentence that stays. */
  say(sentence: string): void;
}
type Stream = Pick<NodeJS.WriteStream, "write" | "isTTY">
  & Partial<Pick<NodeJS.WriteStream, "rows" | "columns">>;

/** Shows it until it is disposed of. */
export function openDisplay(view: Watched, clock: Clock, stream: Stream = process.stderr): Display {
  const isDrawn = stream.isTTY && !process.env["CI"], facts = factsOf(view);
  const startedAt = clock.now(), before = view.finishedCount;
  let drawn = 0, last = "";
  const eta = (finished: number): number | null => finished <= before ? null
    : (clock.now() - startedAt) / 1000 / (finished - before) * (view.terms.trials - finished);
  const erase = (): string => drawn === 0 ? "" : `\x1b[${drawn}A\x1b[J`;
  const draw = (): void => {
    const now = facts(), rows = Math.min(ROWS, (stream.rows ?? 24) - 8);
    // A line that a narrow terminal breaks in two would not be erased.
    const columns = Math.min(TERMINAL_COLUMNS, stream.columns ?? TERMINAL_COLUMNS);
    const lines = liveLines(view, now, eta(now.finished), rows).map((line) => line.slice(0, columns));
    stream.write(`${erase()}${lines.join("\n")}\n`);
    drawn = lines.length;
  };
  const line = (): void => {
    const now = facts(), text = headline(view, now, eta(now.finished));
    if (text !== last) stream.write(`${text}\n`);
    last = text;
  };
  const timer = setInterval(isDrawn ? draw : line, isDrawn ? DRAW_EVERY_MS : LINE_EVERY_MS);
  timer.unref();
  return {
    say(sentence) {
      stream.write(`${erase()}${sentence}\n`);
      drawn = 0;
      if (isDrawn) draw();
    },
    [Symbol.dispose]() {
      clearInterval(timer);
      if (isDrawn) draw(); else line();
    },
  };
}
