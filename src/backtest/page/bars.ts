/** A bar a name, and a dot for each of its parts, so that what is stable shows: importance, selection. */
import { mean } from "../../metrics/moments.ts";
import { digitsOf, formatPercent, formatRatio } from "./format.ts";
import { ticks } from "./graphics.ts";
import { html, type Markup } from "./html.ts";

/** One bar: its values by part (fold, year); NaN is a part without one. */
export interface BarRow {
  readonly name: string;
  readonly values: readonly number[];
}

export interface BarsOptions {
  readonly id: string;
  /** For who cannot see it. */
  readonly label: string;
  /** Of each part, as in "fold 2005". */
  readonly parts: readonly string[];
  /** Length of the bar; default: the mean of its values. */
  readonly lengthOf?: (row: BarRow) => number;
  /** Values are shares, told in percent. */
  readonly isShare?: boolean;
}

const WIDTH = 480;
const ROW = 24;
const NAMES = 140;
/** More would be cut where letters are larger, on a telephone. */
const NAME_LENGTH_MAX = 14;

/** Bars from zero, in the order given; the caller says what is drawn when there are none. */
export function barsPicture(rows: readonly BarRow[], options: BarsOptions): Markup {
  const { id, label, parts, lengthOf = ({ values }) => mean(values), isShare = false } = options;
  const known = rows.flatMap((row) => [lengthOf(row), ...row.values]).filter(Number.isFinite);
  const low = Math.min(0, ...known), high = Math.max(1e-9, ...known), right = WIDTH - 16;
  const x = (value: number): number => NAMES + ((value - low) / (high - low)) * (right - NAMES);
  const bottom = rows.length * ROW + 6, levels = ticks(low, high, 4);
  const digits = digitsOf(levels.length > 1 ? levels[1] - levels[0] : high);
  const say = (value: number, more: number): string => isShare
    ? formatPercent(value, Math.max(0, digits - 2 + more)) : formatRatio(value, digits + more);
  const grid = levels.map((value) => html`<path class="${Math.abs(value) < 1e-12 ? "zero" : "rule"}"
d="M${at(x(value))} 2V${bottom}"/><text x="${at(x(value))}" y="${bottom + 18}" text-anchor="middle">${
  say(value, 0)}</text>`);
  const bars = rows.map((row, k) => {
    const length = lengthOf(row), middle = k * ROW + ROW / 2 + 2;
    const words = (value: number, part = ""): string => `${row.name}${part}: ${say(value, 2)}`;
    const dots = row.values.map((value, part) => Number.isFinite(value)
      ? html`<circle class="dot" r="3.5" cx="${at(x(value))}" cy="${at(middle)}"><title>${
        words(value, `, ${parts[part]}`)}</title></circle>` : null);
    return html`<text class="strong" x="${NAMES - 8}" y="${at(middle + 4)}" text-anchor="end">${
      short(row.name)}<title>${row.name}</title></text>
<rect class="bar" x="${at(Math.min(x(0), x(length)))}" y="${at(middle - 6)}"
width="${at(Math.abs(x(length) - x(0)))}" height="12"><title>${words(length)}</title></rect>
<g class="c-benchmark">${dots}</g>`;
  });
  return html`<svg class="figure" id="${id}" viewBox="0 0 ${WIDTH} ${bottom + 26}" role="img"
aria-label="${label}">${grid}${bars}</svg>`;
}

/** A coordinate, to a tenth of a unit. */
const at = (value: number): string => value.toFixed(1);

const short = (name: string): string =>
  name.length > NAME_LENGTH_MAX ? `${name.slice(0, NAME_LENGTH_MAX - 1)}…` : name;
