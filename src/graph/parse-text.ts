/**
 * Reads the text form of a graph (layout: text.ts) by recursive descent, one line at a time. The
 * text may come from a file that somebody else wrote: what is wrong with it is a UserError with the
 * line.
 */
import { messageOf, UserError } from "../base/error.ts";
import { ATTRIBUTES, lineAttributes, nameText, TEXT_FORMAT, type AttributeKind }
  from "./attribute-text.ts";
import { isSameShape, multiply, shapeText, type Dimension, type Shape } from "./dimension.ts";
import type { Graph, Named } from "./graph.ts";
import { constant, input } from "./ops.ts";
import type { ScanBody } from "./op.ts";
import { makeNode, type OpName, type Tensor } from "./tensor.ts";

const HINT = "export the model again: dmn train-export --help";
const NUMBER = /^(-?\d+(\.\d+)?(e[+-]?\d+)?|-?inf|nan)$/;
const TOKEN = new RegExp([
  "->", "%\\d+(?:\\.\\d+)?", "-inf", "-?\\d+(?:\\.\\d+)?(?:e[+-]?\\d+)?", '"(?:[^"\\\\]|\\\\.)*"',
  "[A-Za-z_](?:[\\w/.]|-(?!>))*", "[()\\[\\]=,*]",
].join("|"), "y");

/** The tokens of one line, taken from left to right. */
class Line {
  readonly number: number;
  readonly depth: number;
  readonly #tokens: string[] = [];
  #at = 0;

  constructor(text: string, number: number) {
    this.number = number;
    const spaces = text.length - text.trimStart().length;
    if (spaces % 2 === 1) this.refuse("is indented by an odd number of spaces");
    this.depth = spaces / 2;
    for (let at = spaces; at < text.length;) {
      if (text[at] === " ") { at++; continue; }
      TOKEN.lastIndex = at;
      const [token] = TOKEN.exec(text)
        ?? this.refuse(`has a strange character: ${text.slice(at, at + 12)}`);
      this.#tokens.push(token);
      at += token.length;
    }
  }

  refuse(problem: string): never {
    throw new UserError(`line ${this.number} of the graph's text ${problem}`, HINT);
  }

  /** The next token, "" at the end. */
  get next(): string { return this.#tokens[this.#at] ?? ""; }

  take(expected: string): void {
    if (this.next !== expected) this.refuse(`has "${this.next}" where "${expected}" belongs`);
    this.#at++;
  }

  takeIf(expected: string): boolean {
    if (this.next !== expected) return false;
    this.#at++;
    return true;
  }

  matching(pattern: RegExp, what: string): string {
    const token = this.next;
    if (!pattern.test(token)) this.refuse(`has "${token}" where ${what} belongs`);
    this.#at++;
    return token;
  }

  end(): void { if (this.#at < this.#tokens.length) this.refuse(`goes on with "${this.next}"`); }

  name(): string {
    const token = this.matching(/^["A-Za-z_]/, "a name");
    if (!token.startsWith('"')) return token;
    try { return JSON.parse(token) as string; } catch {
      return this.refuse(`has a damaged name: ${token}`);
    }
  }

  /** Up to the closing bracket: one or more parts, or none. */
  list<Part>(close: string, part: () => Part): Part[] {
    const parts: Part[] = [];
    if (this.takeIf(close)) return parts;
    do parts.push(part()); while (this.takeIf(","));
    this.take(close);
    return parts;
  }

  numeral(): number {
    const token = this.matching(NUMBER, "a number");
    const words: Readonly<Record<string, number>> = { inf: Infinity, "-inf": -Infinity, nan: NaN };
    return words[token] ?? Number(token);
  }

  whole(): number { return Number(this.matching(/^\d+$/, "a whole number")); }

  dimension(): Dimension {
    const parts: string[] = [];
    do parts.push(this.matching(/^(\d+|[A-Za-z]\w*)$/, "a size")); while (this.takeIf("*"));
    if (parts.length === 1 && /^\d/.test(parts[0])) return Number(parts[0]);
    const text = parts.join("*");
    if (multiply(text) !== text) {
      this.refuse(`has the size ${text}, which is not written as sizes are`);
    }
    return text;
  }

  shape(): Shape {
    this.take("(");
    return this.list(")", () => this.dimension());
  }
}

const READ = {
  name: (line) => line.name(), number: (line) => line.numeral(), shape: (line) => line.shape(),
  dimension: (line) => line.dimension(),
  boolean: (line) => line.matching(/^(true|false)$/, "true or false") === "true",
  axes(line) {
    line.take("[");
    return line.list("]", () => line.whole());
  },
} as const satisfies { readonly [Kind in Exclude<AttributeKind, "body">]: (line: Line) => unknown };

/** The lines of a text; `line` is the one that is read now. */
class Source {
  readonly #lines: string[];
  #at = 0;
  #line: Line;

  constructor(text: string) {
    this.#lines = text.replace(/\n$/, "").split("\n");
    this.#line = new Line(this.#lines[0], 1);
  }

  get line(): Line { return this.#line; }

  advance(): void {
    this.#line.end();
    this.#at++;
    this.#line = new Line(this.#lines[this.#at] ?? "", this.#at + 1);
  }

  /** Reads lines at this depth while their first token fits. */
  whileAt(depth: number, first: (token: string) => boolean, read: (line: Line) => void): void {
    while (this.#line.depth === depth && first(this.#line.next)) read(this.#line);
  }

  get isLast(): boolean { return this.#at === this.#lines.length - 1; }
}

/** What names stand for: outputs of a node by its label. */
type Scope = Map<string, readonly Tensor[]>;

function define(scope: Scope, label: string, outputs: readonly Tensor[], line: Line): void {
  if (scope.has(label)) line.refuse(`defines ${label} again`);
  scope.set(label, outputs);
}

function readValue(line: Line, scope: Scope): Tensor {
  if (NUMBER.test(line.next)) {
    const label = line.next;
    if (!scope.has(label)) scope.set(label, [constant(line.numeral())]); else line.numeral();
    return scope.get(label)![0];
  }
  const token = line.next.startsWith("%") ? line.matching(/^%/, "a value") : nameText(line.name());
  const [, label, index] = /^(%\d+)\.(\d+)$/.exec(token) ?? [null, token, null];
  const outputs = scope.get(label) ?? line.refuse(`uses ${label}, which no line above it defines`);
  if ((index === null) !== (outputs.length === 1)) {
    line.refuse(`uses ${token}, but ${label} has ${outputs.length} outputs`);
  }
  return outputs[Number(index ?? 0)]
    ?? line.refuse(`uses ${token}: ${label} has ${outputs.length} outputs`);
}

/** Lines "WORD NAME SHAPE": new input nodes. */
function readDeclared(source: Source, depth: number, word: string, scope: Scope): Tensor[] {
  const tensors: Tensor[] = [];
  source.whileAt(depth, (token) => token === word, (line) => {
    line.take(word);
    const name = line.name();
    const tensor = input(name, line.shape());
    define(scope, nameText(name), [tensor], line);
    tensors.push(tensor);
    source.advance();
  });
  return tensors;
}

function readNodes(source: Source, depth: number, scope: Scope): void {
  source.whileAt(depth, (token) => token.startsWith("%"), (line) => {
    const label = line.matching(/^%\d+$/, "a node's number");
    line.take("=");
    const op = line.name();
    const isOp = Object.hasOwn(ATTRIBUTES, op) && op !== "input" && op !== "constant";
    if (!isOp) line.refuse(`has no op: ${op}`);
    line.take("(");
    const inputs = line.list(")", () => readValue(line, scope));
    const attributes: Record<string, unknown> = {};
    for (const [key, kind] of lineAttributes(op as OpName)) {
      line.take(key);
      line.take("=");
      attributes[key] = READ[kind](line);
    }
    line.take("->");
    const shapes: Shape[] = [];
    do shapes.push(line.shape()); while (line.takeIf(","));
    source.advance();
    if (op === "scan") attributes["body"] = readBody(source, depth + 1);
    const outputs = tryNode(line, op as OpName, inputs, attributes);
    const isSame = outputs.length === shapes.length
      && outputs.every(({ shape }, k) => isSameShape(shape, shapes[k]));
    if (!isSame) {
      line.refuse(`says ${shapes.map(shapeText).join(", ")}; `
        + `${op} gives ${outputs.map(({ shape }) => shapeText(shape)).join(", ")}`);
    }
    define(scope, label, outputs, line);
  });
}

/** A node whose op may refuse what the text says. */
function tryNode(line: Line, op: OpName, inputs: readonly Tensor[],
  attributes: object): readonly Tensor[] {
  try { return makeNode(op, inputs, attributes as never); } catch (error) {
    return line.refuse(`does not fit together: ${messageOf(error)}`);
  }
}

function readResult(line: Line, scope: Scope): Tensor {
  const tensor = readValue(line, scope);
  const shape = line.shape();
  if (!isSameShape(shape, tensor.shape)) {
    line.refuse(`says ${shapeText(shape)} of a value of shape ${shapeText(tensor.shape)}`);
  }
  return tensor;
}

/** Lines "WORD NAME = VALUE SHAPE". */
function readResults(source: Source, depth: number, word: string, scope: Scope): Named[] {
  const results: Named[] = [];
  source.whileAt(depth, (token) => token === word, (line) => {
    line.take(word);
    const name = line.name();
    if (results.some((one) => one.name === name)) line.refuse(`has a second ${word} ${name}`);
    line.take("=");
    results.push({ name, tensor: readResult(line, scope) });
    source.advance();
  });
  return results;
}

const labelOf = ({ node }: Tensor): string => (node.op === "input" ? node.attributes.name : "");

function readBody(source: Source, depth: number): ScanBody {
  const first = source.line;
  const scope: Scope = new Map();
  const [states, elements, captured] = ["state", "element", "captured"].map((word) =>
    readDeclared(source, depth, word, scope));
  readNodes(source, depth, scope);
  const next = readResults(source, depth, "next", scope);
  const emits: Tensor[] = [];
  source.whileAt(depth, (token) => token === "emit", (line) => {
    line.take("emit");
    emits.push(readResult(line, scope));
    source.advance();
  });
  if (next.length !== states.length || !next.every(({ name }, k) => name === labelOf(states[k]))) {
    first.refuse("starts a scan whose next states are not its states");
  }
  return { states, elements, captured, nextStates: next.map(({ tensor }) => tensor), emits };
}

/** The graph that `printGraph` wrote. UserError with the line's number when the text is damaged. */
export function parseGraph(text: string): Graph {
  const source = new Source(text);
  const { line } = source;
  line.take("graph");
  const name = line.name();
  line.take("format");
  line.take("=");
  const format = line.whole();
  if (format !== TEXT_FORMAT) {
    line.refuse(`has format ${format}; this version reads format ${TEXT_FORMAT}`);
  }
  source.advance();
  const scope: Scope = new Map();
  const inputs = readDeclared(source, 0, "input", scope);
  const state = readDeclared(source, 0, "state", scope);
  readNodes(source, 0, scope);
  const outputs = readResults(source, 0, "output", scope);
  const next = readResults(source, 0, "next", scope);
  if (source.line.depth > 0) source.line.refuse("is indented, but belongs to no scan");
  source.line.take("end");
  source.line.end();
  if (!source.isLast) source.line.refuse("ends the graph, but more lines follow");
  const kept = state.map((tensor) => {
    const after = next.find((one) => one.name === labelOf(tensor))?.tensor ?? tensor;
    if (!isSameShape(after.shape, tensor.shape)) {
      source.line.refuse(`${labelOf(tensor)} changes its shape`);
    }
    return { name: labelOf(tensor), tensor, next: after };
  });
  const stray = next.find((one) => kept.every(({ name: known }) => known !== one.name));
  if (stray !== undefined) {
    source.line.refuse(`follows a next value of ${stray.name}, which is no state`);
  }
  return { name, inputs: inputs.map((tensor) => ({ name: labelOf(tensor), tensor })),
    state: kept, outputs };
}
