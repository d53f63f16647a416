/**
 * The decoder-only Momentum Transformer of Wood, Giegerich, Roberts and Zohren (2021), "Trading
 * with the Momentum Transformer": the Temporal Fusion Transformer (TFT; Lim, Arik, Loeff and
 * Pfister 2021) without its encoder-decoder split, a position at every step. Equation numbers are
 * those of the TFT:
 *
 *   instrument ─ embedding ─ GRN ─ four GRNs ─> c_s, c_e, c_h, c_c        (B, D)      section 4.3
 *   features, c_s ─ variable selection ─> x                               (T, B, D)   6-8
 *   LSTM from (c_h, c_c) over x, gated skip ─> temporal                   (T, B, D)   17
 *   GRN(temporal, c_e) ─> enriched                                        (T, B, D)   18
 *   causal interpretable attention over enriched, gated skip              (T, B, D)   13-16, 19, 20
 *   GRN, gated skip from temporal ─> trunk ─> tanh                        (T, B, D)   21, 22
 *
 * Where the paper's published code differs: it also drops attention's heads and output before the
 * gate drops them once more, and normalises with epsilon 1e-3 (Keras' default; 1e-5 here). It
 * selects among static inputs, of which there is one, so that its weight is 1. An instrument the
 * network never saw has the embedding zero.
 */
import { heads } from "../src/nn/heads.ts";
import { interpretableAttention } from "../src/nn/attention.ts";
import { gatedResidual, gatedSkip, selectVariables, stackedContexts } from "../src/nn/gating.ts";
import { embed } from "../src/nn/layers.ts";
import { numberOf, type Architecture } from "../src/nn/model.ts";
import { lstmLayers } from "../src/nn/recurrent.ts";

export const transformer: Architecture = {
  name: "transformer",
  description: "Momentum Transformer: variable selection, LSTM, attention (Wood et al. 2021)",
  hyperparameters: {
    hidden: { kind: "integer", default: 40, min: 4, max: 1024, isLog: true,
      describe: "width of every layer" },
    attentionHeads: { kind: "integer", default: 4, min: 1, max: 16,
      describe: "attention heads; they divide hidden" },
    dropout: { kind: "number", default: 0.3, min: 0, max: 0.9,
      describe: "rate of dropout before each gate" },
  },
  lookback: 252,
  hasState: false,
  build(scope, { features, instrument }, { instruments }, settings) {
    const D = numberOf(settings, "hidden"), attentionHeads = numberOf(settings, "attentionHeads");
    const embedding = embed(scope, "embedding", instrument, [instruments, D]);
    const statics = gatedResidual(scope, "static", embedding);
    const [forSelection, forEnrichment, hidden, cell] =
      stackedContexts(scope, "contexts", statics, 4);
    const { selected, weights: selection } =
      selectVariables(scope, "selection", { features, context: forSelection, width: D });
    const initial = { hidden, cell };
    const recurrent = lstmLayers(scope, selected, { hidden: D, layers: 1, initial });
    const temporal = gatedSkip(scope, "temporal", recurrent, selected);
    const enriched = gatedResidual(scope, "enrichment", temporal, forEnrichment);
    const attended = interpretableAttention(scope, "attention", enriched, attentionHeads);
    const attentive = gatedSkip(scope, "attentive", attended.output, enriched);
    const trunk = gatedSkip(scope, "trunk", gatedResidual(scope, "decoder", attentive), temporal,
      { hasDropout: false });
    return heads(scope, trunk, settings,
      { isTimeMajor: true, views: { selection, attention: attended.weights } });
  },
};
