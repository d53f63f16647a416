/** `dmn bench`: suites of figures, each beside its limit and, where asked for, its peer in the same run. */
import chalk from "chalk";
import type { Context } from "../base/context.ts";
import { UserError } from "../base/error.ts";
import { suggestion } from "../base/suggest.ts";
import { formatTable } from "../base/table.ts";
import type { BenchRow } from "./bench/row.ts";

export interface BenchOptions {
  readonly suite: string | null;
  /** Run the peers too. */
  readonly hasPeers: boolean;
  /** Small sizes, for a first look and for tests. */
  readonly isQuick: boolean;
  /** Of the inference suite: where networks run (null: wherever they can), and which (null: all). */
  readonly device: "cpu" | "cuda" | null;
  readonly models: readonly string[] | null;
}

export interface BenchReport {
  readonly rows: readonly BenchRow[];
  /** Why a peer did not run. */
  readonly notes: readonly string[];
}

/** What a suite is handed: where to work, how large, and how to say that a peer is missing. */
export interface Bench extends Omit<BenchOptions, "suite"> {
  readonly context: Context;
  note(sentence: string): void;
}

interface Suite { readonly run: (bench: Bench) => Promise<BenchRow[]> }

export const SUITES: Readonly<Record<string, () => Promise<Suite>>> = {
  store: () => import("./bench/store.ts"),
  features: () => import("./bench/features.ts"),
  backtest: () => import("./bench/backtest.ts"),
  training: () => import("./bench/training.ts"),
  inference: () => import("./bench/inference.ts"),
  live: () => import("./bench/live.ts"),
  tune: () => import("./bench/tune.ts"),
};

export async function bench(options: BenchOptions, context: Context): Promise<BenchReport> {
  const { suite, ...asked } = options;
  if (suite !== null && !(suite in SUITES)) {
    throw new UserError(`there is no bench suite "${suite}"`, suggestion(suite, Object.keys(SUITES)));
  }
  if (suite !== "inference" && (asked.device !== null || asked.models !== null)) {
    throw new UserError("--device and --models belong to the inference suite",
      "as in: dmn bench inference --device cuda --models lstm-512x2");
  }
  const rows: BenchRow[] = [];
  const notes = new Set<string>();
  for (const name of suite === null ? Object.keys(SUITES) : [suite]) {
    const { run } = await SUITES[name]();
    rows.push(...await run({ ...asked, context, note: (sentence) => { notes.add(sentence); } }));
    context.signal.throwIfAborted();
  }
  return { rows, notes: [...notes] };
}

const COMPACT = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 4, notation: "compact" });
const formatFigure = (value: number | null): string => value === null ? "-" : COMPACT.format(value);

export function benchText({ rows, notes }: BenchReport): string {
  const hasSuites = new Set(rows.map(({ suite }) => suite)).size > 1;
  const hasTails = rows.some(({ p999 }) => p999 !== undefined);
  const table = formatTable([
    ...(hasSuites ? [{ title: "suite" }] : []), { title: "what" }, { title: "value", align: "right" },
    { title: "worst", align: "right" }, ...(hasTails ? [{ title: "p99.9", align: "right" } as const] : []),
    { title: "unit" }, { title: "limit", align: "right" },
    { title: "" }, { title: "peer" }, { title: "value", align: "right" },
    { title: "ratio", align: "right" },
  ], rows.map((row) => [
    ...(hasSuites ? [row.suite] : []), row.name, formatFigure(row.value), formatFigure(row.p99),
    ...(hasTails ? [formatFigure(row.p999 ?? null)] : []), row.unit,
    formatFigure(row.maximum ?? row.target), row.pass === null ? "" : row.pass ? "ok" : "MISSED",
    row.peer ?? "-", formatFigure(row.peerValue), row.ratio === null ? "-" : `${row.ratio.toFixed(2)}x`,
  ]));
  const machine = rows.length > 0 ? `\n\n${rows[0].machine}` : "";
  const coloured = table.replaceAll("MISSED", chalk.red("MISSED"));
  return `${coloured}${machine}${notes.map((note) => `\nnote: ${note}`).join("")}`;
}
