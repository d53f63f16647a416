/** The page's script, part two: the charts. As client-canvas.ts: functions sent as their own text. */
import type { Axis, Chart, Desk, Ink } from "./browser.ts";
import {
  acrossOf, drawAxes, drawCloud, drawMarks, inkOf, lookOf, paint, placeOn, realAxis, sayOn, upOf,
} from "./client-canvas.ts";

export function drawChart(desk: Desk, chart: Chart): void {
  chart.width = chart.box.clientWidth;
  chart.height = chart.box.clientHeight;
  if (chart.width < 40) return;
  chart.spots.length = 0;
  chart.isDrawn = true;
  const ink = inkOf(chart, false);
  if (chart.kind === "history") drawHistory(desk, chart, ink);
  else if (chart.kind === "volume") drawVolume(desk, chart, ink);
  else if (chart.kind === "parallel") drawParallel(desk, chart, ink);
  else if (chart.kind === "matrix") drawMatrix(desk, chart, ink);
  else if (chart.kind === "pair") drawPair(desk, chart, ink);
  else if (chart.kind === "slice") drawSlice(desk, chart, ink);
  else if (chart.kind === "timeline") drawTimeline(desk, chart, ink);
  else drawCurves(desk, chart, ink);
  drawPointed(desk, chart);
}

export function axisOfTrials(desk: Desk): Axis {
  return { ...realAxis("trial", 0, Math.max(1, desk.count - 1)), isWhole: true };
}

/** Values by trial, and the best so far as a staircase. */
export function drawHistory(desk: Desk, chart: Chart, ink: Ink): void {
  const x = axisOfTrials(desk), y = desk.objectives[chart.index], frame = drawAxes(chart, ink, x, y);
  drawCloud(desk, chart, ink, x, y, desk.number, desk.values[chart.index], true);
  ink.strokeStyle = paint("ink");
  ink.lineWidth = 1.5;
  ink.beginPath();
  let before = NaN;
  desk.best[chart.index].forEach((value, row) => {
    if (Number.isNaN(value)) return;
    const px = acrossOf(frame, x, desk.number[row]), py = upOf(frame, y, value);
    if (Number.isNaN(before)) ink.moveTo(px, py);
    else { ink.lineTo(px, before); ink.lineTo(px, py); }
    before = py;
  });
  if (!Number.isNaN(before)) ink.lineTo(frame.right, before);
  ink.stroke();
}

export function drawVolume(desk: Desk, chart: Chart, ink: Ink): void {
  const high = Math.max(...desk.volume.map((one) => one[1]), 1e-300);
  const x = axisOfTrials(desk), y = realAxis("", 0, high * 1.05), frame = drawAxes(chart, ink, x, y);
  ink.strokeStyle = paint("strategy");
  ink.lineWidth = 2;
  ink.beginPath();
  let before = frame.bottom;
  ink.moveTo(frame.left, before);
  for (const [number, value] of desk.volume) {
    const px = acrossOf(frame, x, number), py = upOf(frame, y, value);
    ink.lineTo(px, before);
    ink.lineTo(px, py);
    before = py;
  }
  ink.lineTo(frame.right, before);
  ink.stroke();
}

/** Whether a trial lies in all ranges that the reader has set. */
export function isWithin(desk: Desk, row: number): boolean {
  return desk.ranges.every((range, m) => range === null
    || (desk.values[m][row] >= range[0] && desk.values[m][row] <= range[1]));
}

/** Length along an axis of parallel coordinates at which a value lies; better is further. */
export function goodness(desk: Desk, m: number, value: number): number {
  const share = placeOn(desk.ends[m], value);
  return desk.objectives[m].isMaximised ? share : 1 - share;
}

/**
 * Where the axes of parallel coordinates are. On a wide surface they stand, better is up; on a narrow one
 * they lie below each other, better is right.
 */
export function axesOf(desk: Desk, chart: Chart):
  { isLying: boolean; at: number[]; from: number; to: number } {
  const M = desk.objectives.length, isLying = chart.width < 72 * M + 40;
  const first = isLying ? 34 : 56, last = isLying ? chart.height - 14 : chart.width - 56;
  const at = desk.objectives.map((_, m) => first + (m / Math.max(1, M - 1)) * (last - first));
  if (isLying) return { isLying, at, from: 12, to: chart.width - 12 };
  return { isLying, at, from: chart.height - 26, to: 46 };
}

export function drawParallel(desk: Desk, chart: Chart, ink: Ink): void {
  const { isLying, at, from, to } = axesOf(desk, chart), lines: number[][] = [[], [], []];
  for (let row = 0; row < desk.number.length; row++) {
    if (desk.isFront[row] === 0) continue;
    lines[row === desk.preferred ? 2 : isWithin(desk, row) ? 1 : 0].push(row);
  }
  const crowd = lines[1].length > 500 ? 0.16 : lines[1].length > 80 ? 0.4 : 0.75;
  lines.forEach((rows, k) => {
    ink.strokeStyle = paint(["rule", "strategy", "other2"][k]);
    ink.globalAlpha = [0.7, crowd, 1][k];
    ink.lineWidth = [1, 1.3, 3][k];
    ink.beginPath();
    for (const row of rows) {
      at.forEach((across, m) => {
        const along = from + goodness(desk, m, desk.values[m][row]) * (to - from);
        const x = isLying ? along : across, y = isLying ? across : along;
        if (m === 0) ink.moveTo(x, y); else ink.lineTo(x, y);
        chart.spots.push(x, x, y, row);
      });
    }
    ink.stroke();
  });
  ink.globalAlpha = 1;
  at.forEach((across, m) => drawStandingAxis(desk, chart, ink, m, across));
}

/** One axis of parallel coordinates with its name, its two ends and the reader's range. */
export function drawStandingAxis(desk: Desk, chart: Chart, ink: Ink, m: number, across: number): void {
  const { isLying, from, to } = axesOf(desk, chart), axis = desk.ends[m], range = desk.ranges[m];
  const { isMaximised } = desk.objectives[m];
  ink.strokeStyle = paint("muted");
  ink.lineWidth = 1;
  ink.beginPath();
  ink.moveTo(isLying ? from : across, isLying ? across : from);
  ink.lineTo(isLying ? to : across, isLying ? across : to);
  ink.stroke();
  if (range !== null) {
    const ends = range.map((value) => from + goodness(desk, m, value) * (to - from));
    const low = Math.min(...ends), long = Math.max(3, Math.abs(ends[0] - ends[1]));
    ink.fillStyle = paint("benchmark");
    ink.globalAlpha = 0.35;
    if (isLying) ink.fillRect(low, across - 7, long, 14); else ink.fillRect(across - 7, low, 14, long);
    ink.globalAlpha = 1;
  }
  const worst = sayOn(axis, isMaximised ? axis.low : axis.high);
  const best = sayOn(axis, isMaximised ? axis.high : axis.low);
  const name = (isMaximised ? "↑ " : "↓ ") + axis.name;
  ink.textBaseline = "alphabetic";
  type Align = "left" | "center" | "right";
  const write = (text: string, color: string, align: Align, x: number, y: number): void => {
    ink.fillStyle = paint(color);
    ink.textAlign = align;
    // Lines pass below the words of a lying axis.
    ink.strokeStyle = paint("paper");
    ink.lineWidth = 4;
    ink.strokeText(text, x, y);
    ink.fillText(text, x, y);
  };
  if (isLying) {
    write(worst, "muted", "left", from, across - 9);
    write(name, "ink", "center", (from + to) / 2, across - 9);
    write(best, "muted", "right", to, across - 9);
    return;
  }
  const room = chart.width / desk.objectives.length - 8;
  let short = name;
  while (short.length > 4 && ink.measureText(short).width > room) short = short.slice(0, -2) + "…";
  write(short, "ink", "center", across, 16);
  write(best, "muted", "center", across, 36);
  write(worst, "muted", "center", across, chart.height - 8);
}

/** The lower half of all pairs, names on the diagonal: a name's row is up, its column across. */
export function drawMatrix(desk: Desk, chart: Chart, ink: Ink): void {
  const M = desk.objectives.length, wide = chart.width / M, tall = chart.height / M;
  const place = (m: number, row: number): number => placeOn(desk.objectives[m], desk.values[m][row]);
  const pair = [desk.chosen.x, desk.chosen.y];
  const rows = [...desk.number.keys()], looks = rows.map((row) => lookOf(desk, row));
  ink.textAlign = "center";
  ink.textBaseline = "middle";
  for (let j = 0; j < M; j++) {
    ink.fillStyle = paint("muted");
    let name = desk.objectives[j].name;
    while (name.length > 3 && ink.measureText(name).width > wide - 4) name = name.slice(0, -2) + "…";
    ink.fillText(name, (j + 0.5) * wide, (j + 0.5) * tall);
    for (let i = 0; i < j; i++) {
      const left = i * wide, top = j * tall;
      const isChosen = i === Math.min(...pair) && j === Math.max(...pair);
      ink.strokeStyle = paint(isChosen ? "ink" : "rule");
      ink.lineWidth = isChosen ? 2 : 1;
      ink.strokeRect(left + 2, top + 2, wide - 4, tall - 4);
      for (const look of [0, 4]) {
        ink.fillStyle = paint(look === 0 ? "gross" : "strategy");
        const size = look === 0 ? 1.3 : 2;
        for (const row of rows) {
          if (looks[row] !== look || (look === 4 && !isWithin(desk, row))) continue;
          const x = left + 5 + place(i, row) * (wide - 12), y = top + tall - 7 - place(j, row) * (tall - 12);
          ink.fillRect(x, y, size, size);
        }
      }
    }
  }
}

export function drawPair(desk: Desk, chart: Chart, ink: Ink): void {
  const { x: i, y: j } = desk.chosen, x = desk.objectives[i], y = desk.objectives[j];
  const { left, top, right, bottom } = drawAxes(chart, ink, x, y);
  ink.fillStyle = paint("muted");
  ink.textBaseline = "alphabetic";
  const corner = (isRight: boolean, isTop: boolean): void => {
    ink.textAlign = isRight ? "right" : "left";
    ink.fillText("better", isRight ? right - 4 : left + 6, isTop ? top + 12 : bottom - 8);
  };
  corner(x.isMaximised, y.isMaximised);
  const values = desk.values[j].map((value, row) =>
    (desk.isFront[row] === 1 && !isWithin(desk, row) ? NaN : value));
  drawCloud(desk, chart, ink, x, y, desk.values[i], values, false);
}

/** Values of the chosen objective against one parameter. */
export function drawSlice(desk: Desk, chart: Chart, ink: Ink): void {
  const x = desk.parameters[chart.index], y = desk.objectives[desk.chosen.slice];
  drawAxes(chart, ink, x, y);
  drawCloud(desk, chart, ink, x, y, desk.points[chart.index], desk.values[desk.chosen.slice], false);
}

/** A lane a worker, a bar an attempt. What was lost is framed and crossed. */
export function drawTimeline(desk: Desk, chart: Chart, ink: Ink): void {
  const { lane, row, outcome, from, to } = desk.attempts, isHours = desk.seconds > 7200;
  const unit = isHours ? 3600 : desk.seconds > 300 ? 60 : 1;
  const x = realAxis("", 0, Math.max(desk.seconds / unit, 1e-3));
  const y = { ...realAxis("", 0, 1), choices: desk.workers.toReversed() }, frame = drawAxes(chart, ink, x, y);
  ink.fillText(isHours ? "h" : unit === 60 ? "min" : "s", frame.left / 2, frame.bottom + 7);
  const room = (frame.bottom - frame.top) / desk.workers.length, tall = Math.min(16, room * 0.7);
  for (let k = 0; k < lane.length; k++) {
    const kind = desk.outcomes[outcome[k]];
    const one = acrossOf(frame, x, from[k] / unit), two = acrossOf(frame, x, to[k] / unit);
    const middle = frame.top + (lane[k] + 0.5) * room, wide = Math.max(1, two - one - 0.6);
    const isGone = kind === "lost" || kind === "erred" || kind === "returned";
    const name = desk.states[desk.state[row[k]]];
    const color = isGone ? "loss" : kind === "running" ? "other1" : kind === "duplicate" ? "muted"
      : name === "pruned" ? "benchmark" : name === "complete" ? "strategy" : "target";
    ink.fillStyle = paint(color);
    ink.strokeStyle = paint(color);
    ink.globalAlpha = isGone ? 0.25 : kind === "late" ? 0.5 : 0.85;
    ink.fillRect(one, middle - tall / 2, wide, tall);
    ink.globalAlpha = 1;
    if (isGone || kind === "late") {
      ink.lineWidth = 1.2;
      ink.strokeRect(one + 0.5, middle - tall / 2 + 0.5, Math.max(1, wide - 1), tall - 1);
    }
    if (isGone) drawMarks(ink, 1, [two - 0.5, middle]);
    chart.spots.push(one, one + wide, middle, row[k]);
  }
}

/** Reported values by step; a cross where a trial was pruned. */
export function drawCurves(desk: Desk, chart: Chart, ink: Ink): void {
  const { row, start, step, values } = desk.curves, m = desk.chosen.curve, ends: number[] = [];
  const of = values[m], y = curveAxis(of);
  const x = { ...realAxis("", 1, Math.max(2, desk.stepsMax)), isWhole: true };
  const frame = drawAxes(chart, ink, x, y);
  const crowd = row.length > 200 ? 0.25 : row.length > 50 ? 0.5 : 0.8;
  for (let k = 0; k < row.length; k++) {
    const look = lookOf(desk, row[k]);
    ink.strokeStyle = paint(["gross", "benchmark", "loss", "target", "strategy", "other2"][look]);
    ink.globalAlpha = look === 5 ? 1 : look === 4 ? Math.max(crowd, 0.7) : crowd;
    ink.lineWidth = look === 5 ? 3 : look === 4 ? 1.6 : 1.1;
    ink.beginPath();
    let isOpen = false, px = NaN, py = NaN;
    for (let i = start[k]; i < start[k + 1]; i++) {
      if (Number.isNaN(of[i])) { isOpen = false; continue; }
      px = acrossOf(frame, x, step[i]);
      py = upOf(frame, y, of[i]);
      if (isOpen) ink.lineTo(px, py); else ink.moveTo(px, py);
      isOpen = true;
      chart.spots.push(px, px, py, row[k]);
    }
    ink.stroke();
    if (look === 1 && !Number.isNaN(px)) ends.push(px, py);
  }
  drawMarks(ink, 1, ends);
}

/** All but the wildest hundredth on either side, so that one divergence does not flatten every curve. */
export function curveAxis(values: Float32Array): Axis {
  const sorted = values.filter(Number.isFinite).sort();
  const last = sorted.length - 1;
  const low = sorted[Math.floor(0.01 * last)] ?? 0, high = sorted[Math.ceil(0.99 * last)] ?? 1;
  const room = (high - low || Math.abs(high) || 1) * 0.05;
  return realAxis("", low - room, high + room);
}

/** Rings on what is pointed at, and its line where it is one. */
export function drawPointed(desk: Desk, chart: Chart): void {
  const ink = inkOf(chart, true), { spots } = chart;
  if (desk.row < 0) return;
  ink.strokeStyle = paint("ink");
  ink.lineWidth = 2;
  ink.beginPath();
  let isOpen = false;
  for (let k = 0; k < spots.length; k += 4) {
    if (spots[k + 3] !== desk.row) continue;
    const [left, right, y] = [spots[k], spots[k + 1], spots[k + 2]];
    if (chart.kind === "timeline") { ink.rect(left - 1.5, y - 10, right - left + 3, 20); continue; }
    if (chart.isLine) { if (isOpen) ink.lineTo(left, y); else ink.moveTo(left, y); isOpen = true; continue; }
    ink.moveTo(left + 7, y);
    ink.arc(left, y, 7, 0, 7);
  }
  ink.stroke();
}

/** Row of the mark nearest to a place; -1 where none is within 30 pixels. */
export function nearestRow(chart: Chart, x: number, y: number): number {
  let best = 900, row = -1;
  for (let k = 0; k < chart.spots.length; k += 4) {
    const dx = x - Math.max(chart.spots[k], Math.min(chart.spots[k + 1], x)), dy = y - chart.spots[k + 2];
    const distance = dx * dx + dy * dy;
    if (distance < best) { best = distance; row = chart.spots[k + 3]; }
  }
  return row;
}
