/** Still pictures of a training, in SVG: curves by epoch. */
import { digitsOf, formatRatio } from "../backtest/page/format.ts";
import { ticks } from "../backtest/page/graphics.ts";
import { html, type Markup } from "../backtest/page/html.ts";

const WIDTH = 480;
const HEIGHT = 232;
const TOP = 28;
const BOTTOM = 186;
const LEFT = 46;
const RIGHT = 12;
/** Colours of theme.ts, in the order in which lines take them. */
const COLORS = ["strategy", "benchmark", "other1", "other2", "other3", "other4", "other5", "target"] as const;

export const colorOf = (index: number): string => COLORS[index % COLORS.length];

/** One line of a picture. */
export interface Line {
  readonly label: string;
  /** Values of epochs 1, 2, ...; NaN is a gap. */
  readonly values: readonly number[];
  /** The epoch, from 1, whose parameters were kept; 0: none. */
  readonly kept: number;
}

/** Scales shared by pictures that are compared. */
export interface Scales {
  readonly epochs: number;
  readonly low: number;
  readonly high: number;
}

/**
 * The range of all but the wildest hundredth of the values on either side, so that one diverged
 * epoch does not flatten every line, with zero in it if `hasZero`.
 */
export function scalesOf(lines: readonly Line[], hasZero: boolean): Scales {
  const values = lines.flatMap((line) => [...line.values]).filter(Number.isFinite).sort((a, b) => a - b);
  const at = (share: number): number => values[Math.round(share * (values.length - 1))] ?? 0;
  const kept = lines.map((line) => line.values[line.kept - 1]).filter(Number.isFinite);
  const zero = hasZero ? [0] : [];
  const low = Math.min(at(0.01), ...kept, ...zero), high = Math.max(at(0.99), ...kept, ...zero);
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  const epochs = Math.max(2, ...lines.map((line) => line.values.length));
  return { epochs, low: low - room, high: high + room };
}

const at = (value: number): string => value.toFixed(1);

/** Lines over epochs under a title; a dot where the parameters were kept. */
export function curvePicture(id: string, title: string, lines: readonly Line[], scales: Scales): Markup {
  const { epochs, low, high } = scales;
  const x = (epoch: number): number => LEFT + ((epoch - 1) / (epochs - 1)) * (WIDTH - LEFT - RIGHT);
  const y = (value: number): number =>
    BOTTOM - ((Math.min(high, Math.max(low, value)) - low) / (high - low)) * (BOTTOM - TOP);
  const levels = ticks(low, high, 4);
  const digits = digitsOf(levels.length > 1 ? levels[1] - levels[0] : levels[0]);
  const grid = levels.map((value) => html`<path class="${Math.abs(value) < 1e-9 ? "zero" : "rule"}"
d="M${LEFT} ${at(y(value))}H${WIDTH - RIGHT}"/><text x="${LEFT - 6}" y="${at(y(value) + 4)}"
text-anchor="end">${formatRatio(value, digits)}</text>`);
  const scale = ticks(1, epochs, 7).filter((epoch) => Number.isInteger(epoch) && epoch > 0)
    .map((epoch) => html`<text x="${at(x(epoch))}" y="${BOTTOM + 18}" text-anchor="middle">${epoch}</text>`);
  const paths = lines.map((line, k) => html`<g class="c-${colorOf(k)}">${
    piecesOf(line.values).map((piece) => html`<polyline class="line thin" points="${
      piece.map(([epoch, value]) => `${at(x(epoch))},${at(y(value))}`).join(" ")}"/>`)}${
    keptDot(line, x, y)}</g>`);
  return html`<svg class="figure" id="${id}" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img"
aria-label="${`${title} by epoch, a line a seed`}"><text class="strong" x="${LEFT}" y="12">${title}</text>${
    grid}${scale}<text x="${(WIDTH + LEFT - RIGHT) / 2}" y="${HEIGHT - 8}"
text-anchor="middle">epoch</text>${paths}</svg>`;
}

function keptDot(line: Line, x: (epoch: number) => number, y: (value: number) => number): Markup | null {
  const value = line.values[line.kept - 1];
  if (value === undefined || Number.isNaN(value)) return null;
  return html`<circle class="dot" r="4.5" cx="${at(x(line.kept))}" cy="${at(y(value))}"><title>${
    `${line.label}: epoch ${line.kept} was kept, ${formatRatio(value, 3)}`}</title></circle>`;
}

/** Runs of epochs with a value, [epoch, value] each. */
function piecesOf(values: readonly number[]): [number, number][][] {
  const pieces: [number, number][][] = [];
  let isOpen = false;
  values.forEach((value, k) => {
    if (!Number.isFinite(value)) { isOpen = false; return; }
    if (!isOpen) pieces.push([]);
    isOpen = true;
    pieces.at(-1)!.push([k + 1, value]);
  });
  return pieces;
}

/** What these pictures add to theme.ts. */
export const PICTURE_STYLE = `
svg .line.thin{stroke-width:1.5}
.fold{margin-top:22px}
.fold .head{justify-content:flex-start}
.fold .two{gap:0 40px}
.fold svg.figure{margin-top:4px}
.legend span{display:inline-flex;align-items:center;gap:6px}
`;
