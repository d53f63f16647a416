/**
 * Progress of long work, on stderr. On a terminal: bars with an ETA (cli-progress). Elsewhere and in CI:
 * one plain line every five seconds, so that logs stay readable. `silent` for tests and --json pipelines
 * that ask for it.
 */
import { MultiBar, Presets, type SingleBar } from "cli-progress";

export interface Task {
  /** Work done so far, in the unit of `total`. */
  advance(amount?: number, note?: string): void;
  /** Replaces the total, when it becomes known. */
  expect(total: number): void;
  finish(note?: string): void;
}

export interface Progress {
  start(name: string, total: number, unit: string): Task;
  /** Ends drawing; call once, before the result is printed. */
  stop(): void;
}

const PLAIN_EVERY_MS = 5_000;

export function openProgress(stream: NodeJS.WriteStream = process.stderr): Progress {
  if (stream.isTTY && !process.env["CI"]) return barProgress(stream);
  return plainProgress((line) => { stream.write(`${line}\n`); });
}

export const silentProgress: Progress = {
  start: () => ({ advance() {}, expect() {}, finish() {} }),
  stop() {},
};

function barProgress(stream: NodeJS.WriteStream): Progress {
  const bars = new MultiBar({
    stream, hideCursor: true, clearOnComplete: false, stopOnComplete: false, etaBuffer: 50,
    format: "{name} {bar} {percentage}% {value}/{total} {unit} ETA {eta_formatted} {note}",
  }, Presets.shades_grey);
  return {
    start(name, total, unit) {
      const bar: SingleBar = bars.create(total, 0, { name: name.padEnd(18).slice(0, 18), unit, note: "" });
      return {
        advance(amount = 1, note) {
          bar.increment(amount, note === undefined ? {} : { note: note.slice(0, 24) });
        },
        expect(value) { bar.setTotal(value); },
        finish(note) { bar.update(bar.getTotal(), { note: note?.slice(0, 24) ?? "" }); bar.stop(); },
      };
    },
    stop() { bars.stop(); },
  };
}

/** One line each five seconds and one at the end of each task that took longer than that. */
export function plainProgress(write: (line: string) => void, now: () => number = Date.now): Progress {
  return {
    start(name, total, unit) {
      const startedAt = now();
      let printedAt = startedAt, done = 0, expected = total, printed = false;
      const line = (note: string): string => {
        const seconds = (now() - startedAt) / 1000;
        const left = done > 0 && expected > done
          ? ` ETA ${formatSeconds((seconds / done) * (expected - done))}` : "";
        const tail = note === "" ? "" : ` ${note}`;
        return `${name}: ${done}/${expected} ${unit}, ${formatSeconds(seconds)}${left}${tail}`;
      };
      return {
        advance(amount = 1, note = "") {
          done += amount;
          if (now() - printedAt >= PLAIN_EVERY_MS) { printedAt = now(); printed = true; write(line(note)); }
        },
        expect(value) { expected = value; },
        finish(note = "") { if (printed) { done = expected; write(line(note)); } },
      };
    },
    stop() {},
  };
}

export function formatSeconds(seconds: number): string {
  if (seconds < 60) return `${Math.ceil(seconds)}s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes}m${String(Math.floor(seconds % 60)).padStart(2, "0")}s`
    : `${Math.floor(minutes / 60)}h${String(minutes % 60).padStart(2, "0")}m`;
}
