/** The page in a real Chromium: what a reader sees, presses and points at. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { after, before, describe, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import type { BacktestResult } from "../src/backtest/result.ts";
import { formatMoment, formatPercent, formatValue } from "../src/backtest/page/format.ts";
import { reportPage } from "../src/backtest/page/report-page.ts";
import { DARK, LIGHT } from "../src/backtest/page/theme.ts";
import { RISK_WORDS, SUMMARY_WORDS } from "../src/backtest/page/words.ts";
import { drawdown, growth, monthlyReturns, rollingSharpe } from "../src/metrics/rolling.ts";
import { chromiumPath, NO_CHROMIUM, openChromium, showFile, type Look, type Sight } from "./chromium.ts";
import { makeResult } from "./report-result.ts";

const CHROMIUM = chromiumPath();
const CHARTS = ["equity", "drawdown", "sharpe", "volatility", "exposure", "turnover"];
const SECTIONS = [
  "performance",
  "windows",
  "rolling",
  "monthly",
  "risk",
  "trading",
  "costs",
  "classes",
  "instruments",
  "notes",
];

describe("the report in Chromium", { skip: CHROMIUM === null && NO_CHROMIUM }, () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-report-"));
  const browsers: Browser[] = [];
  let pages = 0;
  before(async () => {
    browsers.push(await openChromium(CHROMIUM ?? ""));
  });
  after(async () => {
    await Promise.all(browsers.map((browser) => browser.close()));
    fs.rmSync(folder, { recursive: true });
  });

  async function show(text: string, look: Look = {}): Promise<Sight> {
    const file = path.join(folder, `page-${pages++}.html`);
    fs.writeFileSync(file, text);
    return showFile(browsers[0], file, look);
  }

  /**
   * Shows a page, lets `look` at it, and expects no complaint, no bare NaN and no sideways
   * scrolling.
   */
  async function see(
    text: string,
    look: Look,
    check: (page: Page) => Promise<void>,
  ): Promise<void> {
    const sight = await show(text, look);
    await check(sight.page);
    const words = await sight.page.innerText("body");
    assert.doesNotMatch(words, /\b(NaN|undefined|null|Infinity|\[object)\b/);
    const width = Number(await sight.page.evaluate("document.scrollingElement.scrollWidth"));
    assert.ok(width <= (look.width ?? 1280), `the page is ${width} wide`);
    assert.deepEqual(sight.complaints, []);
    await sight.close();
  }

  const textOf = async (page: Page, selector: string): Promise<string> =>
    (await page.locator(selector).first().innerText()).trim();
  const momentOf = (page: Page, chart: string): Promise<string> =>
    textOf(page, `#chart-${chart} output.moment`);

  const drawnAgain = (page: Page): Promise<unknown> =>
    page.evaluate(
      "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(null))))",
    );

  /** Pixels of a chart that are near a colour. */
  async function painted(page: Page, chart: string, color: string): Promise<number> {
    const [r, g, b] = [1, 3, 5].map((k) => parseInt(color.slice(k, k + 2), 16));
    return Number(
      await page.evaluate(`(() => {
      const canvas = document.querySelector("#chart-${chart} canvas");
      const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
      const ink = copy.getContext("2d", { willReadFrequently: true });
      ink.drawImage(canvas, 0, 0);
      const pixels = ink.getImageData(0, 0, canvas.width, canvas.height).data;
      let count = 0;
      for (let k = 0; k < pixels.length; k += 4) {
        const apart = [${r}, ${g}, ${b}].reduce((sum, want, c) => sum + Math.abs(pixels[k + c] - want), 0);
        if (pixels[k + 3] > 200 && apart < 24) count++;
      }
      return count;
    })()`),
    );
  }

  for (const [scheme, palette] of [
    ["light", LIGHT],
    ["dark", DARK],
  ] as const) {
    for (const width of [1280, 390]) {
      test(`${scheme} at ${width} px: 10 sections and 6 painted charts, nothing asked for, nothing sideways`, async () => {
        await see(reportPage(makeResult()), { scheme, width }, async (page) => {
          assert.deepEqual(
            await page.evaluate(
              "[...document.querySelectorAll('main > section')].map(one => one.id)",
            ),
            SECTIONS,
          );
          for (const id of SECTIONS) assert.ok((await textOf(page, `#${id}`)).length > 40, id);
          for (const chart of CHARTS) {
            const count = await painted(page, chart, palette.strategy);
            assert.ok(count > 200, `${chart} has ${count} pixels of the strategy`);
          }
          assert.ok((await painted(page, "equity", palette.benchmark)) > 200);
          assert.ok((await page.locator("#distribution-picture rect").count()) === 61);
          assert.equal(await page.locator("#cost-picture circle").count(), 6);
          const ground = await page.evaluate("getComputedStyle(document.body).backgroundColor");
          const channels = [1, 3, 5].map((k) => parseInt(palette.paper.slice(k, k + 2), 16));
          assert.equal(ground, `rgb(${channels.join(", ")})`);
        });
      });
    }
  }

  test("8 tiles, 7 risk numbers, 5 windows, 325 months and years and 28 instruments read as in the result", async () => {
    const result = makeResult();
    await see(reportPage(result), {}, async (page) => {
      for (const [key, word] of Object.entries(SUMMARY_WORDS)) {
        const value = result.average[key as keyof typeof SUMMARY_WORDS];
        assert.equal(
          await textOf(page, `[data-metric=${key}]`),
          formatValue(value, word.form),
          key,
        );
      }
      for (const [key, word] of Object.entries(RISK_WORDS)) {
        assert.equal(
          await textOf(page, `[data-risk=${key}]`),
          formatValue(result.risk[key as keyof typeof RISK_WORDS], word.form),
          key,
        );
      }
      const cells = async (selector: string): Promise<string[]> =>
        (await page.locator(selector).allInnerTexts()).map((text) => text.trim());
      assert.deepEqual(
        await cells("#windows tbody tr td:nth-child(5)"),
        result.windows.map((window) => window.sharpe.toFixed(2)),
      );
      assert.equal(
        (await cells("#windows tfoot td:nth-child(5)"))[0],
        result.average.sharpe.toFixed(2),
      );
      assert.equal(
        (await cells("#windows tfoot td:last-child"))[0],
        result.benchmark?.average.sharpe.toFixed(2),
      );
      const months = monthlyReturns(result.curve.time, result.curve.netReturn)
        .flatMap((row) => [...row.months, row.total])
        .map((value) => (Number.isNaN(value) ? "·" : formatPercent(value, 1)));
      assert.equal(months.length, 325);
      assert.deepEqual(await cells("#monthly tbody td"), months);
      assert.equal(await page.locator("#instruments tbody tr").count(), 28);
      const first = result.instruments.toSorted((a, b) => b.contribution - a.contribution)[0];
      assert.equal(await textOf(page, "#instruments tbody tr:first-child th"), first.name);
      assert.equal(
        await textOf(page, "#instruments tbody tr:first-child td:nth-child(3)"),
        formatPercent(first.contribution, 2),
      );
      assert.match(await textOf(page, "header"), /SYNTHETIC MARKET/);
      assert.match(await textOf(page, ".facts"), /1995-01-02 to 2019-11-29/);
    });
  });

  test("the pointer reads growth, drawdown and Sharpe of one day in all legends; the arrow key goes a day back", async () => {
    const result = makeResult();
    const { time, netReturn } = result.curve;
    await see(reportPage(result), {}, async (page) => {
      const over = page.locator("#chart-equity .u-over");
      const box = await over.boundingBox();
      assert.ok(box !== null);
      await page.mouse.move(box.x + box.width * 0.62, box.y + 100);
      await page.locator("#chart-sharpe output.moment", { hasText: /^201[01]/ }).waitFor();
      const moment = await momentOf(page, "equity");
      const row = time.findIndex((value) => formatMoment(value, false) === moment);
      assert.ok(row > 3900 && row < 4200, `${moment} is row ${row}`);
      const reads = async (
        chart: string,
        value: number,
        form: "growth" | "percent" | "ratio",
      ): Promise<void> => {
        assert.equal(await momentOf(page, chart), moment);
        assert.equal(
          await textOf(page, `#chart-${chart} .legend b`),
          formatValue(value, form),
          chart,
        );
      };
      await reads("equity", growth(netReturn)[row], "growth");
      await reads("drawdown", drawdown(netReturn)[row], "percent");
      await reads("sharpe", rollingSharpe(netReturn, 252, 252)[row], "ratio");
      await page.locator("#chart-equity .plot").focus();
      await page.keyboard.press("ArrowLeft");
      assert.equal(await momentOf(page, "equity"), formatMoment(time[row - 1], false));
    });
  });

  test("a drag zooms all six charts to the same days, 5y shows the last five years, double-click shows all", async () => {
    await see(reportPage(makeResult()), {}, async (page) => {
      await page.locator("#chart-drawdown").scrollIntoViewIfNeeded();
      const box = await page.locator("#chart-drawdown .u-over").boundingBox();
      assert.ok(box !== null);
      await page.mouse.move(box.x + box.width * 0.2, box.y + 60);
      await page.mouse.down();
      await page.mouse.move(box.x + box.width * 0.4, box.y + 60, { steps: 4 });
      await page.mouse.up();
      await page.mouse.move(5, 5);
      await page.locator("#chart-turnover output.moment", { hasText: /^200/ }).waitFor();
      const moments = await Promise.all(CHARTS.map((chart) => momentOf(page, chart)));
      assert.equal(new Set(moments).size, 1, moments.join(" "));
      assert.match(moments[0], /^200[45]/);
      assert.equal(await page.getAttribute("[data-years=all]", "aria-pressed"), "false");
      await page.click("[data-years='5']");
      await page.locator("[data-years='5'][aria-pressed=true]").waitFor();
      assert.equal(await momentOf(page, "sharpe"), "2019-11-29");
      await page.locator("#chart-sharpe .u-over").dblclick();
      await page.locator("[data-years=all][aria-pressed=true]").waitFor();
    });
  });

  test("the theme toggle turns the page dark, repaints the charts, and is remembered by the next visit", async () => {
    await see(reportPage(makeResult()), {}, async (page) => {
      assert.equal(await page.getAttribute("#theme", "aria-pressed"), "false");
      await page.focus("#theme");
      await page.keyboard.press("Enter");
      assert.equal(await page.getAttribute("html", "data-theme"), "dark");
      await drawnAgain(page);
      assert.ok((await painted(page, "equity", DARK.strategy)) > 200);
      assert.ok((await painted(page, "equity", LIGHT.strategy)) < 50);
      await page.reload();
      assert.equal(await page.getAttribute("html", "data-theme"), "dark");
      assert.equal(await page.getAttribute("#theme", "aria-pressed"), "true");
    });
  });

  test("log and linear draw differently, and a legend button hides its line, both by keyboard", async () => {
    await see(reportPage(makeResult()), {}, async (page) => {
      const picture = async (): Promise<string> =>
        String(await page.evaluate("document.querySelector('#chart-equity canvas').toDataURL()"));
      const log = await picture();
      await page.focus("#chart-equity [data-scale=linear]");
      await page.keyboard.press("Space");
      await drawnAgain(page);
      assert.notEqual(await picture(), log);
      assert.equal(
        await page.getAttribute("#chart-equity [data-scale=log]", "aria-pressed"),
        "false",
      );
      await page.focus("#chart-equity .legend button:nth-of-type(3)");
      await page.keyboard.press("Enter");
      await drawnAgain(page);
      assert.equal(await painted(page, "equity", LIGHT.benchmark), 0);
      assert.ok((await painted(page, "equity", LIGHT.strategy)) > 200);
    });
  });

  test("a press on Sharpe sorts 28 instruments downwards, a second one upwards, missing numbers last", async () => {
    const base = makeResult();
    const instruments = base.instruments.map((row, k) => (k === 4 ? { ...row, sharpe: NaN } : row));
    await see(reportPage({ ...base, instruments }), { width: 390 }, async (page) => {
      const button = page.locator("#instruments thead button", { hasText: "Sharpe" });
      const names = (): Promise<string[]> => page.locator("#instruments tbody th").allInnerTexts();
      const ranked = instruments
        .filter((row) => !Number.isNaN(row.sharpe))
        .sort((a, b) => b.sharpe - a.sharpe)
        .map((row) => row.name);
      await button.click();
      assert.deepEqual(await names(), [...ranked, "SYN04"]);
      await button.press("Enter");
      assert.deepEqual(await names(), [...ranked.reverse(), "SYN04"]);
      assert.equal(
        await page.locator("#instruments th[aria-sort]").getAttribute("aria-sort"),
        "ascending",
      );
    });
  });

  test("names and notes full of markup are shown as they are and run nothing", async () => {
    const evil = `<script>window.pwned=1</script>"><img src=x onerror="window.pwned=2">`;
    const base = makeResult({ days: 700, strategy: evil });
    const result: BacktestResult = {
      ...base,
      dataset: `</script></style>${evil}`,
      notes: [evil, "</title>"],
      engine: "event",
      instruments: base.instruments.map((row) => ({ ...row, name: evil })),
      differences: [{ what: evil, returnDifference: 0.001, why: evil }],
    };
    await see(
      reportPage(result, { title: evil, others: [{ ...result, strategy: `${evil}2` }] }),
      {},
      async (page) => {
        assert.equal(await page.evaluate("window.pwned"), undefined);
        assert.equal(await textOf(page, "h1"), evil);
        assert.equal(await page.title(), evil);
        assert.equal(await textOf(page, "#notes li"), evil);
        assert.equal(await page.locator("img").count(), 0);
        assert.match(await textOf(page, "#differences tfoot"), /0\.1000%/);
      },
    );
  });

  test("the page's own policy refuses a script that is added to it, and any connection", async () => {
    const sight = await show(reportPage(makeResult({ days: 300 })));
    await sight.page.evaluate(`(() => {
      const script = document.createElement("script");
      script.textContent = "window.pwned = 1";
      document.body.append(script);
      return fetch("http://127.0.0.1:9/").catch(() => null);
    })()`);
    assert.equal(await sight.page.evaluate("window.pwned"), undefined);
    assert.equal(
      sight.complaints.filter((text) => /Content Security Policy/.test(text)).length >= 2,
      true,
      sight.complaints.join("\n"),
    );
    await sight.close();
  });

  test("without JavaScript every table reads, and the page says that the charts need it", async () => {
    await see(reportPage(makeResult()), { hasScript: false }, async (page) => {
      assert.equal(await page.locator("#windows tbody tr").count(), 5);
      assert.match(await textOf(page, "#performance"), /charts need JavaScript/);
      assert.equal(
        await textOf(page, "#chart-equity .legend b"),
        formatValue(growth(makeResult().curve.netReturn)[6499], "growth"),
      );
    });
  });

  test("what a network looked at is drawn within 390 px, a hundred inputs by the 24 greatest, long names cut", async () => {
    const features = Array.from({ length: 100 }, (_, f) => `input_with_a_long_name_${f}`);
    // Input f has a share in proportion to f: the greatest is the last.
    const mean = features.map((_, f) => f / 4950);
    const views = {
      rows: 2000, features, attention: [0.5, 0.3, 0.2],
      selection: { mean, byYear: [1995, 1996].map((year) => ({ year, rows: 1000, mean })) },
      importance: { folds: ["1995", "2000"], byFold: [mean, mean.map((one) => -one)], stability: -1 },
    };
    await see(reportPage(makeResult({ change: { views } })), { width: 390 }, async (page) => {
      assert.equal(await page.locator("#selection-picture .bar").count(), 24);
      assert.equal(await page.locator("#selection-picture .dot").count(), 48);
      assert.match((await page.locator("#selection-picture text").first().textContent())!, /^0(\.0)?%$/);
      assert.equal(await textOf(page, "#views tbody th"), "input_with_a_long_name_99");
      assert.equal(await textOf(page, "#views tbody td"), "2.0%");
      assert.match(await textOf(page, "#views"), /2,000 decisions[^]*76 of lesser weight[^]*folds: -1.00/);
      const points = await page.locator("#attention-picture polyline").getAttribute("points");
      assert.equal(points!.split(" ").length, 3);
      const cut = await page.evaluate("[...document.querySelectorAll('#views svg text')].filter((one) => "
        + "one.getBoundingClientRect().left < 0).length");
      assert.equal(cut, 0);
    });
  });

  const nothing = {
    annualReturn: NaN,
    volatility: NaN,
    sharpe: NaN,
    sortino: NaN,
    maxDrawdown: NaN,
    calmar: NaN,
    positiveShare: NaN,
    turnover: NaN,
  };
  const base = makeResult({ days: 900 });
  const odd: readonly (readonly [string, BacktestResult, RegExp])[] = [
    [
      "no decision at all",
      makeResult({
        days: 0,
        change: {
          average: nothing,
          windows: [],
          benchmark: null,
          costLadder: [],
          instruments: [],
          classes: [],
        },
      }),
      /nothing to measure/,
    ],
    ["one day", makeResult({ days: 1 }), /1 periods are too few/],
    ["five days", makeResult({ days: 5 }), /5 periods are too few/],
    [
      "one window, one instrument, no benchmark",
      makeResult({ days: 500, instruments: 1, change: { benchmark: null } }),
      /Over one test window, tsmom/,
    ],
    [
      "numbers that are not numbers",
      {
        ...base,
        average: { ...nothing, calmar: Infinity },
        benchmark: null,
        risk: {
          ...base.risk,
          valueAtRisk95: NaN,
          conditionalValueAtRisk95: NaN,
          informationRatio: NaN,
        },
        windows: base.windows.map((window) => ({ ...window, ...nothing })),
        costLadder: base.costLadder.map((row) => ({ ...row, sharpe: NaN, annualReturn: NaN })),
      },
      /n\/a/,
    ],
    [
      "a ruin: growth at and below 0",
      {
        ...base,
        curve: {
          ...base.curve,
          netReturn: base.curve.netReturn.map((r, t) => (t === 450 ? -1.2 : r)),
        },
      },
      /-\d+\.\d%/,
    ],
    ["a Sharpe of 3.4", { ...base, average: { ...base.average, sharpe: 3.4 } }, /Sharpe above 3/],
    [
      "a real market at minutes",
      { ...base, isSynthetic: false, timeframe: "5m", periodsPerYear: 19656 },
      /1997-\d\d-\d\d \d\d:00/,
    ],
  ];
  for (const [name, result, expected] of odd) {
    test(`${name}: a whole page at 390 px, n/a where there is no number`, async () => {
      await see(reportPage(result), { width: 390 }, async (page) => {
        assert.match(await page.innerText("body"), expected);
        assert.equal(await page.locator(".badge").count(), result.isSynthetic ? 1 : 0);
        for (const id of ["performance", "monthly", "notes"])
          assert.ok((await textOf(page, `#${id}`)).length > 20, id);
      });
    });
  }

  test("every table names its rows and columns, every button and picture has words, and ids are single", async () => {
    await see(
      reportPage(makeResult(), { others: [makeResult({ strategy: "macd", seed: 4 })] }),
      {},
      async (page) => {
        const faults = await page.evaluate(`(() => {
        const all = selector => [...document.querySelectorAll(selector)];
        const ids = all("[id]").map(one => one.id);
        return [
          ...all("th:not([scope])").map(one => "th without scope: " + one.textContent),
          ...all("tbody tr").filter(one => one.querySelector("th[scope=row]") === null).map(() => "row without head"),
          ...all("button, nav a").filter(one => one.textContent.trim() === "").map(() => "button without words"),
          ...all("[role=img]").filter(one => !one.getAttribute("aria-label")).map(() => "picture without words"),
          ...all("nav a").filter(one => !document.getElementById(one.hash.slice(1))).map(one => "link to nothing: " + one.hash),
          ...ids.filter((id, k) => ids.indexOf(id) !== k).map(id => "id twice: " + id),
        ];
      })()`);
        assert.deepEqual(faults, []);
        assert.match(await textOf(page, "#compared"), /macd/);
        assert.ok((await painted(page, "equity", LIGHT.other1)) > 100);
      },
    );
  });
});
