/**
 * Asks a strategy and holds its answer to the contract: whoever wrote it, a fault names instrument and
 * moment.
 */
import { formatDay, formatTime, MS_PER_DAY } from "../base/units.ts";
import { Interrupted, messageOf, UserError } from "../base/error.ts";
import type { Batch } from "../dataset/batch.ts";
import type { Decision, Strategy } from "./strategy.ts";

/** Positions a hair outside [-1, 1] are float32 rounding. */
const SLACK = 1 + 1e-6;

/**
 * `strategy.decide` with every number checked: positions in [-1, 1], volatilities >= 0, one of each per row.
 */
export async function askStrategy(strategy: Strategy, batch: Batch): Promise<Decision> {
  let decision: Decision;
  try { decision = await strategy.decide(batch); } catch (error) {
    if (error instanceof UserError || error instanceof Interrupted) throw error;
    throw new UserError(`strategy ${strategy.name} failed ${describe(batch, 0)}: ${messageOf(error)}`, MEND,
      { cause: error });
  }
  const B = batch.time.length;
  for (const name of ["position", "volatility"] as const) {
    const found = (decision as Partial<Decision> | undefined)?.[name]?.length;
    if (found === B) continue;
    throw new UserError(`strategy ${strategy.name} gave ${found ?? "no"} values of ${name} for ${B} rows`,
      MEND);
  }
  const { position, volatility } = decision;
  for (let b = 0; b < B; b++) {
    if (!(Math.abs(position[b]) <= SLACK)) {
      throw fault(strategy, batch, b, "position", position[b], "a number in [-1, 1]");
    }
    if (!(volatility[b] >= 0 && volatility[b] < Infinity)) {
      throw fault(strategy, batch, b, "volatility", volatility[b], "a number >= 0");
    }
  }
  return decision;
}

const MEND = "mend the strategy's decide(batch): it returns { position, volatility, confidence }, "
  + "one number each per row";

function fault(strategy: Strategy, batch: Batch, b: number, what: string, found: number,
  expected: string): UserError {
  return new UserError(`strategy ${strategy.name} gave the ${what} ${found} ${describe(batch, b)}; `
    + `expected ${expected}`, MEND);
}

/** Where a row is, for people: "for SP500 on 1995-01-03". A bar of a day is told by its day. */
function describe(batch: Batch, b: number): string {
  if (batch.time.length === 0) return "on no rows";
  const time = batch.time[b];
  const isDaily = batch.time.every((other) => other === time || Math.abs(other - time) >= MS_PER_DAY / 2);
  const when = isDaily ? formatDay(Math.floor(time / MS_PER_DAY)) : formatTime(time);
  return `for ${batch.symbols[batch.instrument[b]]} on ${when}`;
}
