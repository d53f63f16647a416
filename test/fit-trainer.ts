/**
 * A process that trains a small network with checkpoints and prints what came of it, for test/checkpoint.test.ts:
 *   node --import stop-at.ts fit-trainer.ts FOLDER
 */
import { architectureNamed } from "../models/index.ts";
import { FakeClock } from "../src/base/clock.ts";
import { hashOf } from "../src/base/file.ts";
import { reference } from "../src/runtime/reference.ts";
import { openCheckpoints } from "../src/train/checkpoint.ts";
import { fit } from "../src/train/fit.ts";
import { toyMarket } from "./toy-market.ts";

const { parameters, history, bestEpoch } = await fit({
  architecture: architectureNamed("lstm"), settings: { hidden: 5, dropout: 0.3, batch: 16, learningRate: 0.02, epochs: 8 },
  training: toyMarket(), validation: toyMarket({ seed: 2 }), seed: 5, runtime: reference,
  store: openCheckpoints(process.argv[2]), clock: new FakeClock(0),
});
process.stdout.write(JSON.stringify({ bestEpoch, epochs: history.length,
  hash: hashOf(JSON.stringify([...parameters, history])) }));
