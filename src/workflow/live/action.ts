/** Words of `dmn live` besides starting: what each does, and what it answers. */
import * as path from "node:path";
import type { Context } from "../../base/context.ts";
import { UserError } from "../../base/error.ts";
import { suggestion } from "../../base/suggest.ts";
import { backupLive, restoreLive } from "../../live/recorder/backup.ts";
import { liveText } from "./live-text.ts";
import { liveReport, reportText } from "./report.ts";
import { rotateKeys } from "./rotate-keys.ts";
import { STEERING, steer, type SteerOptions } from "./steer.ts";

export interface ActionOptions extends SteerOptions {
  /** report: the day, YYYY-MM-DD. */
  readonly day: string | null;
  /** backup, restore: the folder. */
  readonly path: string | null;
}
interface Answer { readonly text: string; readonly json: object }
type Action = (options: ActionOptions, context: Context) => Promise<Answer>;

const steered = (word: string): Action => async (options, context) => {
  const { text, status } = await steer(word, options, context);
  return { text: status === null ? text : liveText(status), json: status ?? { text } };
};

const ACTIONS: Readonly<Record<string, Action>> = {
  ...Object.fromEntries(Object.keys(STEERING).map((word) => [word, steered(word)])),
  async report({ day }, context) {
    if (day === null) throw new UserError("which day?", "for example: dmn live report --day 2026-11-20");
    const report = await liveReport({ day }, context);
    return { get text() { return reportText(report); }, json: report };
  },
  async backup(options, { root, clock }) {
    const to = folderOf("backup", options), manifest = await backupLive(root, to, clock.now());
    return { text: `${manifest.files.length} files copied to ${to}`, json: manifest };
  },
  restore(options, { root }) {
    const restored = restoreLive(root, folderOf("restore", options)), { files, movedTo } = restored;
    return Promise.resolve({ json: restored,
      text: `${files} files restored${movedTo === null ? "" : `; what was there is in ${movedTo}`}` });
  },
  async "rotate-keys"(_, context) {
    const text = await rotateKeys(context);
    return { text, json: { text } };
  },
};

function folderOf(word: string, { path: said }: ActionOptions): string {
  if (said === null) throw new UserError("which folder?", `for example: dmn live ${word} --path live-backup`);
  return path.resolve(said);
}

/** Does what a word says. UserError for a word that is none. */
export async function liveAction(word: string, options: ActionOptions, context: Context): Promise<Answer> {
  if (Object.hasOwn(ACTIONS, word)) return ACTIONS[word](options, context);
  throw new UserError(`dmn live has no action "${word}"`, suggestion(word, Object.keys(ACTIONS)));
}
