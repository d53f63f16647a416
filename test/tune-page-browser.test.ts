/** The page of a study in a real Chromium: what a reader sees, drags, presses and types. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { after, before, describe, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { DARK, LIGHT } from "../src/backtest/page/theme.ts";
import { sheetOf } from "../src/workflow/tune/page/sheet.ts";
import { tunePage } from "../src/workflow/tune/page/tune-page.ts";
import { chromiumPath, NO_CHROMIUM, openChromium, showFile, type Look } from "./chromium.ts";
import { makeView } from "./tune-view.ts";

const CHROMIUM = chromiumPath();

describe("the page of a study in Chromium", { skip: CHROMIUM === null && NO_CHROMIUM }, () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-tune-page-"));
  const browsers: Browser[] = [];
  let pages = 0;
  before(async () => { browsers.push(await openChromium(CHROMIUM!)); });
  after(async () => {
    await Promise.all(browsers.map((browser) => browser.close()));
    fs.rmSync(folder, { recursive: true });
  });

  /** Shows a page, lets `check` look at it, and expects no complaint, no request and no sideways scrolling. */
  async function see(text: string, look: Look, check: (page: Page) => Promise<void>): Promise<void> {
    const file = path.join(folder, `page-${pages++}.html`), width = look.width ?? 1280;
    fs.writeFileSync(file, text);
    const { page, complaints, close } = await showFile(browsers[0], file, look);
    await check(page);
    const words = await page.innerText("body");
    assert.doesNotMatch(words, /\b(NaN|undefined|null|Infinity|\[object)\b/);
    assert.ok(Number(await page.evaluate("document.scrollingElement.scrollWidth")) <= width);
    assert.deepEqual(complaints, []);
    await close();
  }

  const settled = (page: Page): Promise<unknown> =>
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(null))))");
  const textOf = async (page: Page, selector: string): Promise<string> =>
    (await page.locator(selector).first().innerText()).trim();
  const toView = async (page: Page, selector: string): Promise<{ x: number; y: number; width: number; height: number }> => {
    await page.locator(selector).first().scrollIntoViewIfNeeded();
    await settled(page);
    return (await page.locator(selector).first().boundingBox())!;
  };

  /** Pixels near a colour on a chart's canvas: its base, or what is pointed at above it. */
  async function painted(page: Page, chart: string, color: string, layer = 0): Promise<number> {
    const [r, g, b] = [1, 3, 5].map((k) => parseInt(color.slice(k, k + 2), 16));
    return Number(await page.evaluate(`(() => {
      const canvas = document.querySelectorAll('[data-chart="${chart}"] canvas')[${layer}];
      const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
      const ink = copy.getContext("2d", { willReadFrequently: true });
      ink.drawImage(canvas, 0, 0);
      const pixels = ink.getImageData(0, 0, canvas.width, canvas.height).data;
      let count = 0;
      for (let k = 0; k < pixels.length; k += 4) {
        const apart = Math.abs(pixels[k] - ${r}) + Math.abs(pixels[k + 1] - ${g}) + Math.abs(pixels[k + 2] - ${b});
        if (pixels[k + 3] > 120 && apart < 30) count++;
      }
      return count;
    })()`));
  }

  for (const [scheme, palette] of [["light", LIGHT], ["dark", DARK]] as const) {
    for (const width of [1280, 390]) {
      test(`${scheme} at ${width} px: 17 pictures are painted as they come into sight, nothing lies sideways`, async () => {
        const view = makeView(), preferred = { trial: sheetOf(view, {}).front[3].number, by: "sharpe=2" };
        await see(tunePage(view, { preferred }), { scheme, width }, async (page) => {
          const find = "[...document.querySelectorAll('[data-chart]')].map(one => one.dataset.chart)";
          const charts = await page.evaluate(find) as string[];
          assert.equal(charts.length, 1 + 5 + 1 + 2 + 6 + 1 + 1);
          for (const chart of charts) {
            await toView(page, `[data-chart="${chart}"]`);
            assert.ok(await painted(page, chart, palette.strategy) > 30, `${chart} has no ink`);
          }
          for (const chart of ["parallel 0", "pair 0", "history 0", "curves 0"]) {
            assert.ok(await painted(page, chart, palette.other2) > 20, `${chart} shows no preferred trial`);
          }
          assert.ok(await painted(page, "history 0", palette.benchmark) > 30, "pruned trials are marked");
          assert.ok(await painted(page, "history 1", palette.loss) > 10, "infeasible trials are marked");
          assert.ok(await painted(page, "timeline 0", palette.loss) > 10, "lost attempts are marked");
        });
      });
    }
  }

  test("a drag along the first axis sets its range: count, fields and table follow, Clear takes it back", async () => {
    const view = makeView(), front = sheetOf(view, {}).front.map(({ number }) => view.trial(number).values!);
    await see(tunePage(view), {}, async (page) => {
      const box = await toView(page, ".parallel");
      // The axis of the Sharpe ratio stands at 56 px; its upper half is the better one.
      await page.mouse.move(box.x + 56, box.y + 46);
      await page.mouse.down();
      await page.mouse.move(box.x + 56, box.y + 150, { steps: 4 });
      await page.mouse.move(box.x + 56, box.y + 46 + (box.height - 72) / 2, { steps: 4 });
      await page.mouse.up();
      const sharpes = front.map(([sharpe]) => sharpe), low = Math.min(...sharpes), high = Math.max(...sharpes);
      const want = sharpes.filter((sharpe) => sharpe >= (low + high) / 2).length;
      assert.ok(want > 0 && want < front.length);
      assert.equal(await textOf(page, "#brushed"), `${want} of ${front.length}`);
      assert.equal(await page.locator("#members tbody tr:visible").count(), want);
      assert.ok(Math.abs(Number(await page.inputValue('[data-range="0"][data-end="low"]')) - (low + high) / 2) < 0.02);
      await page.click("#clear");
      assert.equal(await textOf(page, "#brushed"), `${front.length} of ${front.length}`);
      assert.equal(await page.locator("#members tbody tr:visible").count(), front.length);
    });
  });

  test("with keys alone: a typed bound filters, arrows walk the trials and say each, Escape lets go", async () => {
    const view = makeView(), sheet = sheetOf(view, {});
    await see(tunePage(view), {}, async (page) => {
      await toView(page, ".parallel");
      const drawdowns = sheet.front.map(({ losses }) => losses[1]).sort((a, b) => a - b), bound = drawdowns[4];
      await page.fill('[data-range="1"][data-end="high"]', String(bound));
      await page.keyboard.press("Tab");
      assert.equal(await textOf(page, "#brushed"), `5 of ${sheet.front.length}`);
      await toView(page, '[data-chart="history 1"]');
      await page.focus('[data-chart="history 1"]');
      await page.keyboard.press("ArrowRight");
      await page.keyboard.press("ArrowRight");
      assert.match(await textOf(page, "#readout"), /^Trial 1: /);
      const rate = Number(Number(view.trial(1).point["learningRate"]).toPrecision(4));
      assert.ok((await textOf(page, "#readout")).includes(`learningRate ${rate} `));
      assert.ok(await painted(page, "history 1", LIGHT.ink, 1) > 10, "the trial has its ring");
      await page.keyboard.press("Escape");
      assert.equal(await page.locator("#readout").isVisible(), false);
      assert.equal(await painted(page, "history 1", LIGHT.ink, 1), 0);
    });
  });

  test("a pointer over a mark rings that trial in every picture in sight; a press keeps it", async () => {
    const view = makeView();
    await see(tunePage(view), {}, async (page) => {
      await toView(page, '[data-chart="history 2"]');
      const box = await toView(page, '[data-chart="history 1"]');
      await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
      const said = await textOf(page, "#readout");
      assert.match(said, /^Trial \d+: (complete|pruned|infeasible)/);
      assert.ok(await painted(page, "history 2", LIGHT.ink, 1) > 10);
      await page.mouse.click(box.x + box.width / 2, box.y + box.height / 2);
      await page.mouse.move(5, 5);
      assert.equal(await textOf(page, "#readout"), said);
    });
  });

  test("the pair of 11 objectives is chosen by list or by a press on its small picture, a slice by its list", async () => {
    await see(tunePage(makeView({ objectives: 11 })), {}, async (page) => {
      const matrix = await toView(page, ".matrix[data-chart]"), cell = [matrix.width / 11, matrix.height / 11];
      await page.mouse.click(matrix.x + 2.5 * cell[0], matrix.y + 7.5 * cell[1]);
      assert.deepEqual([await page.inputValue("[data-choose=x]"), await page.inputValue("[data-choose=y]")], ["2", "7"]);
      await page.selectOption("[data-choose=y]", "9");
      await toView(page, ".pair");
      assert.ok(await painted(page, "pair 0", LIGHT.strategy) > 50);
      const picture = (): Promise<unknown> =>
        page.evaluate("document.querySelector('[data-chart=\"slice 0\"] canvas').toDataURL()");
      await toView(page, '[data-chart="slice 0"]');
      const before = await picture();
      await page.selectOption("[data-choose=slice]", "3");
      await settled(page);
      assert.notEqual(await picture(), before);
    });
  });

  test("the theme's button repaints, a table sorts by a press, and one objective or nothing finished are pages too", async () => {
    await see(tunePage(makeView()), {}, async (page) => {
      await toView(page, '[data-chart="history 0"]');
      assert.equal(await painted(page, "history 0", DARK.strategy), 0);
      await page.click("#theme");
      await settled(page);
      assert.ok(await painted(page, "history 0", DARK.strategy) > 50);
      await page.click("#members thead th:nth-child(3) button");
      const values = (await page.locator("#members tbody td:nth-child(3)").allInnerTexts()).map(Number);
      assert.deepEqual(values, values.toSorted((a, b) => b - a));
    });
    const views = [makeView({ objectives: 1, trials: 30 }), makeView({ trials: 0 }), makeView({ trials: 5, isNew: true })];
    for (const view of views) {
      await see(tunePage(view), { width: 390 }, async (page) => { await toView(page, "footer"); });
    }
  });

  test("10,000 trials: every picture is drawn, and a press still says its trial", async () => {
    await see(tunePage(makeView({ objectives: 3, trials: 10_000 })), {}, async (page) => {
      const box = await toView(page, '[data-chart="history 0"]');
      assert.ok(await painted(page, "history 0", LIGHT.strategy) > 500);
      await page.mouse.click(box.x + box.width / 2, box.y + box.height / 2);
      assert.match(await textOf(page, "#readout"), /^Trial [45]\d\d\d: /);
      await toView(page, ".parallel");
      await toView(page, ".timeline");
    });
  });

  test("without JavaScript the words and the tables read, and the page says what is missing", async () => {
    await see(tunePage(makeView()), { hasScript: false }, async (page) => {
      assert.match(await textOf(page, "#history"), /The pictures need JavaScript/);
      assert.ok(await page.locator("#members tbody tr").count() > 5);
    });
  });
});
