/** A wire answers a vendor's questions: plain text in and out, no sockets. */
import type { Random } from "../base/random.ts";
import type { FaultName } from "./faults.ts";

export interface Reply {
  readonly status: number;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One question to a wire. */
export interface Question {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** The page fault of this request; transport faults never come this far. */
  readonly fault: FaultName | null;
  readonly draw: Random;
}
