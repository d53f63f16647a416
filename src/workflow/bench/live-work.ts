/** What the actors of the graph do between two hops, in one process and without any: how many a second. */
import { calendar } from "../../market/calendar.ts";
import { bind } from "../../features/panel.ts";
import { readRecipe } from "../../features/recipe.ts";
import { featuresActor } from "../../live/actors/features.ts";
import { openOnnx } from "../../runtime/ort/model.ts";
import { random } from "../../base/random.ts";
import type { Session } from "../../live/session.ts";
import type { FeaturesFact, Spoken } from "../../live/message.ts";
import { exported, type BenchModel } from "./inference-models.ts";
import { marketSteps } from "./live-market.ts";
import { riskCalculations } from "./live-risk.ts";
import { SUITE, throughputNote } from "./live-rows.ts";
import { benchRow, timeRounds, type BenchRow } from "./row.ts";

const INSTRUMENTS = 30;
/** The tiny model that `dmn live` trains when there is none. */
const SMALL: BenchModel =
  { name: "lstm-12x1", architecture: "lstm", said: { hidden: 12, layers: 1 }, steps: 63, features: 9,
  batches: [], maximumUs: {}, atLeast: {} };

export interface WorkSizes { readonly rounds: number; readonly steps: number; readonly calculations: number }

export async function workRows(root: string, sizes: WorkSizes): Promise<BenchRow[]> {
  return [...await featureRows(root, sizes), ...await predictionRows(sizes), ...await riskRows(sizes)];
}

/** Bars to rows through the live actor: a row is one instrument's features, an update one number of it. */
async function featureRows(root: string, { rounds, steps }: WorkSizes): Promise<BenchRow[]> {
  const rows: BenchRow[] = [];
  for (const recipe of ["dmn", "technical"]) {
    const panel = bind(await readRecipe(root, recipe), { calendar: calendar("us-equity"), timeframe: "1m" });
    const symbols = Array.from({ length: INSTRUMENTS }, (_, i) => `S${i}`),
      market = marketSteps(INSTRUMENTS, panel.warmup + 64 + steps);
    const values: number[] = [];
    for (let round = -1; round < rounds; round++) {
      const actor = featuresActor({ session: { symbols } as unknown as Session, panel });
      const take = (message: Spoken): FeaturesFact[] =>
        (actor.handle(message, message.at) as readonly Spoken[]).filter((one) => one.kind === "features");
      for (const message of market.slice(0, panel.warmup + 64)) take(message);
      const start = performance.now();
      let made = 0;
      for (const message of market.slice(panel.warmup + 64)) made += take(message)[0].rows.length;
      if (round >= 0) values.push(made / (performance.now() - start) * 1e3);
    }
    rows.push(benchRow({ suite: SUITE, name: `feature updates, recipe ${recipe}`, unit: "updates/s",
      better: "higher", values,
      note: throughputNote(1e6, `an update is one feature of one instrument; ${panel.names.length} a bar, `
        + `${INSTRUMENTS} bars a message`) },
    { target: 100_000 }));
  }
  return rows;
}

/** A prediction is the answer about one instrument's window. */
async function predictionRows({ rounds, calculations }: WorkSizes): Promise<BenchRow[]> {
  const model = await openOnnx(exported(SMALL)), draw = random(3, "live bench"), rows: BenchRow[] = [];
  const { steps: T, features: F } = SMALL;
  for (const B of [INSTRUMENTS, 512]) {
    const features = { shape: [B, T, F],
      values: Float32Array.from({ length: B * T * F }, () => draw.normal()) };
    const feeds = Object.fromEntries(model.inputs.map(({ name }) => [name,
      name === "features" ? features : { shape: [B], values: new Float32Array(B) }]));
    const runs = Math.max(1, Math.round(calculations / 50 / B));
    const seconds = await timeRounds(rounds, 1,
      async () => { for (let k = 0; k < runs; k++) await model.run(feeds); });
    rows.push(benchRow({ suite: SUITE, name: `predictions, ${B} windows a question`, unit: "predictions/s",
      better: "higher",
      values: seconds.map((one) => runs * B / one), note: throughputNote(5e5,
        `${SMALL.name}, windows of ${T} x ${F}, ONNX Runtime, one core`) }, { target: 50_000 }));
  }
  await model.close();
  return rows;
}

async function riskRows({ rounds, calculations }: WorkSizes): Promise<BenchRow[]> {
  const rows: BenchRow[] = [];
  for (const load of ["orders", "books"] as const) {
    const calculate = riskCalculations(load),
      count = load === "orders" ? calculations : Math.ceil(calculations / 4);
    calculate(count);
    const seconds = await timeRounds(rounds, 1, () => calculate(count));
    rows.push(benchRow({ suite: SUITE, name: `risk calculations, ${load}`, unit: "calculations/s",
      better: "higher",
      values: seconds.map((one) => count / one), note: load === "orders"
        ? "all limits with both values at risk over 250 returns of 30 instruments, then the order's own "
          + "gate; each changes one weight"
        : "the same, of weights that have nothing to do with the last ones: everything from scratch" },
    load === "orders" ? { target: 25_000, maximum: 250_000 } : { target: 25_000 }));
  }
  return rows;
}
