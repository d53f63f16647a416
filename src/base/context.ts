/** What a verb is given of the outside world. Everything else it needs is in its options. */
import type { Clock } from "./clock.ts";
import type { Config } from "./config.ts";
import type { Log } from "./log.ts";
import type { Progress } from "./progress.ts";

export interface Context {
  /** The data root: datasets/, models/, storage/ and logs/ are below it (absolute path). */
  readonly root: string;
  readonly config: Config;
  readonly log: Log;
  readonly progress: Progress;
  readonly clock: Clock;
  /** Aborts on Ctrl-C or SIGTERM; long work stops at the next safe point and throws Interrupted. */
  readonly signal: AbortSignal;
}
