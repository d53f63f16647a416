/** The empty graph of the hops' figures: that what is measured is a graph that loses nothing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { measureHops } from "../src/workflow/bench/live-hops.ts";

test("five processes pass 90 paced and 50 bursting messages on, none lost, and say what it cost", { timeout: 60_000 },
  async () => {
  const [paced, burst] = await measureHops({ cut: "five", transport: "tcp", loads: ["900/s", "burst"], seconds: 0.1,
    instruments: 5, columns: 10 });
  assert.deepEqual([paced.messages, burst.messages], [90, 50]);
  for (const { messages, parts } of [paced, burst]) {
    assert.deepEqual(parts.map(({ role }) => role), ["feed", "features", "model", "aggregator+risk+portfolio", "execution"]);
    for (const { heard, missed, hop } of parts.slice(1)) assert.deepEqual([heard, missed, hop.count], [messages, 0, messages]);
    const { end, hop } = parts.at(-1)!;
    assert.ok(end.count === messages && end.p50 > hop.p50, "the way is longer than its last hop");
  }
});
