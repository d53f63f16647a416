/** Results by instrument and by asset class, collected while the book is summed. */
import type { AssetClass } from "../market/instrument.ts";
import type { BacktestInput, InstrumentInput } from "./input.ts";
import { periodsOf, type Clock } from "./periods.ts";
import type { GroupRow } from "./result.ts";
import type { Part } from "./simulate.ts";
import { summarize } from "./summary.ts";

interface InstrumentParts {
  readonly net: Float64Array[];
  turnover: number;
  contribution: number;
}

interface ClassSeries {
  /** (D) sum over the class's instruments. */
  readonly net: Float64Array;
  readonly turnover: Float64Array;
  /** (D) largest number of its instruments that could be in the window: its own N. */
  readonly members: Map<number, Set<number>>;
  contribution: number;
}

export class Groups {
  readonly #instruments: readonly InstrumentInput[];
  readonly #dates: number;
  readonly #clock: Clock;
  readonly #byInstrument = new Map<number, InstrumentParts>();
  readonly #byClass = new Map<AssetClass, ClassSeries>();

  /** `dates`: D of the alignment. */
  constructor({ instruments, dataset }: BacktestInput, dates: number) {
    this.#instruments = instruments;
    this.#dates = dates;
    this.#clock = dataset;
  }

  add(part: Part): void {
    const { assetClass } = this.#instruments[part.instrument].instrument;
    let own = this.#byInstrument.get(part.instrument);
    if (own === undefined) {
      own = { net: [], turnover: 0, contribution: 0 };
      this.#byInstrument.set(part.instrument, own);
    }
    let group = this.#byClass.get(assetClass);
    if (group === undefined) {
      group = { net: new Float64Array(this.#dates), turnover: new Float64Array(this.#dates),
        members: new Map(), contribution: 0 };
      this.#byClass.set(assetClass, group);
    }
    let earned = 0;
    for (let k = 0; k < part.net.length; k++) {
      earned += part.net[k];
      own.turnover += part.turnover[k];
      group.net[part.date[k]] += part.net[k];
      group.turnover[part.date[k]] += part.turnover[k];
    }
    own.net.push(part.net.slice());
    own.contribution += earned / part.stretch.instruments;
    group.contribution += earned / part.stretch.instruments;
    const members = group.members.get(part.stretch.from) ?? new Set();
    group.members.set(part.stretch.from, members.add(part.instrument));
  }

  /** Intraday, an instrument is annualised by its own bars: a quiet one has fewer of them. */
  instruments(periodsPerYear: number): GroupRow[] {
    const rows = [...this.#byInstrument].sort(([a], [b]) => a - b);
    return rows.map(([i, { net: parts, turnover, contribution }]) => {
      const { instrument: { symbol, assetClass }, features: { time } } = this.#instruments[i];
      const net = joined(parts), isDaily = this.#clock.timeframe === "1d";
      const periods = isDaily ? periodsPerYear : periodsOf(time, this.#clock);
      return { name: symbol, assetClass, periods: net.length, contribution,
        ...summarize(net, periods, turnover / net.length * periods) };
    });
  }

  /** `stretches`: the reported ones. A class's return is the sum of its instruments over their number. */
  classes(stretches: readonly { from: number; to: number }[], periodsPerYear: number): GroupRow[] {
    return [...this.#byClass].map(([assetClass, { net, turnover, members, contribution }]) => {
      const parts: Float64Array[] = [];
      let traded = 0;
      for (const { from, to } of stretches) {
        const size = members.get(from)?.size ?? 0;
        if (size === 0) continue;
        parts.push(net.slice(from, to).map((value) => value / size));
        for (let d = from; d < to; d++) traded += turnover[d] / size;
      }
      const series = joined(parts);
      return { name: assetClass, assetClass, periods: series.length, contribution,
        ...summarize(series, periodsPerYear, traded / series.length * periodsPerYear) };
    }).sort((a, b) => b.contribution - a.contribution);
  }
}

function joined(parts: readonly Float64Array[]): Float64Array {
  if (parts.length === 1) return parts[0];
  const out = new Float64Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) { out.set(part, at); at += part.length; }
  return out;
}

