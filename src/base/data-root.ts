/** Where artifacts live: `--data-dir`, else DMN_HOME, else the current folder. */
import * as path from "node:path";

type Environment = Readonly<Record<string, string | undefined>>;

export function dataRoot(flag: string | undefined, environment: Environment = process.env): string {
  return path.resolve(flag ?? (environment["DMN_HOME"] || "."));
}

/** The layout of the data root, in one place. */
export const places = {
  dataset: (root: string, name: string): string => path.join(root, "datasets", name),
  model: (root: string, name: string): string => path.join(root, "models", name),
  storage: (root: string): string => path.join(root, "storage"),
  /** What `dmn live` keeps: session.json, its lock, journals and databases. */
  live: (root: string): string => path.join(root, "storage", "live"),
  /** What a study of `dmn tune` keeps: its journal, and a folder per trial. */
  study: (root: string, name: string): string => path.join(root, "storage", "tune", name),
  logs: (root: string, kind: "trading" | "system" | "performance"): string => path.join(root, "logs", kind),
  reports: (root: string): string => path.join(root, "reports"),
} as const;

/** May it be a folder's name? Letters, digits, dot, dash and underscore, the first no dot. */
export const isName = (text: string): boolean => /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(text);
