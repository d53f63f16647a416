import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Actor } from "../src/live/actor.ts";
import { BAR_FLAGS, type ControlCommand, type MarketFact, type SettledFact, type TargetCommand } from "../src/live/message.ts";
import { MemoryBus, type BusOptions } from "../src/workflow/live/memory-bus.ts";
import { CALM, type Entry, type Kinded, type Member, type MemoryProcess } from "../src/workflow/live/memory-process.ts";
import { VirtualTime } from "../src/workflow/live/virtual-time.ts";

const START = Date.UTC(2024, 0, 3, 15, 0);
const market = (at: number): MarketFact => ({ kind: "market", at, instrument: Int32Array.of(0),
  bars: new Float64Array(7).fill(at), flags: Uint8Array.of(BAR_FLAGS.fresh) });
const target = (at: number): TargetCommand => ({ kind: "target", at, instrument: Int32Array.of(0), weight: Float64Array.of(0),
  units: Float64Array.of(at), price: Float64Array.of(1), equity: 1, actions: [] });
const settled = (at: number): SettledFact => ({ kind: "settled", at, orders: 0 });

/** A process of one actor without a rim. */
const alone = (name: string, hears: Actor["hears"], handle: Actor<Kinded, Kinded>["handle"]): MemoryProcess =>
  ({ name, start: (): Member[] => [{ actor: { name, hears, handle }, rim: null }] });

function busOf(options: Partial<BusOptions> = {}): { bus: MemoryBus; time: VirtualTime; entries: Entry[] } {
  const time = new VirtualTime(START), entries: Entry[] = [];
  const bus = new MemoryBus({ time, seed: 1, weather: CALM, tickMs: null, isRetaining: true, restartMs: 400,
    onEntry: (entry) => { entries.push(entry); }, ...options });
  return { bus, time, entries };
}

/** Says the numbers 0 .. count - 1 as market facts, one every 10 ms from 10 ms on. */
function counter(count: number): MemoryProcess {
  return { name: "source", start: (host) => [{
    actor: { name: "source", hears: [], handle: (message: Kinded) => [market((message as unknown as { n: number }).n)] },
    rim: { start(push) {
      for (let n = 0; n < count; n++) host.after(10 + 10 * n, () => { push({ kind: "count", n } as Kinded); });
      return Promise.resolve();
    }, carryOut: () => {}, stop: () => Promise.resolve() } }] };
}

describe("virtual time", () => {
  test("runs events in the order of their moments, equal ones in the order asked for, and waits for promises", async () => {
    const time = new VirtualTime(START), said: string[] = [];
    time.at(5, () => { said.push(`c ${time.elapsedMs}`); });
    time.at(2, async () => { await Promise.resolve(); said.push("a"); time.after(0, () => { said.push("a2"); }); });
    time.at(2, () => { said.push("b"); time.settle(); void Promise.resolve().then(() => said.push("b's promise")); });
    await time.run(10);
    assert.deepEqual(said, ["a", "b", "b's promise", "a2", "c 5"]);
    assert.equal(time.now(), START + 10);
  });

  test("stands still while work outside goes on", async () => {
    const time = new VirtualTime(START);
    let doneAt = -1;
    time.at(1, () => { time.hold(new Promise<void>((resolve) => { setImmediate(() => setImmediate(() => {
      doneAt = time.elapsedMs;
      resolve();
    })); })); });
    time.at(100, () => { assert.equal(doneAt, 1); });
    await time.run();
    assert.equal(time.elapsedMs, 100);
  });
});

describe("the memory bus", () => {
  for (const seed of [1, 2, 3, 4]) {
    test(`brings 200 facts whole and in order although a fifth of them is lost and a fifth comes twice, seed ${seed}`,
      async () => {
      const heard: number[] = [];
      const { bus, time } = busOf({ seed, weather: { delayMs: [0, 50], lostShare: 0.2, twiceShare: 0.2 } });
      bus.add(alone("hearer", ["market"], (message) => { heard.push((message as MarketFact).at); return []; }));
      bus.add(counter(200));
      await time.run(10_000);
      assert.ok(bus.lost > 20, `${bus.lost} were lost`);
      // What comes twice is heard twice; else each once.
      assert.deepEqual(heard.filter((n, k) => n !== heard[k - 1]), Array.from({ length: 200 }, (_, n) => n));
    });
  }

  test("is a function of its seed", async () => {
    const run = async (seed: number): Promise<string> => {
      const heard: string[] = [];
      const { bus, time } = busOf({ seed, weather: { delayMs: [0, 50], lostShare: 0.1, twiceShare: 0.1 } });
      bus.add(alone("hearer", ["market"], (message, now) => { heard.push(`${(message as MarketFact).at}@${now}`); return []; }));
      bus.add(counter(50));
      await time.run(5_000);
      return heard.join(" ");
    };
    assert.equal(await run(7), await run(7));
    assert.notEqual(await run(7), await run(8));
  });

  test("tells a hearer that starts again all it has missed, as history but for the newest", async () => {
    let heard: string[] = [];
    const { bus, time } = busOf();
    const hearer: MemoryProcess = { name: "hearer", start: () => {
      heard = [];
      return alone("hearer", ["market"], (message) => {
        heard.push(`${(message as MarketFact).at}${(message as MarketFact).flags[0] === BAR_FLAGS.history ? "h" : ""}`);
        return [];
      }).start(null as never);
    } };
    bus.add(hearer);
    bus.add(counter(6));
    time.at(35, () => { bus.kill("hearer"); });
    await time.run(34);
    assert.deepEqual(heard, ["0", "1", "2"]);
    await time.run(1_000);
    assert.deepEqual(heard, ["0h", "1h", "2h", "3h", "4h", "5"]);
  });

  test("hands a command over once while all is well, and again when its receiver dies over it", async () => {
    const handled: string[] = [];
    let life = 0;
    const { bus, time } = busOf({ weather: { ...CALM, delayMs: [5, 5] } });
    bus.add({ name: "receiver", start: () => {
      const own = ++life;
      return alone("receiver", ["target"],
        (message) => { handled.push(`${(message as TargetCommand).at} in life ${own}`); return []; })
        .start(null as never);
    } });
    bus.hand(target(1));
    await time.run(20);
    bus.hand(target(2));
    await time.run(26);
    // Handled at 25, its acknowledgement would have been out at 30.
    bus.kill("receiver");
    await time.run(2_000);
    assert.deepEqual(handled, ["1 in life 1", "2 in life 1", "2 in life 2"]);
  });

  test("keeps only the newest target for a receiver that is away, and every control", async () => {
    const handled: string[] = [];
    const { bus, time } = busOf();
    bus.add(alone("receiver", ["target", "control"], (message) => {
      handled.push(`${(message as ControlCommand).action ?? "target"} ${(message as TargetCommand).at}`);
      return [];
    }));
    bus.kill("receiver");
    const control = (at: number): ControlCommand => ({ kind: "control", at, action: "halt", by: "user", subject: "", value: "" });
    for (const command of [target(1), target(2), control(3), target(4), control(5)]) bus.hand(command);
    await time.run(5_000);
    assert.deepEqual(handled, ["target 1", "halt 3", "target 4", "halt 5"]);
  });

  test("lets a frozen process miss nothing and do nothing until it wakes", async () => {
    const heard: string[] = [];
    const { bus, time } = busOf();
    bus.add(alone("hearer", ["market"],
      (message) => { heard.push(`${(message as MarketFact).at}@${time.elapsedMs}`); return []; }));
    bus.add(counter(4));
    time.at(15, () => { bus.freeze("hearer", 100); });
    await time.run(1_000);
    assert.deepEqual(heard, ["0@10", "1@115", "2@115", "3@115"]);
  });

  test("ends a process whose actor throws, says so, starts it anew, and gives up after the fifth time", async () => {
    const { bus, time, entries } = busOf();
    bus.add(alone("broken", ["market"], () => { throw new Error("no"); }));
    bus.add(counter(300));
    await time.run(20_000);
    assert.equal(entries.filter(({ what }) => what === "crashed").length, 5);
    assert.equal(bus.isAlive("broken"), false);
  });

  test("carries what an actor says to the others of its process without a hop", async () => {
    const heard: number[] = [];
    const { bus, time } = busOf({ weather: { ...CALM, delayMs: [50, 50] } });
    bus.add({ name: "pair", start: () => [
      { actor: { name: "first", hears: ["market"], handle: (message: Kinded) => [settled((message as MarketFact).at)] },
        rim: null },
      { actor: { name: "second", hears: ["settled"], handle: () => { heard.push(time.elapsedMs); return []; } }, rim: null }] });
    bus.add(counter(2));
    await time.run(1_000);
    assert.deepEqual(heard, [60, 70]);
  });
});
