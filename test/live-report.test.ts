import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { after, before, describe, test } from "node:test";
import { FakeClock } from "../src/base/clock.ts";
import { configSchema } from "../src/base/config.ts";
import type { Context } from "../src/base/context.ts";
import { UserError } from "../src/base/error.ts";
import { openLog } from "../src/base/log.ts";
import { silentProgress } from "../src/base/progress.ts";
import { isSpoken, type AccountFact, type FillFact, type Spoken } from "../src/live/message.ts";
import { encodeRecord, JournalWriter } from "../src/live/recorder/journal.ts";
import { dayOf, formatDay } from "../src/base/units.ts";
import { encodeSpoken } from "../src/live/recorder/packet.ts";
import type { Session } from "../src/live/session.ts";
import { HONEST } from "../src/workflow/live/memory-broker.ts";
import { CALM } from "../src/workflow/live/memory-process.ts";
import { liveReport, reportText, type LiveReport } from "../src/workflow/live/report.ts";
import { asHappened, livedOut } from "../src/workflow/live/report-order.ts";
import { RecordedBroker } from "../src/workflow/live/report-replay.ts";
import { NO_FAULTS } from "../src/workflow/live/simulation.ts";
import { FROM, LIVE, makeToy, play, SYMBOLS, type Toy } from "./live-toy.ts";

const DAY = formatDay(dayOf(FROM));
const contextOf = (root: string): Context =>
  ({ root, config: configSchema.parse({}), clock: new FakeClock(FROM), log: openLog("silent"),
  progress: silentProgress, signal: new AbortController().signal });

interface Line { readonly heardAt: number; readonly message: Spoken }
let toy: Toy, lines: Line[];

/** What the recorder would have heard of a session without faults: short hops, an ordinary exchange. */
before(async () => {
  toy = await makeToy();
  const record = await play(toy, 3,
    { faults: { ...NO_FAULTS, weather: { ...CALM, delayMs: [1, 4] }, broker: { ...HONEST, delayMs: [5, 40] } } });
  lines = record.entries.flatMap(({ elapsedMs, what, message }) => what === "said" && message !== null && isSpoken(message)
    ? [{ heardAt: record.start + elapsedMs, message }] : []);
});
after(() => { fs.rmSync(toy.root, { recursive: true, force: true }); });

/** Writes a journal of these lines, and asks for the report. */
async function report(said: readonly Line[], session: Session = toy.session): Promise<LiveReport> {
  fs.rmSync(path.join(toy.root, "storage"), { recursive: true, force: true });
  using writer = new JournalWriter(toy.root, session);
  writer.append(DAY, Buffer.concat(said.map(({ heardAt, message }) => encodeRecord(heardAt, encodeSpoken(message)))));
  return await liveReport({ day: DAY }, contextOf(toy.root));
}

/** The lines with one message changed: the n-th of a kind. */
function changed<K extends Spoken["kind"]>(kind: K, n: number,
  change: (message: Extract<Spoken, { kind: K }>) => Spoken | null): Line[] {
  const at = lines.map(({ message }, k) => message.kind === kind ? k : -1).filter((k) => k >= 0).at(n)!;
  const message = change(structuredClone(lines[at].message) as Extract<Spoken, { kind: K }>);
  return [...lines.slice(0, at), ...(message === null ? [] : [{ heardAt: lines[at].heardAt, message }]), ...lines.slice(at + 1)];
}

describe("the parity report", () => {
  test("is empty for a day without faults, and has compared every number of it", async () => {
    const found = await report(lines);
    assert.deepEqual(found.differences, []);
    assert.equal(found.compared.features, LIVE * SYMBOLS.length * 2);
    assert.equal(found.compared.decisions, LIVE * SYMBOLS.length * 3);
    assert.equal(found.compared.positions, 2 * found.compared.decisions);
    assert.equal(found.compared.targets, LIVE * SYMBOLS.length);
    assert.ok(found.compared.orders >= 50 && found.compared.fills >= 3 * 50, JSON.stringify(found.compared));
    assert.match(reportText(found), /Live and replay agree in every number\.$/);
  });

  const last = (found: LiveReport, what: string) => found.differences.filter((one) => one.what === what);

  test("names a feature that live computed otherwise, with both numbers", async () => {
    const found = await report(changed("features", -1, (fact) => { fact.rows[1] += 0.5; return fact; }));
    const [difference] = found.differences;
    assert.equal(found.differing.features, 1);
    assert.deepEqual([difference.what, difference.symbol, difference.of], ["features", "AAA", "daily_vol"]);
    assert.ok(Math.abs(difference.live! - 0.5 - difference.replay!) < 1e-6);
  });

  test("names a position that the strategy does not take on that window", async () => {
    const found = await report(changed("prediction", 7, (fact) => { fact.position[2] = 0.125; return fact; }));
    assert.equal(found.differing.positions, 1);
    assert.deepEqual([found.differences[0].symbol, found.differences[0].live], ["CCC", 0.125]);
    assert.match(found.differences[0].of, /^lstm-[12] position$/);
    assert.throws(() => reportText(found), (error) => error instanceof UserError
      && /positions: CCC at 2024-01-03T\d\d:\d\d:00Z, lstm-[12] position: live 0.125, replay -?0\.\d+/.test(error.problem)
      && error.hint.includes("--json"));
  });

  test("names a target of other units, an order that was not wanted, and one that was not sent", async () => {
    const target = await report(changed("target", 5, (fact) => { fact.units[1] += 3; return fact; }));
    assert.equal(target.differing.targets, 1);
    assert.equal(last(target, "targets")[0].symbol, "BBB");
    const first = lines.find(({ message }) => message.kind === "order-state")!.message as Extract<Spoken,
      { kind: "order-state" }>;
    const stray: Spoken = { ...first, order: { ...first.order, id: "toy-AAA-stray-0", quantity: 7 } };
    const extra = await report([...lines, { heardAt: lines.at(-1)!.heardAt, message: stray }]);
    assert.deepEqual(last(extra, "orders").map(({ live, replay }) => [live, replay]), [[7, null]]);
    const missing = await report(lines.filter(({ message }) =>
      !(message.kind === "order-state" && message.order.id === first.order.id)
      && !(message.kind === "fill" && message.orderId === first.order.id)));
    assert.deepEqual(last(missing, "orders").filter(({ of }) => of === `quantity of ${first.order.id}`)
      .map(({ live, replay }) => [live, replay]), [[null, first.order.quantity]]);
  });

  test("names what a fill at another price leads to", async () => {
    const found = await report(changed("fill", 0, (fact) => ({ ...fact, quantity: fact.quantity - 1 })));
    assert.ok(found.differing.fills > 0);
    assert.ok(found.differences.some(({ of }) => of.endsWith("position after")));
  });

  test("asks its record for orders since a moment: 0 that closed before, the open one and the one that closed then", async () => {
    const broker = new RecordedBroker({ session: toy.session, recorded: lines });
    broker.listen({ update: () => {}, stream: () => {} });
    const facts = lines.flatMap(({ message }) => message.kind === "fill" ? [message] : []).slice(0, 2);
    const quantityOf = (id: string): number => facts.find(({ orderId }) => orderId === id)?.quantity ?? 1;
    for (const id of [...facts.map(({ orderId }) => orderId), "open"]) {
      await broker.submit({ id, symbol: "AAA", quantity: quantityOf(id), type: "market", limitPrice: null, timeInForce: "day",
        isExtendedHours: false });
    }
    const fill = (fact: FillFact): void => { broker.fill(fact); };
    fill({ ...facts[0], at: 1_000 });
    fill({ ...facts[1], at: 2_000 });
    assert.deepEqual((await broker.orders(1_500)).map(({ id }) => id), [facts[1].orderId, "open"]);
    assert.equal((await broker.orders(1_000)).length, 3);
  });

  test("its record answers what is open when live has settled there, and what could be bought by then", async () => {
    const broker = new RecordedBroker({ session: toy.session, recorded: lines });
    broker.listen({ update: () => {}, stream: () => {} });
    const [{ orderId, quantity }] = lines.flatMap(({ message }) => message.kind === "fill" ? [message] : []);
    for (const id of [orderId, "open"]) {
      await broker.submit({ id, symbol: "AAA", quantity, type: "market", limitPrice: null, timeInForce: "day",
        isExtendedHours: false });
    }
    const told: unknown[] = [];
    const asked = broker.standing().then(({ orders, buyingPower }) => {
      told.push([orders.map(({ id, filled }) => [id, filled]), buyingPower]);
    });
    const fact: FillFact = { kind: "fill", at: 1_000, orderId, executionId: "x", instrument: 0, quantity, price: 1, fee: 0,
      position: 0 };
    const fill = (one: FillFact): void => { broker.fill(one); };
    fill(fact);
    const account = lines.find(({ message }) => message.kind === "account")!.message as AccountFact;
    broker.correct({ ...account, isReconciled: true, buyingPower: 4_321 });
    await new Promise((resolve) => { setImmediate(resolve); });
    assert.deepEqual(told, []);
    broker.settle();
    await asked;
    assert.deepEqual(told, [[[["open", 0]], 4_321]]);
  });

  test("leaves the step out during which a stepped run was stopped, and keeps what older orders did then", () => {
    const order = (id: string, decidedAt: number): Spoken =>
      ({ kind: "order-state", at: decidedAt, order: { id, decidedAt } }) as unknown as Spoken;
    const fact = (kind: Spoken["kind"], at: number, more = {}): Spoken => ({ kind, at, ...more }) as unknown as Spoken;
    const kept = [fact("market", 1), fact("target", 1), order("old", 1), fact("settled", 1)];
    const cut = [fact("market", 2), fact("features", 2), fact("target", 2), order("new", 2), fact("fill", 2, { orderId: "new" })];
    const after = [fact("fill", 2, { orderId: "old" }), fact("trading-state", 2)];
    const rows = [...kept, ...cut, ...after].map((message) => ({ message }));
    const stepped = { ...toy.session, clock: { kind: "market", isStepped: true, barsPerSecond: null } } as const;
    assert.deepEqual(livedOut(rows, stepped).map(({ message }) => message), [...kept, ...after]);
    assert.deepEqual(livedOut(rows, toy.session), rows);
    const unsettled = rows.filter(({ message }) => message.kind !== "settled");
    assert.deepEqual(livedOut(unsettled, stepped), unsettled);
    // A day of seconds has more messages than a call has room for arguments.
    const day = Array.from({ length: 300_000 }, () => ({ message: kept[3] }));
    for (const every of [livedOut(day, stepped), asHappened(day, stepped)]) assert.equal(every.length, day.length);
  });

  test("does not call it agreement when nothing was recorded that could differ", async () => {
    const found = await report(lines.filter(({ message }) => message.kind === "market" || message.kind === "account"));
    assert.deepEqual(found.differences, []);
    assert.throws(() => reportText(found), (error) => error instanceof UserError
      && error.problem.includes("nothing was compared"));
  });

  test("says which days there are when nothing was recorded on one", async () => {
    await report(lines);
    await assert.rejects(liveReport({ day: "2024-01-04" }, contextOf(toy.root)), (error) => error instanceof UserError
      && error.problem.startsWith("nothing was recorded on 2024-01-04") && error.hint.includes(DAY));
  });

  test("refuses a recipe that has changed since", async () => {
    await assert.rejects(report(lines, { ...toy.session, recipeHash: "0".repeat(64) }), (error) => error instanceof UserError
      && error.problem.includes('recipe "toy" has changed'));
  });
});
