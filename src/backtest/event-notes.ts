/** Sentences a reader of an event run must know. */
import type { Performance, Stage } from "./event-stage.ts";
import { termsOf, tradesRaw } from "./event-stage.ts";
import { vectorNotes } from "./notes.ts";
import type { WindowResult } from "./result.ts";

const number = (count: number): string => count.toLocaleString("en-US");

/** `instruments`: decided on at least once. */
export function eventNotes(stage: Stage, performance: Performance, windows: readonly WindowResult[],
  instruments: number): string[] {
  const { alignment, stretches, clipped, unscaled } = stage;
  const limited = new Map<string, number>(stage.unshaped);
  for (const run of performance.runs) {
    for (const [reason, count] of run.reasons) limited.set(reason, (limited.get(reason) ?? 0) + count);
  }
  return [
    ...vectorNotes(stage.input,
      { instruments, clipped, unscaled, limited, windows, stretches, alignment }),
    ...accountNotes(stage, performance),
  ];
}

function accountNotes(stage: Stage, { runs, tapes }: Performance): string[] {
  const { input, scene } = stage, terms = termsOf(input);
  const sum = (of: (k: number) => number): number => runs.reduce((total, _, k) => total + of(k), 0);
  const orders = sum((k) => tapes[k].orders), fills = sum((k) => tapes[k].fills);
  const notes = [`Event engine: ${number(orders)} orders, ${number(fills)} fills on a capital of `
    + `${number(scene.capital)}${stage.plans.length > 1 ? " in each window" : ""}.`];
  const isWanted = scene.weight.some((weights) => weights.some((weight) => weight !== 0));
  if (orders === 0 && isWanted && !terms.isFractional) {
    notes.push("Not one order was sent: no weight buys a whole share on this capital; give --capital or "
      + "--fractional.");
  }
  if (!tradesRaw(input)) {
    const whole = input.settings.isFractional ? "" : ", not whole shares";
    notes.push(`The dataset has only adjusted prices (${input.dataset.adjustment}): positions are `
      + `fractional claims on them${whole}; splits, dividends and rolls are inside the prices.`);
  }
  if (input.settings.lag === 1) {
    const moment = terms.isFilledAtOpen ? "open" : "close";
    notes.push(`Orders fill at the next bar's ${moment}; each asks for a share of the equity, and its size `
      + "is fixed at that price.");
  }
  const actions = sum((k) => runs[k].actions), lieu = sum((k) => runs[k].lieu);
  if (actions > 0) {
    notes.push(`Splits and dividends that met a position: ${number(actions)}`
      + `${lieu === 0 ? "" : `; ${lieu.toFixed(2)} was paid in cash for fractions of shares`}.`);
  }
  const partial = sum((k) => tapes[k].partial), refused = sum((k) => tapes[k].refused);
  if (partial > 0) notes.push(`Orders filled only in part, the rest cancelled: ${number(partial)}.`);
  if (refused > 0) notes.push(`Orders refused by a gate: ${number(refused)}.`);
  const hasVolume = input.instruments.some((one) => one.bars.columns.volume !== undefined);
  if (terms.participationMax < Infinity && !hasVolume) {
    notes.push("The dataset has no volume, so no order was filled in part.");
  }
  const ended = [...new Set(runs.flatMap((run) => run.ended))]
    .map((i) => input.instruments[i].instrument.symbol);
  if (ended.length > 0) {
    notes.push(`Closed out at the last price because the bars end: ${ended.slice(0, 8).join(", ")}`
      + `${ended.length > 8 ? ` and ${ended.length - 8} more` : ""}.`);
  }
  if (runs.some((run) => run.isRuined)) {
    notes.push("The equity was lost: everything was closed and nothing traded after that.");
  }
  return notes;
}
