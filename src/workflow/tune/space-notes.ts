/**
 * The founding document's search space (section 3 of the system design, `create_search_space`), key by key:
 * what became of it. `dmn tune space` prints it.
 */
import { formatTable } from "../../base/table.ts";

export interface SpaceNote {
  readonly key: string;
  readonly values: string;
  /** Searched; an option of the study or of the machine, the same for all trials; or not taken over. */
  readonly became: "searched" | "option" | "rejected";
  readonly how: string;
}

const note = (key: string, values: string, became: SpaceNote["became"], how: string): SpaceNote =>
  ({ key, values, became, how });

export const SPACE_NOTES: readonly SpaceNote[] = [
  note("hidden_size", "256 512 768 1024", "searched",
    "hidden (width), to 1024; 5..160 unless said"),
  note("num_layers", "2 4 6 8", "searched", "layers, to 8 (LSTM) and 12 (encoder); 1..3 by default"),
  note("dropout", "0.1..0.4", "searched", "dropout; 0..0.5 by default"),
  note("attention_heads", "4 8 12 16", "searched",
    "attentionHeads, a choice per width: only heads that divide it"),
  note("use_mixed_precision", "yes no", "option", "training is float32; a float16 file is exported too"),
  note("enable_cuda_graphs", "yes no", "option", "always on where there is a GPU: it changes no answer"),
  note("memory_format", "channels_last contiguous", "rejected",
    "a layout for convolutions; there are none here"),
  note("tensor_parallel_size", "1 2 4", "rejected",
    "the networks fit one device; workers share trials instead"),
  note("learning_rate", "1e-5..1e-2 log", "searched", "learningRate; 1e-4..1e-1 unless said"),
  note("batch_size", "16 32 64 128 256", "searched", "batch; 32 64 128 256 by default"),
  note("gradient_accumulation_steps", "1 2 4 8", "searched", "--space accumulate=1,2,4,8"),
  note("weight_decay", "1e-6..1e-3 log", "searched", "decay; 1e-6..1e-2 by default"),
  note("gradient_clip_norm", "0.5..2", "searched", "clip; 0.01..100 unless said"),
  note("sharpe_weight", "0.5..2", "rejected",
    "Adam ignores a loss's scale: 1, others relative to it"),
  note("turnover_weight", "0.01..0.1", "searched", "--space turnoverWeight=0.01..0.1"),
  note("risk_weight", "0.1..0.5", "searched", "--space riskWeight=0.1..0.5 (conditional value at risk)"),
  note("volatility_weight", "0.1..0.3", "searched", "--space volatilityWeight=0.1..0.3"),
  note("lookback_window", "20 40 60 100 120", "searched", "--space lookback=20,40,60,100,120"),
  note("feature_selection_threshold", "0.01..0.1", "rejected",
    "it would choose on the rows that judge; search inputs"),
  note("technical_indicators", "4 lists", "searched",
    "--space inputs=norm,norm+macd: names that begin so"),
  note("position_limit", "0.01..0.05", "option", "risk.positionMax of backtest and live: a rule"),
  note("var_threshold", "0.02..0.08", "option", "--limit var95=0.02: trials beyond are infeasible"),
  note("max_drawdown_threshold", "0.05..0.15", "option", "--limit maxDrawdown=0.15, the same"),
  note("unified_memory_fraction", "0.7..0.9", "rejected", "memory is planned exactly, not reserved by share"),
  note("memory_pool_size_gb", "100 150 200 240", "rejected", "the same; it changes no answer"),
];

export const spaceNotesText = (): string => formatTable(
  [{ title: "document" }, { title: "became" }, { title: "how" }],
  SPACE_NOTES.map(({ key, became, how }) => [key, became, how]));

/** For the docs. */
export const spaceNotesMarkdown = (): string => ["| key | values | became | how |", "|---|---|---|---|",
  ...SPACE_NOTES.map(({ key, values, became, how }) => `| \`${key}\` | ${values} | ${became} | ${how} |`)]
  .join("\n");
