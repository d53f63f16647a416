/** For commands that are printed: where this run reads from, if it is not where the next one would. */
import { dataRoot } from "../../base/data-root.ts";

export const rootWords = (root: string): string[] =>
  dataRoot(undefined) === root ? [] : ["--data-dir", root];
