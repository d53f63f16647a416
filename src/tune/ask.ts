/** What people want of a study that runs in another process: its status, a trial cancelled, its end. */
import { UserError } from "../base/error.ts";
import type { Clock } from "../base/clock.ts";
import { openRequester } from "../wire/socket.ts";
import { workerSecurity, type WorkerKeys } from "./keys.ts";
import { addressOf, contentOf, PORTS, type Reply, type StudyStatus } from "./protocol.ts";

export interface AskOptions {
  /** tcp://HOST:5559 of the coordinator. */
  readonly address: string;
  readonly study: string;
  readonly keys?: WorkerKeys | null;
  readonly clock: Clock;
  readonly deadlineMs?: number;
}
type Wish = { readonly ask: "status" } | { readonly ask: "stop" }
  | { readonly ask: "cancel"; readonly trial: number; readonly reason: string };

const DEADLINE_MS = 2_000;

/** Null: no coordinator of this study answers there. Throws UserError for a refusal. */
export async function askCoordinator(wish: Wish, options: AskOptions): Promise<Reply | null> {
  const { address, study, keys = null, clock, deadlineMs = DEADLINE_MS } = options;
  const requester = await openRequester({ address: addressOf(address, PORTS.status), sender: "dmn-tune",
    security: keys === null ? null : workerSecurity(keys) });
  try {
    const question = { study, secret: keys?.secret ?? "", worker: "", ...wish };
    const answer = await requester.ask(contentOf(question, clock.now()), { deadlineMs });
    if (answer.outcome !== "answered") return null;
    const reply = answer.packet.meta as Reply;
    if (reply.reply === "refused") throw new UserError(reply.problem, reply.hint);
    return reply;
  } finally { requester.close(0); }
}

export async function askStatus(options: AskOptions): Promise<StudyStatus | null> {
  const reply = await askCoordinator({ ask: "status" }, options);
  return reply?.reply === "status" ? reply.status : null;
}
