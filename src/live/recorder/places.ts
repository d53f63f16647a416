/** Where the recorder keeps things, below the data root: the founding layout. */
import * as path from "node:path";
import { places } from "../../base/data-root.ts";
import type { DatabaseName } from "./schema.ts";

export const livePlaces = {
  database: (root: string, name: DatabaseName): string => path.join(places.storage(root), `${name}.db`),
  live: places.live,
  journal: (root: string): string => path.join(places.live(root), "journal"),
  journalDay: (root: string, day: string): string => path.join(places.live(root), "journal", day),
  lock: (root: string): string => path.join(places.live(root), "recorder.lock"),
  log: (root: string, kind: "trading" | "performance" | "system", day: string): string =>
    path.join(root, "logs", kind, `${day}.log`),
  logs: (root: string): string => path.join(root, "logs"),
} as const;
