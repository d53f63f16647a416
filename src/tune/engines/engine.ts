/**
 * An engine places workers, and does nothing else: trials, leases, retries and results are the
 * coordinator's. What an engine loses is lost infrastructure, never a failed trial.
 */
export interface WorkerAsk {
  /** Unique in the study, also over retries: "study-0007-a2". */
  readonly id: string;
  /** Words, not a shell line; no secret is among them. */
  readonly command: readonly string[];
  /** Secrets travel here. */
  readonly environment: Readonly<Record<string, string>>;
  readonly cpus: number;
  /** May be a fraction. */
  readonly gpus: number;
  readonly memoryBytes: number | null;
}
export interface PlacedWorker {
  readonly id: string;
  /** Unplaced: it never began, there was no room for it. Lost room, no failure: ask again with a new id. */
  readonly state: "pending" | "running" | "ended" | "failed" | "unplaced";
  /** Machine, where the engine says it. */
  readonly node: string | null;
  /** Why it is pending or has failed, in the engine's words; "" when there is nothing to say. */
  readonly reason: string;
}
export interface Engine extends AsyncDisposable {
  readonly name: "local" | "ray" | "slurm";
  /** Workers it could begin now; null: it does not say. */
  capacity(): Promise<number | null>;
  /** Asking twice with one id places one worker. UserError for what asking again will not mend. */
  submit(ask: WorkerAsk): Promise<void>;
  /** This study's workers, also those of a coordinator that was killed. */
  list(): Promise<readonly PlacedWorker[]>;
  /** SIGTERM first; true when there was something to stop. */
  stop(id: string): Promise<boolean>;
  /** The end of what it printed. */
  logs(id: string): Promise<string>;
}
