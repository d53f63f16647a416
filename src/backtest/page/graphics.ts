/** Still pictures in SVG: the distribution of returns and the cost ladder. Colour only through classes of theme.ts. */
import { histogram } from "../../metrics/rolling.ts";
import type { BacktestResult } from "../result.ts";
import { digitsOf, formatMoment, formatPercent, formatRatio } from "./format.ts";
import { html, type Markup } from "./html.ts";
import type { Compared } from "./series.ts";

const WIDTH = 480;
const HEIGHT = 242;
const BOTTOM = 200;

/** Round numbers from low to high, about `count` of them. */
export function ticks(low: number, high: number, count: number): number[] {
  const rough = (high - low) / count;
  if (!(rough > 0) || !Number.isFinite(rough)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map(k => k * power).find(size => size >= rough) ?? rough;
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, k) => (first + k) * step);
}

/** Histogram of period returns; value at risk and its mean beyond are marked where they lie. */
export function distributionPicture(result: BacktestResult): Markup {
  const { edges, counts } = histogram(result.curve.netReturn, 61);
  if (counts.length === 0) return html`<p class="caption">n/a: no periods.</p>`;
  const margin = (edges[counts.length] - edges[0] || 0.01) * 0.02;
  const low = edges[0] - margin;
  const high = edges[counts.length] + margin;
  const x = (value: number): number => ((value - low) / (high - low)) * WIDTH;
  const tallest = Math.max(...counts);
  const bars = Array.from(counts, (count, k) => {
    const height = (count / tallest) * (BOTTOM - 44);
    const middle = (edges[k] + edges[k + 1]) / 2;
    const width = Math.max(x(edges[k + 1]) - x(edges[k]) - 1, 2);
    return html`<rect class="${middle < 0 ? "down" : "up"}" x="${x(edges[k]).toFixed(1)}" y="${(BOTTOM - height).toFixed(1)}"
width="${width.toFixed(1)}" height="${height.toFixed(1)}"><title>${formatPercent(edges[k], 2)} to ${
  formatPercent(edges[k + 1], 2)}: ${count} periods</title></rect>`;
  });
  const mark = (loss: number, label: string, row: number): Markup | null => {
    if (!Number.isFinite(loss) || -loss < low || -loss > high) return null;
    const at = x(-loss);
    const isRight = row > 0 || at < 160;
    return html`<path class="mark" d="M${at.toFixed(1)} ${row + 4}V${BOTTOM}"/><text class="strong" x="${
      (at + (isRight ? 4 : -4)).toFixed(1)}" y="${row + 12}" text-anchor="${isRight ? "start" : "end"}">${label} ${
      formatPercent(-loss, 2)}</text>`;
  };
  return html`<svg class="figure" id="distribution-picture" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img"
aria-label="Histogram of ${counts.reduce((sum, count) => sum + count, 0)} period returns from ${formatPercent(edges[0], 2)} to ${
  formatPercent(edges[counts.length], 2)}">${bars}<path class="zero" d="M0 ${BOTTOM}H${WIDTH}"/>${
    ticks(low, high, 6).filter(value => x(value) > 20 && x(value) < WIDTH - 20).map(value => html`<text x="${x(value).toFixed(1)}" y="${BOTTOM + 18}" text-anchor="middle">${
      formatPercent(value, 1)}</text>`)}${mark(result.risk.conditionalValueAtRisk95, "CVaR 95%", 0)}${
    mark(result.risk.valueAtRisk95, "VaR 95%", 16)}</svg>`;
}

/** "Best +1.93% on 2008-10-13, worst ..." */
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
  const say = (row: number): string => `${formatPercent(netReturn[row], 2)} (${formatMoment(time[row], result.timeframe !== "1d")})`;
  return `Net returns of ${time.length.toLocaleString("en-US")} periods. Best ${say(best)}, worst ${say(worst)}.`;
}

/** Sharpe ratio against cost, one line a strategy. */
export function costPicture(lines: readonly Compared[]): Markup {
  const points = lines.flatMap(line => line.result.costLadder).filter(row => Number.isFinite(row.sharpe));
  if (points.length === 0) return html`<p class="caption">n/a: no cost ladder.</p>`;
  const right = Math.max(...points.map(row => row.costBps), 1);
  const sharpes = points.map(row => row.sharpe);
  const low = Math.min(0, ...sharpes);
  const high = Math.max(0.1, ...sharpes) * 1.08;
  const x = (costBps: number): number => 52 + (costBps / right) * (WIDTH - 76);
  const y = (sharpe: number): number => BOTTOM - ((sharpe - low) / (high - low)) * (BOTTOM - 12);
  const levels = ticks(low, high, 5);
  const digits = digitsOf(levels.length > 1 ? levels[1] - levels[0] : levels[0]);
  const grid = levels.map(value => html`<path class="${value === 0 ? "zero" : "rule"}" d="M52 ${
    y(value).toFixed(1)}H${WIDTH - 24}"/><text x="46" y="${(y(value) + 4).toFixed(1)}" text-anchor="end">${
  formatRatio(value, digits)}</text>`);
  const costs = [...new Set(points.map(row => row.costBps))];
  const labels = costs.map(cost => html`<text x="${x(cost).toFixed(1)}" y="${BOTTOM + 18}" text-anchor="middle">${cost}</text>`);
  const paths = lines.map(({ result, color }) => {
    const ladder = result.costLadder.filter(row => Number.isFinite(row.sharpe));
    return html`<g class="c-${color}"><polyline class="line" points="${
      ladder.map(row => `${x(row.costBps).toFixed(1)},${y(row.sharpe).toFixed(1)}`).join(" ")}"/>${
      ladder.map(row => html`<circle class="dot" r="4" cx="${x(row.costBps).toFixed(1)}" cy="${y(row.sharpe).toFixed(1)}"><title>${
        result.strategy}: Sharpe ${formatRatio(row.sharpe, 3)} at ${row.costBps} bps</title></circle>`)}</g>`;
  });
  return html`<svg class="figure" id="cost-picture" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="Sharpe ratio from ${
    Math.min(...costs)} to ${right} bps of cost">${grid}${labels}<text x="${WIDTH / 2 + 14}" y="${HEIGHT - 4}"
text-anchor="middle">cost of trading one unit of weight, bps</text>${paths}</svg>`;
}
