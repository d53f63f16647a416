/** storage/live/session.json: what one run is, written by the supervisor, read by every process. */
import * as fs from "node:fs";
import * as path from "node:path";
import { places } from "../../base/data-root.ts";
import { messageOf, UserError } from "../../base/error.ts";
import { replaceWith } from "../../base/file.ts";
import { sessionSchema, type Session } from "../../live/session.ts";

const placeOf = (root: string): string => path.join(places.live(root), "session.json");

export async function writeSession(root: string, session: Session): Promise<void> {
  await replaceWith(placeOf(root), `${JSON.stringify(session, null, 2)}\n`);
}

/** The session that is running, or ran last, below a root. UserError when there is none. */
export function readSession(root: string): Session {
  const place = placeOf(root);
  try { return sessionSchema.parse(JSON.parse(fs.readFileSync(place, "utf8"))); } catch (error) {
    throw new UserError(`${place} holds no session: ${messageOf(error).split("\n")[0]}`,
      "start one: dmn live --paper", { cause: error });
  }
}
