/** The table of processes and ports. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { SPOKEN_CODES, type Spoken } from "../src/live/message.ts";
import { PORTS } from "../src/live/session.ts";
import { diagram, hearersOf, hearingsOf, INLETS, inletsFor, placesOf, portsFrom, processOf, ROLES, workersOf, type Role }
  from "../src/live/topology.ts";
import { session } from "./live-market.ts";

const run = session({ mixture: "adaptive", ports: portsFrom(5555) });
const roles = Object.keys(ROLES) as Role[];

describe("the graph as a table", () => {
  test("every kind that travels is said by somebody, and whatever is heard is said", () => {
    const ofAll = ["heartbeat", "meter", "alert"];
    const said = new Set<string>([...roles.flatMap((role) => [...ROLES[role].says]), ...ofAll]);
    const kinds = (Object.keys(SPOKEN_CODES) as Spoken["kind"][]).filter((kind) => kind !== "control");
    assert.deepEqual(kinds.filter((kind) => !said.has(kind)), []);
    for (const role of roles) assert.deepEqual(ROLES[role].hears.filter((kind) => !said.has(kind)), [], role);
  });

  test("each port is bound once, and the founding document's numbers are kept", () => {
    const bound = [...roles.map((role) => ROLES[role].binds).filter((port) => port !== null), ...INLETS.map(({ port }) => port)];
    assert.equal(new Set(bound).size, bound.length);
    assert.equal(new Set(Object.values(PORTS)).size, Object.keys(PORTS).length);
    // Communication document: data, features, predictions, execution; health, performance, alerts, dashboard.
    assert.deepEqual([PORTS.data, PORTS.features, PORTS.predictions, PORTS.execution], [5555, 5556, 5557, 5558]);
    assert.deepEqual([PORTS.health, PORTS.performance, PORTS.alerts, PORTS.dashboard], [5564, 5565, 5566, 5567]);
    assert.equal(portsFrom(7000).control - 7000, PORTS.control - 5555);
  });

  test("a model's predictions go to the port that decision binds, and reach meta and the recorder from decision", () => {
    assert.deepEqual(inletsFor("model").map(({ port }) => port), ["predictions", "health", "performance", "alerts", "records"]);
    assert.deepEqual(inletsFor("decision").map(({ port }) => port), ["health", "performance", "alerts", "records"]);
    assert.deepEqual(hearingsOf("decision", ["prediction"]),
      [{ port: "predictions", kinds: ["prediction", "mixture"], isInlet: true }]);
    assert.deepEqual(hearingsOf("meta", ["prediction"]), [{ port: "decisions", kinds: ["prediction"], isInlet: false }]);
  });

  test("what actors of one process say to each other needs no socket; commands need no subscription", () => {
    assert.deepEqual(hearingsOf("decision", ["decision", "tick", "control"]).filter(({ isInlet }) => !isInlet), []);
    assert.deepEqual(hearingsOf("execution", ["target", "market", "control"]),
      [{ port: "data", kinds: ["market"], isInlet: false }]);
  });

  test("to ask for what one may not hear is a bug", () => {
    assert.throws(() => hearingsOf("model", ["fill"]), /model may hear fill/);
  });

  test("hearers are counted, so that the feed speaks history only when all are there", () => {
    // features, decision, execution, recorder, monitor
    assert.equal(hearersOf(run, "feed"), 5);
    // two workers, meta, recorder
    assert.equal(hearersOf(run, "features"), 4);
    assert.equal(hearersOf({ ...run, mixture: "equal" }, "features"), 3);
    assert.equal(hearersOf(run, "recorder"), 0);
  });

  test("hearers start before speakers, the simulator first; without it a vendor is the world", () => {
    assert.deepEqual(placesOf(run).map(({ name }) => name), ["simulator", "recorder", "monitor", "execution", "decision", "meta",
      "lstm-1", "lstm-2", "features", "feed"]);
    assert.equal(placesOf({ ...run, venue: "alpaca-paper", feed: "alpaca" })[0].name, "recorder");
  });

  test("with a GPU one process owns it and hosts all workers", () => {
    const gpu = { ...run, device: "cuda" } as const;
    const place = placesOf(gpu).find(({ role }) => role === "model")!;
    assert.equal(place.name, "models");
    assert.deepEqual(workersOf(gpu, place).map(({ worker }) => worker), ["lstm-1", "lstm-2"]);
    assert.equal(processOf(gpu, "lstm-2"), "models");
    assert.equal(processOf(run, "lstm-2"), "lstm-2");
  });

  test("the graph draws itself", () => {
    assert.equal(diagram(session({ models: [{ worker: "lstm-1", strategy: "tsmom" }] })), `\
supervisor  control :5569
simulator
recorder (recorder)
  <- records :5574 takes heartbeat, meter, alert, performance
  <- data: market, quote, notice
  <- features: features
  <- decisions: prediction, mixture, decision, target
  <- execution: order-state, fill, account, settled, trading-state
monitor (health, performance, alerts, dashboard)
  <- health :5564 takes heartbeat
  <- performance :5565 takes meter
  <- alerts :5566 takes alert
  <- data: market
  <- decisions: prediction, mixture, decision, target
  <- execution: order-state, fill, account, trading-state
  says performance
execution (execution)
  <- data: market, quote, notice
  says order-state, fill, account, settled, trading-state -> execution :5558
decision (aggregator, portfolio)
  <- predictions :5557 takes prediction, mixture, passes them on
  <- data: market, notice
  <- execution: account, fill, trading-state
  says decision, target, prediction, mixture -> decisions :5572
  hands target -> orders :5568
lstm-1 (model)
  <- features: features
  says prediction
features (features)
  <- data: market
  says features -> features :5556
feed (feed)
  <- execution: settled
  says market, quote, notice -> data :5555`);
  });
});
