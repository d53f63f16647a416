/**
 * How each kind travels: one row per kind, total. Arrays go as tensors, raw; the rest as JSON, or, for what
 * is said for every bar (market, quote, features, prediction), not as JSON at all.
 *
 *   message -> toContent -> encode -> frame -> decode -> fromContent -> the same message, bit for bit
 *
 * NaN and infinities are no JSON: such a number travels as {"#": "NaN"}.
 */
import type { Content, Damage, Tensor, TensorArray } from "../wire/codec.ts";
import { BAR_FIELDS, SPOKEN_CODES, type Spoken } from "./message.ts";

type ArrayType<A> = A extends Float64Array ? typeof Float64Array
  : A extends Float32Array ? typeof Float32Array
  : A extends Int32Array ? typeof Int32Array : typeof Uint8Array;
/** `version` rides in the header, `text` is a tensor of UTF-8; the others are JSON of that type. */
type Form = "string" | "number" | "boolean" | "object" | "version" | "text";
type Columns = number | "any" | "free";
interface Row {
  /** Columns of a row per instrument; "any": as many as there are; "free": not per instrument. */
  readonly tensors: Readonly<Record<string, readonly [new (length: number) => TensorArray, Columns]>>;
  readonly rest: Readonly<Record<string, Form>>;
}
type RowOf<M> = {
  readonly tensors: { readonly [P in keyof M as M[P] extends TensorArray ? P : never]:
    readonly [ArrayType<M[P]>, Columns] };
  readonly rest: {
    readonly [P in keyof M as P extends "kind" | "at" ? never : M[P] extends TensorArray ? never : P]: Form };
};

const perInstrument = { instrument: [Int32Array, 1] } as const;
const said = {
  position: [Float32Array, 1], volatility: [Float32Array, 1], confidence: [Float32Array, 1],
} as const;
const ROWS = {
  market: { tensors: { ...perInstrument, bars: [Float64Array, BAR_FIELDS.length], flags: [Uint8Array, 1] },
    rest: {} },
  quote: { tensors: { ...perInstrument, quotes: [Float64Array, 4] }, rest: {} },
  notice: { tensors: {}, rest: { instrument: "number", what: "string", value: "number" } },
  features: { tensors: { ...perInstrument, rows: [Float32Array, "any"], flags: [Uint8Array, 1] }, rest: {} },
  prediction: { tensors: { ...perInstrument, ...said }, rest: { model: "text", version: "version" } },
  mixture: { tensors: {}, rest: { models: "object", weights: "object" } },
  decision: { tensors: { ...perInstrument, ...said }, rest: { members: "object", hasQuorum: "boolean" } },
  "order-state": { tensors: {}, rest: { order: "object" } },
  fill: { tensors: {}, rest: { orderId: "string", executionId: "string", instrument: "number",
    quantity: "number", price: "number", fee: "number", position: "number" } },
  account: { tensors: { units: [Float64Array, "free"] },
    rest: { equity: "number", cash: "number", buyingPower: "number", isReconciled: "boolean" } },
  settled: { tensors: {}, rest: { orders: "number" } },
  "trading-state": { tensors: {}, rest: { state: "string", reason: "string", by: "string" } },
  heartbeat: { tensors: {}, rest: { process: "string", pid: "number", state: "string", cpuShare: "number",
    memoryBytes: "number", loopDelayMs: "number", handled: "number" } },
  meter: { tensors: {}, rest: { process: "string", rows: "object" } },
  alert: { tensors: {}, rest: { severity: "string", code: "string", text: "string", process: "string" } },
  target: { tensors: { ...perInstrument, weight: [Float64Array, 1], units: [Float64Array, 1],
    price: [Float64Array, 1] },
    rest: { equity: "number", actions: "object" } },
  performance: { tensors: {},
    rest: { equity: "number", peak: "number", drawdown: "number", sharpe: "number", models: "object" } },
  control: { tensors: {}, rest: { action: "string", by: "string", subject: "string", value: "string" } },
} as const satisfies { readonly [K in Spoken["kind"]]: RowOf<Extract<Spoken, { kind: K }>> };

/** What a row is for the code below, names resolved once. */
interface Plan extends Row {
  readonly kind: Spoken["kind"];
  readonly arrays: readonly (readonly [string, new (length: number) => TensorArray, Columns])[];
  readonly texts: readonly string[];
  readonly json: readonly (readonly [string, Form])[];
  readonly hasVersion: boolean;
}
const planOf = (kind: Spoken["kind"], { tensors, rest }: Row): Plan => ({
  kind, tensors, rest,
  arrays: Object.entries(tensors).map(([name, [ArrayOf, columns]]) => [name, ArrayOf, columns] as const),
  texts: Object.keys(rest).filter((name) => rest[name] === "text"),
  json: Object.entries(rest).filter(([, form]) => form !== "text" && form !== "version"),
  hasVersion: "version" in rest,
});
const PLANS = (Object.keys(ROWS) as Spoken["kind"][]).map((kind) => planOf(kind, ROWS[kind]));
const BY_KIND = new Map(PLANS.map((plan) => [plan.kind, plan]));
const BY_CODE = new Map(PLANS.map((plan) => [SPOKEN_CODES[plan.kind] as number, plan]));

const encoder = new TextEncoder(), decoder = new TextDecoder();

/** The message as the wire takes it. Its arrays are looked at, not copied: `encode` does that. */
export function toContent(message: Spoken): Content {
  const plan = BY_KIND.get(message.kind)!, fields = message as unknown as Readonly<Record<string, unknown>>;
  const tensors: Tensor[] = [];
  const rows = (fields["instrument"] as Int32Array | undefined)?.length ?? 0;
  for (const [name, , columns] of plan.arrays) {
    const values = fields[name] as TensorArray;
    const width = columns === "any" ? values.length / rows : columns;
    tensors.push({ values, columns: width === "free" || rows === 0 ? 1 : width });
  }
  for (const name of plan.texts) tensors.push({ values: encoder.encode(fields[name] as string), columns: 1 });
  let meta: Record<string, unknown> | undefined;
  if (plan.json.length > 0) {
    meta = {};
    for (const [name] of plan.json) meta[name] = withoutNaN(fields[name]);
  }
  const version = plan.hasVersion ? fields["version"] as string : "";
  return { code: SPOKEN_CODES[message.kind], at: message.at, version, tensors, meta };
}

/** The message that came, or what is wrong with it. Its arrays are views of the frame that it came in. */
export function fromContent(content: Content): Spoken | Damage {
  const plan = BY_CODE.get(content.code);
  if (plan === undefined) return { damage: `no kind has the code ${content.code}` };
  const { kind, arrays, texts, json } = plan, { tensors } = content;
  const damaged = (what: string): Damage => ({ damage: `${kind}: ${what}` });
  if (tensors.length !== arrays.length + texts.length) return damaged(`${tensors.length} tensors`);
  const message: Record<string, unknown> = { kind, at: content.at };
  const rows = arrays.length === 0 ? 0 : tensors[0].values.length;
  for (let k = 0; k < arrays.length; k++) {
    const [name, ArrayOf, columns] = arrays[k], { values } = tensors[k];
    if (!(values instanceof ArrayOf)) return damaged(`${name} has another dtype`);
    const isWhole = columns === "free" || (columns === "any" ? rows === 0 ? values.length === 0
      : values.length % rows === 0 : values.length === rows * columns);
    if (!isWhole) return damaged(`${name} has ${values.length} numbers for ${rows} instruments`);
    message[name] = values;
  }
  for (const [k, name] of texts.entries()) message[name] = decoder.decode(tensors[arrays.length + k].values);
  if (plan.hasVersion) message["version"] = content.version;
  if (json.length === 0) return message as unknown as Spoken;
  const meta = (content.meta ?? {}) as Readonly<Record<string, unknown>>;
  for (const [name, form] of json) {
    const value = withNaN(meta[name]);
    if (typeof value !== form || value === null) return damaged(`${name} is no ${form}`);
    message[name] = value;
  }
  return message as unknown as Spoken;
}

/**
 * What subscribers choose by: `kind.`, and behind it the shard of what is split by instrument, or the model
 * that speaks. All of a kind is "features."; shard 1 alone is "features.1.".
 */
export function topicOf(message: Spoken, shard = 0): string {
  switch (message.kind) {
    case "market": case "quote": case "features": return `${message.kind}.${shard}.`;
    case "prediction": return `prediction.${message.model}.`;
    default: return `${message.kind}.`;
  }
}

const isJsonNumber = (value: number): boolean => Number.isFinite(value) && !Object.is(value, -0);
function withoutNaN(value: unknown): unknown {
  if (typeof value === "number") {
    return isJsonNumber(value) ? value : { "#": Object.is(value, -0) ? "-0" : String(value) };
  }
  if (typeof value !== "object" || value === null) return value;
  return Array.isArray(value) ? value.map(withoutNaN) : mapValues(value, withoutNaN);
}
function withNaN(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(withNaN);
  return "#" in value ? Number(value["#"]) : mapValues(value, withNaN);
}
const mapValues = (value: object, change: (inner: unknown) => unknown): Record<string, unknown> =>
  Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, change(inner)]));
