import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { UserError } from "../src/base/error.ts";
import { ATTRIBUTES } from "../src/graph/attribute-text.ts";
import { makeGraph, resultsOf } from "../src/graph/graph.ts";
import * as op from "../src/graph/ops.ts";
import { orderNodes } from "../src/graph/order.ts";
import { makeNode, type OpName, type Tensor } from "../src/graph/tensor.ts";
import { parseGraph, printGraph } from "../src/graph/text.ts";
import { everyOpGraph, lstmGraph } from "./graphs.ts";

/** A cumulative sum over (3, 2), by hand from the layout at the top of text.ts. */
const CUMULATIVE = `graph cumulative format=1
input x (3, 2)
state total (2)
%0 = scan(total, x) isReverse=false -> (2), (3, 2)
  state state0 (2)
  element element0 (2)
  %0 = add(state0, element0) -> (2)
  next state0 = %0 (2)
  emit %0 (2)
%1 = mul(%0.1, 0.1) -> (3, 2)
output y = %1 (3, 2)
next total = %0.0 (2)
end
`;

function cumulative(): ReturnType<typeof makeGraph> {
  const x = op.input("x", [3, 2]), total = op.input("total", [2]);
  const { finals, stacked } = op.scan({ states: [total], sequences: [x], step([s], [e]) {
    const next = op.add(s, e);
    return { nextStates: [next], emits: [next] };
  } });
  return makeGraph("cumulative", { inputs: [x], state: [{ tensor: total, next: finals[0] }],
    outputs: { y: op.mul(stacked[0], 0.1) } });
}

const one = (y: Tensor, ...inputs: Tensor[]): string => printGraph(makeGraph("g", { inputs, outputs: { y } }));

describe("the text form of a graph", () => {
  test("is what its layout says, for a scan with state", () => {
    assert.equal(printGraph(cumulative()), CUMULATIVE);
  });

  test("comes back as the same text, for every op, open sizes, blocks and nested scans", () => {
    for (const graph of [cumulative(), everyOpGraph(), lstmGraph({ B: "B", T: "T" }), lstmGraph({ B: 4, T: 3 })]) {
      const text = printGraph(graph);
      assert.equal(printGraph(parseGraph(text)), text);
    }
  });

  test("was tried on every op there is", () => {
    const used = new Set(orderNodes(resultsOf(everyOpGraph())).map((node) => node.op));
    assert.deepEqual(Object.keys(ATTRIBUTES).filter((name) => !used.has(name as OpName)), []);
  });

  test("keeps outputs of a block that nobody uses: lstm has five", () => {
    const graph = parseGraph(printGraph(lstmGraph({ B: "B", T: "T" })));
    assert.equal(graph.outputs[0].tensor.node.outputs.length, 5);
    assert.equal(graph.outputs[0].tensor.index, 0);
  });

  test("gives every double back to the bit", () => {
    const numbers = [0, -0, 0.1, 1 / 3, 1e-300, 5e-324, 1.7976931348623157e308, -1e21, Infinity, -Infinity, NaN];
    for (const number of numbers) {
      const { node } = parseGraph(one(op.constant(number))).outputs[0].tensor;
      assert.ok(node.op === "constant" && Object.is(node.attributes.value, number), String(number));
    }
  });

  test("quotes names that are no plain words, and keeps them", () => {
    const names = ["lstm/0/wx", "0/wx", "two words", "inf", "a->b", "quote\"", "line\nbreak", "Größe"];
    for (const name of names) {
      const x = op.input(name, [2]);
      const text = one(op.neg(x), x);
      assert.equal(parseGraph(text).inputs[0].name, name);
    }
  });

  test("writes a constant where it is used, and shares it", () => {
    const x = op.input("x", [2]);
    assert.match(one(op.add(op.mul(x, 2), 2), x), /%0 = mul\(x, 2\) -> \(2\)\n%1 = add\(%0, 2\)/);
  });
});

describe("a damaged text", () => {
  const cases: readonly (readonly [string, string, string, RegExp])[] = [
    ["another format", "format=1", "format=2", /^line 1 .*format 2; this version reads format 1/],
    ["an unknown op", "%1 = mul", "%1 = mull", /^line 10 .*no op: mull/],
    ["a value nobody defines", "%0.1, 0.1", "%4, 0.1", /^line 10 .*uses %4, which no line above/],
    ["an output too many", "%0.1, 0.1", "%0.2, 0.1", /^line 10 .*%0 has 2 outputs/],
    ["an output left unsaid", "%0.1, 0.1", "%0, 0.1", /^line 10 .*%0 has 2 outputs/],
    ["a wrong shape", "-> (3, 2)\noutput", "-> (2, 3)\noutput", /^line 10 .*says \(2, 3\); mul gives \(3, 2\)/],
    ["shapes that do not fit", "element element0 (2)", "element element0 (5)", /^line 7 .*do not broadcast/],
    ["an input too many", "mul(%0.1, 0.1)", "mul(%0.1, 0.1, 0.1)", /^line 10 .*mul\(\(3, 2\), \(\), \(\)\) takes 2 inputs/],
    ["a missing attribute", " isReverse=false", "", /^line 4 .*"->" where "isReverse" belongs/],
    ["a strange character", "input x", "input §", /^line 2 .*strange character/],
    ["a number that is none", "0.1)", "0.1.2)", /^line 10 .*strange character/],
    ["a name twice", "input x (3, 2)", "input x (3, 2)\ninput x (3, 2)", /^line 3 .*defines x again/],
    ["a body that lost its next state", "  next state0 = %0 (2)\n", "", /^line 5 .*next states/],
    ["a body line that left the body", "  emit", "emit", /^line 4 .*says \(2\), \(3, 2\); scan gives \(2\)/],
    ["a next value of no state", "next total", "next other", /other, which is no state/],
    ["more after its end", "end\n", "end\nend\n", /^line 13 .*more lines follow/],
  ];
  for (const [what, from, to, expected] of cases) {
    test(`is one sentence with the line: ${what}`, () => {
      assert.ok(CUMULATIVE.includes(from), from);
      assert.throws(() => parseGraph(CUMULATIVE.replace(from, to)), (error) => {
        assert.ok(error instanceof UserError, String(error));
        assert.match(error.problem, expected);
        return true;
      });
    });
  }

  test("is noticed wherever it is cut off", () => {
    for (let length = 0; length < CUMULATIVE.length - 1; length++) {
      assert.throws(() => parseGraph(CUMULATIVE.slice(0, length)), UserError, `cut at ${length}`);
    }
  });

  test("is a UserError or a graph, but never a bug, whichever character is lost", () => {
    for (let at = 0; at < CUMULATIVE.length; at++) {
      try { parseGraph(CUMULATIVE.slice(0, at) + CUMULATIVE.slice(at + 1)); } catch (error) {
        assert.ok(error instanceof UserError, `without character ${at}: ${String(error)}`);
      }
    }
  });

  test("says where a node's number is out of its place", () => {
    const [first] = makeNode("neg", [op.input("x", [1])], {});
    assert.throws(() => parseGraph(one(first, first.node.inputs[0]).replace("%0 = neg", "%0.1 = neg")),
      /line 3 of the graph's text has "%0.1" where a node's number belongs/);
  });
});
