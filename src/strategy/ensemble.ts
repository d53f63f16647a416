/**
 * Several strategies as one: the mean of their positions. Each is asked with the window and the columns it
 * reads.
 */
import { UserError } from "../base/error.ts";
import { featureIndex, type Batch } from "../dataset/batch.ts";
import type { Decision, Strategy } from "./strategy.ts";

export const ENSEMBLE_PREFIX = "ensemble:";

/** Names of the members of "ensemble:A,B,C". */
export function ensembleMembers(name: string): string[] {
  const members = name.slice(ENSEMBLE_PREFIX.length).split(",").map((one) => one.trim())
    .filter((one) => one !== "");
  if (members.length > 1 && new Set(members).size === members.length) return members;
  throw new UserError(`"${name}" is no ensemble of different strategies`,
    "name two or more, each once: ensemble:model:A,tsmom");
}

/** Equal weights. Members read one recipe; volatilities and confidences are averaged like positions. */
export function ensembleStrategy(members: readonly Strategy[]): Strategy {
  const [first] = members;
  const other = members.find(({ recipe }) => recipe !== first.recipe);
  if (other !== undefined) {
    throw new UserError(`${first.name} reads recipe ${first.recipe} and ${other.name} recipe ${other.recipe}`,
      "an ensemble reads one recipe: choose members that agree");
  }
  const from = Math.max(...members.map(({ decidesFrom }) => decidesFrom ?? -Infinity));
  return {
    name: `${ENSEMBLE_PREFIX}${members.map(({ name }) => name).join(",")}`,
    description: `mean position of ${members.length} strategies`,
    recipe: first.recipe, features: [...new Set(members.flatMap(({ features }) => features))],
    lookback: Math.max(...members.map(({ lookback }) => lookback)),
    ...(from > -Infinity ? { decidesFrom: from } : {}),
    async decide(batch) {
      const B = batch.time.length;
      const mean: Decision = { position: new Float32Array(B), volatility: new Float32Array(B),
        confidence: new Float32Array(B) };
      for (const member of members) {
        const said = await member.decide(partOf(batch, member));
        for (const key of ["position", "volatility", "confidence"] as const) {
          for (let b = 0; b < B; b++) mean[key][b] += said[key][b] / members.length;
        }
      }
      return mean;
    },
  };
}

/** The batch as one member would have been given it: its columns, its last rows. */
function partOf(batch: Batch, { features: names, lookback }: Strategy): Batch {
  if (batch.lookback === lookback && batch.names.length === names.length
    && names.every((name, f) => batch.names[f] === name)) return batch;
  const columns = names.map((name) => featureIndex(batch, name));
  const width = batch.names.length, features = new Float32Array(batch.time.length * lookback * names.length);
  let at = 0;
  for (let b = 0; b < batch.time.length; b++) {
    for (let t = batch.lookback - lookback; t < batch.lookback; t++) {
      const row = (b * batch.lookback + t) * width;
      for (const column of columns) features[at++] = batch.features[row + column];
    }
  }
  return { ...batch, names, features, lookback };
}
