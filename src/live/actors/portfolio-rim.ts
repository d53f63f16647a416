/**
 * Keeps the portfolio's snapshot over a restart, beside the trading: the newest is written, one write at a
 * time, those in between are skipped. It is a convenience, not the truth: without it the second scaling warms
 * up anew and the drawdown counts from the restart (that trading was halted is execution's to remember). So a
 * file that cannot be read or written is a line in the log, and a write waits until the orders of its
 * decision have left: their intents are flushed to the same disk, and of two flushes at once each takes
 * longer.
 *
 *     keep ──> waiting (newest) ──KEEP_MS──> targets.json.tmp ──rename──> targets.json      start: kept
 */
import * as fs from "node:fs/promises";
import * as path from "node:path";
import { z } from "zod";
import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/error.ts";
import { makeFolder, TEMPORARY } from "../../base/file.ts";
import type { Log } from "../../base/log.ts";
import type { TargetSnapshot } from "../../strategy/target.ts";
import type { Rim } from "../actor.ts";
import type { Session } from "../session.ts";
import type { PortfolioEffect, PortfolioOutcome } from "./portfolio.ts";

/** Each account has its own peak, and what is left of a drawdown. */
export const snapshotFile = (venue: Session["venue"]): string =>
  venue === "simulator" ? "targets.json" : `targets-${venue}.json`;

const number = z.number();
const schema = z.strictObject({
  version: z.literal(1), strategyName: z.string(), symbols: z.array(z.string()),
  snapshot: z.strictObject({
    at: number, decisions: number, plain: z.array(number), plainWaiting: z.array(number),
    scaler: z.strictObject({ count: number, sum: number, sumSquares: number, mean: number, moment: number }),
    risk: z.strictObject({ mode: z.enum(["NORMAL", "REDUCING", "HALTED"]), equity: number, peak: number,
      dayStart: number, day: number.nullable() }),
  }),
});

/** From a decision to the write of its snapshot: orders have left by then, or are late for other reasons. */
const KEEP_MS = 50;

export interface PortfolioRim extends Rim<PortfolioEffect, PortfolioOutcome> {
  /** Nothing waits to be written. */
  isIdle(): boolean;
}

/** A snapshot of another strategy or other symbols is none of this session's. */
export function openPortfolioRim({ session, folder, clock, log }: { readonly session: Session;
  readonly folder: string; readonly clock: Clock; readonly log: Log }): PortfolioRim {
  const place = path.join(folder, snapshotFile(session.venue)), { strategyName, symbols } = session;
  const stopping = new AbortController(), { signal } = stopping;
  let waiting: TargetSnapshot | null = null, writing: Promise<void> | null = null;
  async function write(): Promise<void> {
    while (waiting !== null) {
      await clock.sleep(KEEP_MS, signal).catch(() => undefined);
      const text = JSON.stringify({ version: 1, strategyName, symbols, snapshot: waiting });
      waiting = null;
      try {
        // Without the flush a power cut leaves an empty file, and the drawdown would begin anew.
        await fs.writeFile(place + TEMPORARY, text, { flush: true });
        await fs.rename(place + TEMPORARY, place);
      } catch (error) { log.warn({ place, error: messageOf(error) }, "the portfolio's state was not kept"); }
    }
    writing = null;
  }
  return {
    async start(push) {
      makeFolder(folder);
      const snapshot = await read(place, session, log);
      if (snapshot !== null) push({ kind: "kept", snapshot });
    },
    carryOut({ snapshot }) {
      waiting = snapshot;
      writing ??= write();
    },
    isIdle: () => writing === null,
    async stop() {
      stopping.abort();
      await writing;
    },
  };
}

async function read(place: string, { strategyName, symbols }: Session,
  log: Log): Promise<TargetSnapshot | null> {
  let text: string;
  try { text = await fs.readFile(place, "utf8"); } catch { return null; }
  try {
    const kept = schema.parse(JSON.parse(text));
    const isOurs = kept.strategyName === strategyName && kept.symbols.join() === symbols.join();
    return isOurs ? kept.snapshot : null;
  } catch (error) {
    log.warn({ place, error: messageOf(error) }, "the portfolio's state cannot be read: it starts anew");
    return null;
  }
}
