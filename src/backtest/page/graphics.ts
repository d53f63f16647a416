/** Still pictures in SVG: distribution of returns, cost ladder. Colours are classes of theme.ts. */
import { histogram } from "../../metrics/rolling.ts";
import type { BacktestResult } from "../result.ts";
import { digitsOf, formatMoment, formatPercent, formatRatio } from "./format.ts";
import { html, type Markup, type Part } from "./html.ts";
import type { Compared } from "./series.ts";

const WIDTH = 480;
const HEIGHT = 242;
const BOTTOM = 200;
const BINS = 61;
/** Room for the numbers of the cost picture's scale. */
const LEFT = 52;
const RIGHT = 24;

/** Round numbers from low to high, about `count` of them. */
export function ticks(low: number, high: number, count: number): number[] {
  const rough = (high - low) / count;
  if (!(rough > 0) || !Number.isFinite(rough)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((k) => k * power).find((size) => size >= rough) ?? rough;
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, k) => (first + k) * step);
}

function picture(id: string, label: string, parts: readonly Part[]): Markup {
  return html`<svg class="figure" id="${id}" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img"
aria-label="${label}">${parts}</svg>`;
}

type Anchor = "start" | "middle" | "end";

function label(x: number, y: number, anchor: Anchor, text: string, kind = ""): Markup {
  return html`<text class="${kind}" x="${at(x)}" y="${at(y)}" text-anchor="${anchor}">${text}</text>`;
}

/** A coordinate, to a tenth of a unit. */
const at = (value: number): string => value.toFixed(1);

/** Histogram of period returns; value at risk and the mean beyond it are marked where they lie. */
export function distributionPicture(result: BacktestResult): Markup {
  const { edges, counts } = histogram(result.curve.netReturn, BINS);
  const size = counts.length;
  if (size === 0) return html`<p class="caption">n/a: no periods.</p>`;
  const margin = (edges[size] - edges[0] || 0.01) * 0.02;
  const low = edges[0] - margin;
  const high = edges[size] + margin;
  const x = (value: number): number => ((value - low) / (high - low)) * WIDTH;
  const tallest = Math.max(...counts);
  const bars = Array.from(counts, (count, k) => {
    const height = (count / tallest) * (BOTTOM - 44);
    const width = Math.max(x(edges[k + 1]) - x(edges[k]) - 1, 2);
    const kind = edges[k] + edges[k + 1] < 0 ? "down" : "up";
    const words = `${span(edges[k], edges[k + 1])}: ${count} periods`;
    return html`<rect class="${kind}" x="${at(x(edges[k]))}" y="${at(BOTTOM - height)}"
width="${at(width)}" height="${at(height)}"><title>${words}</title></rect>`;
  });
  const scale = ticks(low, high, 6).filter((value) => x(value) > 20 && x(value) < WIDTH - 20)
    .map((value) => label(x(value), BOTTOM + 18, "middle", formatPercent(value, 1)));
  const { valueAtRisk95, conditionalValueAtRisk95 } = result.risk;
  const words = `Histogram of period returns from ${span(edges[0], edges[size])}`;
  return picture("distribution-picture", words, [
    bars, html`<path class="zero" d="M0 ${BOTTOM}H${WIDTH}"/>`, scale,
    lossMark("CVaR 95%", conditionalValueAtRisk95, 0, x), lossMark("VaR 95%", valueAtRisk95, 16, x),
  ]);
}

const span = (low: number, high: number): string =>
  `${formatPercent(low, 2)} to ${formatPercent(high, 2)}`;

/** A dashed line at a loss, its name beside the top; nothing where the loss is outside the picture. */
function lossMark(
  name: string, loss: number, row: number, x: (value: number) => number,
): Markup | null {
  const place = x(-loss);
  if (!(place >= 0 && place <= WIDTH)) return null;
  const isRight = row > 0 || place < 160;
  return html`<path class="mark" d="M${at(place)} ${row + 4}V${BOTTOM}"/>${
    label(place + (isRight ? 4 : -4), row + 12, isRight ? "start" : "end",
      `${name} ${formatPercent(-loss, 2)}`, "strong")}`;
}

/** "Net returns of 6,494 periods. Best 1.95% (2016-06-23), worst ..." */
export function extremesSentence(result: BacktestResult): string {
  const { time, netReturn } = result.curve;
  let best = -1;
  let worst = -1;
  for (let t = 0; t < time.length; t++) {
    if (Number.isNaN(netReturn[t])) continue;
    if (best < 0 || netReturn[t] > netReturn[best]) best = t;
    if (worst < 0 || netReturn[t] < netReturn[worst]) worst = t;
  }
  if (best < 0) return "No periods.";
  const say = (row: number): string =>
    `${formatPercent(netReturn[row], 2)} (${formatMoment(time[row], result.timeframe !== "1d")})`;
  const count = time.length.toLocaleString("en-US");
  return `Net returns of ${count} periods. Best ${say(best)}, worst ${say(worst)}.`;
}

/** Sharpe ratio against cost, one line a strategy. */
export function costPicture(lines: readonly Compared[]): Markup {
  const rungs = lines.flatMap((line) => line.result.costLadder)
    .filter((row) => Number.isFinite(row.sharpe));
  if (rungs.length === 0) return html`<p class="caption">n/a: no cost ladder.</p>`;
  const right = Math.max(...rungs.map((row) => row.costBps), 1);
  const low = Math.min(0, ...rungs.map((row) => row.sharpe));
  const high = Math.max(0.1, ...rungs.map((row) => row.sharpe)) * 1.08;
  const x = (costBps: number): number => LEFT + (costBps / right) * (WIDTH - LEFT - RIGHT);
  const y = (sharpe: number): number => BOTTOM - ((sharpe - low) / (high - low)) * (BOTTOM - 12);
  const levels = ticks(low, high, 5);
  const digits = digitsOf(levels.length > 1 ? levels[1] - levels[0] : levels[0]);
  const grid = levels.map((value) => html`<path class="${value === 0 ? "zero" : "rule"}"
d="M${LEFT} ${at(y(value))}H${WIDTH - RIGHT}"/>${
  label(LEFT - 6, y(value) + 4, "end", formatRatio(value, digits))}`);
  const costs = [...new Set(rungs.map((row) => row.costBps))];
  const scale = costs.map((cost) => label(x(cost), BOTTOM + 18, "middle", String(cost)));
  const middle = (WIDTH + LEFT - RIGHT) / 2;
  const title = label(middle, HEIGHT - 4, "middle", "cost of trading one unit of weight, bps");
  const paths = lines.map(({ result, color }) => {
    const ladder = result.costLadder.filter((row) => Number.isFinite(row.sharpe));
    const points = ladder.map((row) => `${at(x(row.costBps))},${at(y(row.sharpe))}`).join(" ");
    const dots = ladder.map((row) => {
      const words = `${result.strategy}: Sharpe ${formatRatio(row.sharpe, 3)} at ${row.costBps} bps`;
      return html`<circle class="dot" r="4" cx="${at(x(row.costBps))}"
cy="${at(y(row.sharpe))}"><title>${words}</title></circle>`;
    });
    return html`<g class="c-${color}"><polyline class="line" points="${points}"/>${dots}</g>`;
  });
  const words = `Sharpe ratio from ${Math.min(...costs)} to ${right} bps of cost`;
  return picture("cost-picture", words, [grid, scale, title, paths]);
}
