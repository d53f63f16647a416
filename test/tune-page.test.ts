/** The page of a study as text: what it says, what it never lets through, and that it never changes by itself. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { hypervolume, referencePoint } from "../src/tune/hypervolume.ts";
import { volumeHistory } from "../src/tune/hypervolume-history.ts";
import type { StudyView, Trial } from "../src/tune/study.ts";
import { random } from "../src/base/random.ts";
import { sentence, spanOf } from "../src/workflow/tune/page/headline.ts";
import type { Payload } from "../src/workflow/tune/page/payload.ts";
import { sheetOf } from "../src/workflow/tune/page/sheet.ts";
import { tunePage } from "../src/workflow/tune/page/tune-page.ts";
import { makeView, SPACE } from "./tune-view.ts";

const SECTIONS = ["history", "front", "pairs", "members", "importance", "slices", "curves", "timeline", "terms"];

const trialsOf = (view: StudyView): Trial[] => Array.from({ length: view.count }, (_, k) => view.trial(k));
const sectionIds = (page: string): string[] => [...page.matchAll(/<section id="([a-z]+)"/g)].map((found) => found[1]);
const payloadIn = (page: string): Payload =>
  JSON.parse(/<script type="application\/json" id="payload">(.*?)<\/script>/s.exec(page)![1]) as Payload;
const raw = (text: string): ArrayBuffer => Uint8Array.from(Buffer.from(text, "base64")).buffer;
const reals = (text: string): number[] => Array.from(new Float32Array(raw(text)));
const wholes = (text: string): number[] => Array.from(new Int32Array(raw(text)));

/** By the definition, each pair compared: complete, feasible, and nothing better in one value and no worse in the rest. */
function frontByPairs(view: StudyView): number[] {
  const signs = view.terms.objectives.map(({ direction }) => (direction === "maximise" ? 1 : -1));
  const able = trialsOf(view).filter((one) => one.state === "complete" && one.violation === 0);
  const beats = (a: Trial, b: Trial): boolean => signs.every((sign, m) => sign * (a.values![m] - b.values![m]) >= 0)
    && signs.some((sign, m) => sign * (a.values![m] - b.values![m]) > 0);
  return able.filter((one) => !able.some((other) => beats(other, one))).map(({ number }) => number);
}

/** A view with some of its trials replaced. */
function changed(view: StudyView, change: (trial: Trial) => Trial): StudyView {
  return { ...view, trial: (number) => change(view.trial(number)) };
}

describe("the page of a study", () => {
  test("9 sections in order with 5 and 11 objectives, 7 with one, each with its heading; a name for every picture", () => {
    assert.deepEqual(sectionIds(tunePage(makeView())), SECTIONS);
    assert.deepEqual(sectionIds(tunePage(makeView({ objectives: 11 }))), SECTIONS);
    const page = tunePage(makeView({ objectives: 1 }));
    assert.deepEqual(sectionIds(page), SECTIONS.filter((id) => id !== "front" && id !== "pairs"));
    for (const id of sectionIds(page)) assert.match(page, new RegExp(`<h2 id="${id}-title">`));
    const pictures = [...page.matchAll(/<[a-z]+[^>]*role="img"[^>]*>/g)].map((found) => found[0]);
    assert.equal(pictures.length, 1 + 6 + 1 + 1 + 1);
    for (const picture of pictures) assert.match(picture, /aria-label="[^"]{15,}"/);
    for (const chart of page.matchAll(/<div class="plot [a-z]+" data-chart[^>]*>/g)) assert.match(chart[0], /tabindex="0"/);
  });

  test("states are counted, and the front is that of all pairs compared, for 2, 5 and 11 objectives", () => {
    for (const objectives of [2, 5, 11]) {
      const view = makeView({ objectives, trials: 200 }), page = tunePage(view), front = frontByPairs(view);
      const rows = [...page.matchAll(/<td class="text" data-value="(\d+)"><code>dmn tune export first --trial (\d+)<\/code>/g)];
      assert.deepEqual(rows.map((row) => Number(row[1])), front);
      assert.ok(rows.every((row) => row[1] === row[2]));
      const { isFront } = payloadIn(page);
      assert.deepEqual([...new Uint8Array(raw(isFront))].flatMap((one, k) => (one === 1 ? [k] : [])), front);
      const count = (state: string): number => trialsOf(view).filter((one) => one.state === state).length;
      assert.match(page, new RegExp(`<dt title="[^"]*">Complete</dt><dd>${count("complete")}</dd>`));
      assert.match(page, new RegExp(`<dt title="[^"]*">Pruned</dt><dd>${count("pruned")}</dd>`));
      const words = `196 of 200 trials are over: ${count("complete")} ran to their end and ${count("pruned")} were`;
      assert.ok(page.includes(words));
    }
  });

  test("every value and every parameter of 120 trials reaches the pictures, and the best so far only ever improves", () => {
    const view = makeView(), data = payloadIn(tunePage(view)), names = Object.keys(SPACE);
    trialsOf(view).forEach((trial, row) => {
      names.forEach((name, k) => {
        const one = SPACE[name], value = trial.point[name];
        const want = value === undefined ? NaN : one.kind === "choice" ? one.choices.indexOf(value) : Math.fround(Number(value));
        assert.ok(Object.is(reals(data.points[k])[row], want), `${name} of ${row}`);
      });
      const isOver = trial.state === "complete" || trial.state === "pruned" || trial.state === "infeasible";
      view.terms.objectives.forEach((_, m) => {
        assert.ok(Object.is(reals(data.values[m])[row], isOver ? Math.fround(trial.values![m]) : NaN));
      });
    });
    view.terms.objectives.forEach(({ direction }, m) => {
      const sign = direction === "maximise" ? 1 : -1, best = reals(data.best[m]).filter((value) => !Number.isNaN(value));
      for (let k = 1; k < best.length; k++) assert.ok(sign * (best[k] - best[k - 1]) >= 0);
      const all = trialsOf(view).filter((one) => one.state === "complete").map((one) => sign * one.values![m]);
      assert.equal(best.at(-1), Math.fround(sign * Math.max(...all)));
    });
    const { attempts } = data, tries = trialsOf(view).flatMap((one) => one.attempts);
    assert.equal(wholes(attempts.row).length, tries.length);
    assert.equal([...new Uint8Array(raw(attempts.outcome))].filter((one) => data.outcomes[one] === "lost").length,
      tries.filter(({ outcome }) => outcome === "lost").length);
  });

  test("hostile names, choices, reasons, notes and commands stay words: three scripts, no other tag that was not ours", () => {
    const evil = `</script><script>alert(1)</script><img src=x onerror='a()'>"&`;
    const space = { [`p${evil}`]: { kind: "choice", choices: [evil, "b"] } } as const;
    const base = makeView({ space, name: evil });
    const view = changed({ ...base, terms: { ...base.terms, sampler: { name: evil, settings: { [evil]: evil } }, version: evil,
      objectives: base.terms.objectives.map((one, m) => ({ ...one, name: `${evil}${m}` })) } },
    (trial) => ({ ...trial, reason: evil, attempts: trial.attempts.map((one) => ({ ...one, worker: evil })) }));
    const page = tunePage(view, { facts: [[evil, evil]], preferred: { trial: 0, by: evil }, notes: [evil],
      exportCommand: () => evil });
    assert.equal(page.match(/<script/g)!.length, 3);
    assert.equal(page.match(/<\/script/g)!.length, 3);
    assert.ok(!page.includes("<img"));
    assert.ok(page.includes("&lt;img src=x onerror=&#39;a()&#39;&gt;"));
    assert.equal(payloadIn(page).parameters[0].choices![0], evil);
  });

  test("the same study gives the same bytes, and asks for nothing: no address, no import, a policy that forbids both", () => {
    const page = tunePage(makeView({ objectives: 3 }));
    assert.equal(tunePage(makeView({ objectives: 3 })), page);
    assert.notEqual(tunePage(makeView({ objectives: 3, seed: 8 })), page);
    assert.doesNotMatch(page, /https?:|url\(|@import|<link|\ssrc=|style="/);
    assert.match(page, /default-src &#39;none&#39;; script-src &#39;sha256-/);
  });

  test("before anything: no trial, none over, and a study of failures each have their page, in words and without NaN", () => {
    const views = [makeView({ trials: 0, wanted: 60 }), makeView({ trials: 6, isNew: true }),
      makeView({ trials: 0, objectives: 1 }),
      changed({ ...makeView(), finished: () => [] }, (trial) => ({ ...trial, state: "failed", values: null, reports: [] }))];
    const said = [/No trial is over yet/, /No trial is over yet/, /No trial is over yet/, /none has a result that counts/];
    views.forEach((view, k) => {
      const page = tunePage(view, { deflatedSharpe: NaN });
      const words = page.slice(page.indexOf("<body>")).replace(/<script.*?<\/script>/gs, "");
      assert.match(words, said[k]);
      assert.match(words, /n\/a: no trial is complete|n\/a: no trial was asked/);
      assert.doesNotMatch(words, /\b(NaN|undefined|null|Infinity)\b/);
    });
  });

  test("of 12,000 trials 10,000 or fewer are drawn, all of the front among them, and the page says so", () => {
    const view = makeView({ objectives: 2, trials: 12_000, workers: 100 }), page = tunePage(view), data = payloadIn(page);
    const drawn = wholes(data.number);
    assert.ok(drawn.length <= 10_000 && drawn.length > 3000, String(drawn.length));
    assert.match(page, new RegExp(`The charts draw ${drawn.length.toLocaleString("en-US")} of 12,000 trials`));
    for (const number of frontByPairs(view)) assert.ok(drawn.includes(number));
    assert.equal(data.workers.length, 64);
    assert.match(page, /The first 64 of 100 workers are drawn/);
    assert.match(page, /400 of 11,\d+ curves are drawn/);
    assert.equal(wholes(data.curves.row).length, 400);
  });

  test("the volume of the front of 2 and 3 objectives grows as exact volumes of the first k trials do, within 3 %", () => {
    for (const M of [2, 3]) {
      const draw = random(5, "history", M);
      const points = Array.from({ length: 60 }, () => Float64Array.from({ length: M }, () => draw.uniform()));
      const reference = new Float64Array(M).fill(1.1), grown = volumeHistory(points, reference);
      const whole = hypervolume(points, reference).value;
      points.forEach((_, k) => {
        const exact = hypervolume(points.slice(0, k + 1), reference).value / whole;
        assert.ok(Math.abs(grown[k] - exact) < 0.03, `M=${M} k=${k}: ${grown[k]} beside ${exact}`);
        assert.ok(k === 0 || grown[k] >= grown[k - 1]);
      });
      assert.equal(grown[59], 1);
    }
    assert.equal(volumeHistory([], new Float64Array(2)).length, 0);
  });

  test("its volume is that of the front below the reference it was given, maximised values included", () => {
    const view = makeView({ objectives: 2 }), sheet = sheetOf(view, { reference: [0, 0.5] });
    const points = frontByPairs(view).map((number) => view.trial(number).values!).map(([sharpe, drawdown]) => [-sharpe, drawdown])
      .filter(([a, b]) => a < 0 && b < 0.5).sort((a, b) => a[0] - b[0]);
    // A staircase: from the best Sharpe ratio on, each point adds what it reaches below the one before.
    let area = 0, floor = 0.5;
    for (const [a, b] of points) { area += Math.max(0, floor - b) * (0 - a); floor = Math.min(floor, b); }
    assert.ok(Math.abs(sheet.volume!.value - area) < 1e-12 && area > 0);
    const own = sheetOf(view, {}), losses = own.front.map((one) => one.losses);
    assert.deepEqual([...own.reference!], [...referencePoint(losses)]);
    assert.equal(own.growth.at(-1)![1], own.volume!.value);
  });

  test("sentences: a crowded front of 11 objectives says so, a pick says by what; spans read 45 s, 30 min, 2.1 h, 3.4 d", () => {
    const crowd = sentence(sheetOf(makeView({ objectives: 11, trials: 60 }), { preferred: { trial: 3, by: "sharpe=2" } }));
    assert.match(crowd, /With 11 objectives that says little: it is \d+% of what ran to its end/);
    assert.match(crowd, /Trial 3 was picked by sharpe=2\.$/);
    assert.match(sentence(sheetOf(makeView({ objectives: 1 }), {})), /The best sharpe is 1\.\d+, of trial \d+\./);
    assert.deepEqual([45e3, 18e5, 7.56e6, 2.94e8, NaN].map(spanOf), ["45 s", "30 min", "2.1 h", "3.4 d", "n/a"]);
  });
});
