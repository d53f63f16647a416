/**
 * The door through which people steer a running graph: questions with a token on a socket of the supervisor.
 *
 *   dmn live halt ─ access-keys.json (0600: pid, address, token) ─ control + token ──> supervisor ──> answer
 *
 * The token is made anew at each start, compared in constant time, and is in no log.
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";
import { z } from "zod";
import { places } from "../base/data-root.ts";
import { UserError } from "../base/error.ts";
import { replaceFile } from "../base/file.ts";
import type { Content, Packet } from "../wire/codec.ts";
import type { Security } from "../wire/security.ts";
import { openRequester, openResponder } from "../wire/socket.ts";
import { CONTROL_ACTIONS, SPOKEN_CODES, type ControlCommand } from "./message.ts";
import type { Answer } from "./parent.ts";

const accessSchema = z.strictObject({
  pid: z.int(), address: z.string(), token: z.string().min(32), dashboard: z.string(),
});
/** How to reach a running graph. */
export type Access = z.infer<typeof accessSchema>;
export const accessPlace = (root: string): string => path.join(places.live(root), "access-keys.json");
export const newToken = (): string => randomBytes(24).toString("base64url");

export async function writeAccess(root: string, access: Access): Promise<void> {
  await replaceFile(accessPlace(root), (temporary) => {
    fs.writeFileSync(temporary, JSON.stringify(access), { mode: 0o600 });
  });
}
export function removeAccess(root: string): void { fs.rmSync(accessPlace(root), { force: true }); }

/** Null when nothing is running below this root. */
export function readAccess(root: string): Access | null {
  let text: string;
  try { text = fs.readFileSync(accessPlace(root), "utf8"); } catch { return null; }
  let access: Access;
  try { access = accessSchema.parse(JSON.parse(text)); } catch (error) {
    throw new UserError(`${accessPlace(root)} is damaged`,
      "remove it; if dmn live still runs, end it with Ctrl-C there",
      { cause: error });
  }
  try { process.kill(access.pid, 0); } catch { return null; }
  return access;
}

const askedSchema = z.object({
  token: z.string(), action: z.enum(CONTROL_ACTIONS), by: z.string(), subject: z.string(), value: z.string(),
});
export interface ControlAnswer extends Answer {
  /** Of `status`: what there is to tell. */
  readonly status?: unknown;
}

const contentOf = (meta: unknown, at: number): Content =>
  ({ code: SPOKEN_CODES.control, at, version: "", tensors: [], meta });

/** Answers until it is closed. A wrong token is told so and changes nothing. */
export async function openControl(options: {
  readonly address: string; readonly token: string; readonly security: Security | null;
  readonly now: () => number;
  readonly obey: (command: ControlCommand) => Promise<ControlAnswer>;
}): Promise<{ close(): void }> {
  const { address, token, security, now, obey } = options, secret = Buffer.from(token);
  const answer = async ({ meta }: Packet): Promise<ControlAnswer> => {
    const asked = askedSchema.safeParse(meta);
    if (!asked.success) return { isDone: false, text: "this is no command" };
    const given = Buffer.from(asked.data.token);
    if (given.length !== secret.length || !timingSafeEqual(given, secret)) {
      return { isDone: false, text: "the token is another run's" };
    }
    const { action, by, subject, value } = asked.data;
    return obey({ kind: "control", at: now(), action, by, subject, value });
  };
  return openResponder({ sender: "supervisor", address, security,
    answer: async (packet) => contentOf(await answer(packet), now()) });
}

/** Asks the graph that runs below `root`. UserError when none does, or when it does not answer in time. */
export async function askGraph(root: string, command: Omit<ControlCommand, "kind" | "at">,
  security: Security | null,
  deadlineMs = 5_000): Promise<ControlAnswer> {
  const access = readAccess(root);
  if (access === null) {
    throw new UserError(`nothing is running here (${root})`,
      "start it: dmn live --paper, or say where it runs: --data-dir FOLDER");
  }
  const requester = await openRequester({ sender: `dmn-${process.pid}`, address: access.address, security });
  try {
    const answer = await requester.ask(contentOf({ ...command, token: access.token }, NaN), { deadlineMs });
    if (answer.outcome === "answered") return answer.packet.meta as ControlAnswer;
    throw new UserError(`dmn live (process ${access.pid}) did not answer within ${deadlineMs / 1_000} s`,
      `if it hangs: kill ${access.pid}; its processes stop trading and end by themselves`);
  } finally { requester.close(0); }
}
