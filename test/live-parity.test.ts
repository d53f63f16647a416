import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { after, before, describe, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { random } from "../src/base/random.ts";
import { BAR_FIELDS, BAR_FLAGS, type MarketFact, type Spoken } from "../src/live/message.ts";
import { encodeRecord, journalDays, JournalWriter, readDay, type Recorded } from "../src/live/recorder/journal.ts";
import { encodeSpoken } from "../src/live/recorder/packet.ts";
import { livePlaces } from "../src/live/recorder/places.ts";
import { dmn, freePorts, temporaryRoot } from "./live-graph.ts";
import { shared } from "./shared.ts";

const MINUTE = 60_000, PATIENCE_MS = 120_000;
const root = temporaryRoot();

const toy = (name: string, sign: number): string => `export const strategy = { name: "${name}", description: "toy",
  recipe: "short", features: ["ret_1d", "daily_vol"], lookback: 3,
  decide: async ({ time, features, names }) => ({
    position: Float32Array.from(time, (_, b) => Math.tanh(${sign} * 300 * features[(b * 3 + 2) * names.length])),
    volatility: Float32Array.from(time, (_, b) => Math.max(0.0005, features[(b * 3 + 2) * names.length + 1])),
    confidence: new Float32Array(time.length).fill(1) }) };`;

before(() => {
  for (const folder of ["recipes", "strategies"]) fs.mkdirSync(path.join(root, folder));
  fs.writeFileSync(path.join(root, "recipes", "short.json"),
    JSON.stringify({ name: "short", features: [{ family: "return" }, { family: "volatility", span: 60 }] }));
  fs.writeFileSync(path.join(root, "strategies", "follow.ts"), toy("follow", 1));
  fs.writeFileSync(path.join(root, "strategies", "fade.ts"), toy("fade", -0.4));
});
after(() => { fs.rmSync(root, { recursive: true, force: true }); });

/** Real processes over a whole stepped replay of these rows; everything that was recorded of it. */
async function live(rows: readonly string[], from: string, kind: readonly string[]): Promise<Recorded[]> {
  fs.writeFileSync(path.join(root, "rows.csv"), `${rows.join("\n")}\n`);
  fs.rmSync(path.join(root, "datasets"), { recursive: true, force: true });
  fs.rmSync(path.join(root, "storage"), { recursive: true, force: true });
  const fetched = dmn(root, "fetch", "--source", "csv", "--path", "rows.csv", "--dataset", "day", "--calendar", "us-equity",
    ...kind);
  assert.equal(fetched.code, 0, fetched.said);
  const child = spawn(process.execPath, [path.join(import.meta.dirname, "..", "bin", "dmn.js"), "live", "--replay", "day",
    "--from", from, "--pace", "max", "--models", "lstm-1=follow,lstm-2=fade", "--volatility-target", "0.02", "--headless",
    "--port-base", String(await freePorts())], { cwd: root, stdio: ["ignore", "ignore", "pipe"], timeout: PATIENCE_MS,
    env: { ...process.env, DMN_HOME: root, CI: "1", APCA_API_KEY_ID: "", APCA_API_SECRET_KEY: "" } });
  let said = "";
  child.stderr.on("data", (text: Buffer) => { said += text.toString(); });
  const code = await new Promise((resolve) => { child.once("exit", resolve); });
  assert.equal(code, 0, said);
  return journalDays(root).flatMap((day) => [...readDay(root, day)]);
}

/** The report of the only day there is: its text, and whether all is equal. */
function report(): { code: number | null; text: string } {
  const { code, out, said } = dmn(root, "live", "report", "--day", journalDays(root).at(-1)!);
  return { code, text: out + said };
}
const comparedOf = (text: string, what: string): number =>
  Number(new RegExp(`^${what} +([\\d,]+) `, "m").exec(text)![1].replaceAll(",", ""));

/** Bars that were decided on, as text: close, symbol, and the five numbers that the rows have. */
function saidBars(recorded: readonly Recorded[]): string[] {
  return recorded.flatMap(({ session, message }) => {
    if (message.kind !== "market") return [];
    const { at, instrument, bars, flags } = message satisfies MarketFact;
    return [...instrument].flatMap((i, k) => flags[k] === BAR_FLAGS.fresh
      ? [[at, session.symbols[i], ...bars.subarray(k * BAR_FIELDS.length, k * BAR_FIELDS.length + 5)].join()] : []);
  });
}

/** The same ones; fails with the first bars that differ. */
function assertBars(said: readonly string[], made: readonly string[]): void {
  assert.deepEqual({ count: said.length, extra: said.filter((bar) => !made.includes(bar)).slice(0, 3) },
    { count: made.length, extra: [] }, `missing: ${made.filter((bar) => !said.includes(bar)).slice(0, 3).join(" ")}`);
}

/** Fails with the report's own words. */
function assertParity(decisionsLeast: number): void {
  const { code, text } = report();
  assert.equal(code, 0, text);
  assert.match(text, /Live and replay agree in every number/);
  assert.ok(comparedOf(text, "decisions") >= decisionsLeast, text);
  for (const what of ["features", "positions", "targets", "orders", "fills"]) assert.ok(comparedOf(text, what) > 0, text);
}

/** The same with other messages in the place of some. */
function rewrite(recorded: readonly Recorded[], change: (message: Spoken) => Spoken): void {
  const day = journalDays(root).at(-1)!;
  fs.rmSync(livePlaces.journal(root), { recursive: true });
  using writer = new JournalWriter(root, recorded[0].session);
  writer.append(day, Buffer.concat(recorded.map(({ heardAt, message }) => encodeRecord(heardAt, encodeSpoken(change(message))))));
}

describe("a replayed day in real processes is the batch's, bit for bit", { timeout: 2 * PATIENCE_MS }, () => {
  test("an invented day with quiet minutes: the report is empty; with one number altered it names that number", async () => {
    const open = Date.UTC(2024, 2, 4, 14, 30), draw = random(5, "parity day"), price = [40, 90, 160];
    const rows = ["timestamp,symbol,open,high,low,close,volume"];
    for (let t = -1_440 * 3; t < 75; t++) {
      if (t >= -1_440 * 3 + 75 && t < 0) continue;
      for (const [i, symbol] of ["AAA", "BBB", "CCC"].entries()) {
        const from = price[i], to = price[i] = Math.round(from * Math.exp(0.0008 * draw.normal()) * 100) / 100;
        if (i > 0 && draw.uniform() < 0.1) continue;
        rows.push([new Date(open + t * MINUTE).toISOString(), symbol, from, Math.max(from, to), Math.min(from, to), to,
          500 + draw.below(9_000)].join());
      }
    }
    const recorded = await live(rows, "2024-03-04", ["--timeframe", "1m", "--stamps", "start"]);
    const stored = rows.slice(1).map((row) => row.split(",")).filter(([stamp]) => Date.parse(stamp) >= open)
      .map(([stamp, ...rest]) => [Date.parse(stamp) + MINUTE, rest[0], ...rest.slice(1).map(Number)].join());
    assertBars(saidBars(recorded), stored);
    assertParity(3 * 150);

    const steps = recorded.filter(({ message }) => message.kind === "features" && message.instrument.length === 3);
    const altered = steps[20].message;
    rewrite(recorded, (message) => {
      if (message !== altered || message.kind !== "features") return message;
      const rows = message.rows.slice();
      rows[2] *= 1.0001;
      return { ...message, rows };
    });
    const { code, text } = report();
    assert.equal(code, 2, text);
    const at = new Date(altered.at).toISOString().slice(0, 16);
    assert.match(text, new RegExp(`features: BBB at ${at}[^,]*, ret_1d: live `), text);
    assert.equal(/^features +[\d,]+ +(\d+)/m.exec(text)?.[1], "1", text);
  });

  const folder = shared("data/equities-minute-dev/META.json");
  const skip = folder === null ? "shared data/equities-minute-dev is not here" : false;
  const linesOf = (file: string): string[] =>
    gunzipSync(fs.readFileSync(path.join(path.dirname(folder!), file))).toString().trimEnd().split("\n");

  test("twenty minutes of a real session, and the morning before them, with holes", { skip }, async () => {
    const [head, ...all] = linesOf("minute.csv.gz");
    const rows = all.filter((row) => !row.includes(",AAPL,") && row < "2013-10-07T13:50");
    const recorded = await live([head, ...rows], "2013-10-07", ["--timeframe", "1m", "--stamps", "start"]);
    const stored = rows.map((row) => row.split(",")).filter(([stamp]) => stamp >= "2013-10-07")
      .map(([stamp, symbol, ...values]) => [Date.parse(stamp) + MINUTE, symbol, ...values.map(Number)].join());
    assertBars(saidBars(recorded), stored);
    assertParity(500);
  });

  test("real ticks of 70 minutes, from before the open: bars are made of all trades, and of nothing else", { skip }, async () => {
    const [head, ...all] = linesOf("ticks-20131008.csv.gz");
    const rows = all.filter((row) => row >= "2013-10-08T12:26" && row < "2013-10-08T13:36");
    const recorded = await live([head, ...rows], "2013-10-08", ["--timeframe", "tick"]);
    const trades = rows.map((row) => row.split(",")).filter(([, , kind]) => kind === "trade");
    const bars = Object.entries(Object.groupBy(trades, ([stamp, symbol]) =>
      `${(Math.floor(Date.parse(stamp) / MINUTE) + 1) * MINUTE},${symbol}`)).map(([key, own]) => {
      const prices = own!.map(([, , , price]) => Number(price));
      return [key, prices[0], Math.max(...prices), Math.min(...prices), prices.at(-1),
        own!.reduce((sum, row) => sum + Number(row[4]), 0)].join();
    });
    assert.ok(bars.length > 100);
    assertBars(saidBars(recorded), bars);
    assertParity(20);
  });
});
