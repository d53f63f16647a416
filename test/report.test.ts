import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { BacktestResult } from "../src/backtest/result.ts";
import { pageScript, themeScript } from "../src/backtest/page/client.ts";
import {
  digitsOf,
  formatMoment,
  formatPercent,
  formatRatio,
  formatValue,
} from "../src/backtest/page/format.ts";
import { ticks } from "../src/backtest/page/graphics.ts";
import { html } from "../src/backtest/page/html.ts";
import { logTicks } from "../src/backtest/page/client-charts.ts";
import { reportPage } from "../src/backtest/page/report-page.ts";
import {
  asOf,
  charts,
  comparedWith,
  decimate,
  pack,
  rollingWindow,
} from "../src/backtest/page/series.ts";
import { DARK, LIGHT } from "../src/backtest/page/theme.ts";
import { growth } from "../src/metrics/rolling.ts";
import { makeResult } from "./report-result.ts";

describe("words and numbers", () => {
  test("0.0468 reads 4.68%, -0.00001 reads 0.00%, NaN reads n/a, infinity reads ∞", () => {
    assert.deepEqual(
      [0.0468, -0.00001, -0.2, NaN, Infinity].map((x) => formatPercent(x, 2)),
      ["4.68%", "0.00%", "-20.00%", "n/a", "∞"],
    );
    assert.deepEqual(
      [1.0133, -0.001, NaN, -Infinity].map((x) => formatRatio(x, 2)),
      ["1.01", "0.00", "n/a", "-∞"],
    );
    assert.deepEqual(
      [formatValue(6500, "count"), formatValue(NaN, "count"), formatValue(2.24159, "growth")],
      ["6,500", "n/a", "2.242"],
    );
  });

  test("the last moment of 2019 in UTC reads 2019-12-31 daily and 2019-12-31 23:59 intraday", () => {
    const moment = Date.UTC(2019, 11, 31, 23, 59);
    assert.equal(formatMoment(moment, false), "2019-12-31");
    assert.equal(formatMoment(moment, true), "2019-12-31 23:59");
  });

  test("ticks of 0 to 1.3 are 0, 0.5, 1 at three, and steps of 2.5, 0.05, 20 need 1, 2, 0 digits", () => {
    assert.deepEqual(ticks(0, 1.3, 3), [0, 0.5, 1]);
    assert.deepEqual([2.5, 0.05, 20, 1e-9].map(digitsOf), [1, 2, 0, 0]);
    assert.deepEqual(ticks(1, 1, 5), [1]);
  });

  test("a log scale from 0.9 to 2.6 has 8 round ticks, from 1 to 4000 has 4, from 1.001 to 1.004 at least 3", () => {
    assert.deepEqual(logTicks(0.9, 2.6), [0.9, 1, 1.2, 1.4, 1.6, 1.8, 2, 2.5]);
    assert.deepEqual(logTicks(1, 4000), [1, 10, 100, 1000]);
    assert.ok(logTicks(1.001, 1.004).length >= 3);
  });

  test("markup escapes the five characters in text and attributes, and keeps its own", () => {
    const name = `<b>"Tom" & 'Jerry'</b>`;
    const safe = "&lt;b&gt;&quot;Tom&quot; &amp; &#39;Jerry&#39;&lt;/b&gt;";
    assert.equal(
      html`<i title="${name}">${[name, html`<u>${1}</u>`, null]}</i>`.markup,
      `<i title="${safe}">${safe}<u>1</u></i>`,
    );
  });
});

/** WCAG 2.2 relative luminance and contrast. */
function contrast(one: string, other: string): number {
  const [high, low] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
}

const channels = (color: string): number[] =>
  [1, 3, 5].map((k) => parseInt(color.slice(k, k + 2), 16));

function luminance(color: string): number {
  const [r, g, b] = channels(color)
    .map((x) => x / 255)
    .map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function mix(color: string, share: number, ground: string): string {
  const under = channels(ground);
  const mixed = channels(color).map((x, k) => Math.round(x * share + under[k] * (1 - share)));
  return `#${mixed.map((x) => x.toString(16).padStart(2, "0")).join("")}`;
}

describe("the look", () => {
  for (const [name, palette] of Object.entries({ LIGHT, DARK })) {
    test(`${name}: text has a contrast of 4.5 on every ground, the fullest heat too, and lines have 3`, () => {
      const grounds = [
        palette.paper,
        palette.wash,
        palette.warn,
        mix(palette.strategy, 0.46, palette.paper),
        mix(palette.benchmark, 0.46, palette.paper),
      ];
      for (const ground of grounds)
        assert.ok(contrast(palette.ink, ground) >= 4.5, `ink on ${ground}`);
      for (const ground of [palette.paper, palette.wash])
        assert.ok(contrast(palette.muted, ground) >= 4.5, `muted on ${ground}`);
      const { strategy, benchmark, target, other1, other2, other3, other4, other5 } = palette;
      for (const line of [strategy, benchmark, target, other1, other2, other3, other4, other5]) {
        assert.ok(contrast(line, palette.paper) >= 3, line);
      }
    });
  }
});

describe("series of the page", () => {
  test("8,000 days with two more strategies make a page under 1.5 MB, the same bytes each time", () => {
    const make = (): string =>
      reportPage(makeResult({ days: 8000 }), {
        others: [
          makeResult({ days: 8000, strategy: "macd", seed: 2 }),
          makeResult({ days: 8000, strategy: "long-only", seed: 3 }),
        ],
      });
    const page = make();
    assert.ok(Buffer.byteLength(page) < 1_500_000, `${Buffer.byteLength(page)} bytes`);
    assert.equal(page, make());
  });

  test("no address to load from is in the page, and its scripts end where they should", () => {
    const page = reportPage(makeResult({ days: 300 }));
    assert.equal(/\b(src|href|action)\s*=\s*["'](?!#)/i.exec(page), null);
    assert.equal(/@import|url\(/i.exec(page), null);
    for (const script of [themeScript(), pageScript()]) assert.ok(!script.includes("</script"));
    assert.equal(page.match(/<script/g)?.length, 3);
  });

  test("a curve of 20,000 rows is sent whole; of 60,000, fewer than 20,000 with the very least and greatest growth", () => {
    assert.equal(decimate(makeResult({ days: 20_000 })), null);
    const result = makeResult({ days: 60_000 });
    const rows = decimate(result);
    assert.ok(rows !== null && rows.length < 20_000 && rows[0] === 0 && rows.at(-1) === 59_999);
    const value = growth(result.curve.netReturn);
    for (const extreme of [Math.max(...value), Math.min(...value)])
      assert.ok(rows.includes(value.indexOf(extreme)));
    assert.ok(rows.every((row, k) => k === 0 || row > rows[k - 1]));
    assert.match(
      reportPage(result),
      new RegExp(`draw ${rows.length.toLocaleString("en-US")} of 60,000 periods`),
    );
  });

  test("packed growth reads back within 6e-8 of the float64 growth (one rounding to float32)", () => {
    const result = makeResult({ days: 1000 });
    const packed = pack(result, charts(result, []), null);
    const text = packed.charts[0].series[0].values;
    assert.ok(typeof text === "string");
    const bytes = Uint8Array.from(Buffer.from(text, "base64"));
    const expected = growth(result.curve.netReturn);
    new Float32Array(bytes.buffer).forEach((value, t) =>
      assert.ok(Math.abs(value / expected[t] - 1) < 6e-8),
    );
  });

  test("another strategy is read at the times of the first: the last value known, nothing before its start", () => {
    const values = asOf(
      Float64Array.of(1, 2, 3, 4),
      Float64Array.of(2, 3.5),
      Float64Array.of(20, 35),
    );
    assert.deepEqual([...values], [NaN, 20, 20, 35]);
  });

  test("the compared strategy that is the benchmark takes its colour and its name; the seventh other is dashed", () => {
    const result = makeResult({ days: 300 });
    const named = (strategy: string): BacktestResult => ({ ...result, strategy });
    const lines = comparedWith(result, ["a", "long-only", "b", "c", "d", "e", "f"].map(named));
    assert.deepEqual(
      lines.map((line) => line.color),
      ["other1", "benchmark", "other2", "other3", "other4", "other5", "other1"],
    );
    assert.equal(lines[1].label, "long-only (benchmark)");
    assert.equal(lines[6].isDashed, true);
    assert.equal(charts(result, [named("long-only")])[1].series.length, 2);
  });

  test("rolling numbers look back 252 days, 63 where the run has fewer than 378, then 21 or fewer", () => {
    assert.equal(rollingWindow(makeResult({ days: 378 })).label, "252-day");
    assert.equal(rollingWindow(makeResult({ days: 377 })).label, "63-day");
    assert.equal(rollingWindow(makeResult({ days: 94 })).label, "21-day");
    const minutes = { ...makeResult({ days: 1600 }), timeframe: "1m", periodsPerYear: 252 * 200 };
    assert.deepEqual(rollingWindow(minutes), { window: 1000, label: "5-session" });
  });
});
