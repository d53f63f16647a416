/** What people ask of a running graph from another terminal: one question through the control door each. */
import type { Context } from "../../base/context.ts";
import { UserError } from "../../base/error.ts";
import { askGraph } from "../../live/control.ts";
import type { ControlCommand } from "../../live/message.ts";
import type { LiveReport } from "./live.ts";
import { findStrategy } from "../../strategy/find.ts";
import { modelsFrom } from "./choose-models.ts";
import { securityOf } from "./security.ts";
import { readSession } from "./session-file.ts";

export interface SteerOptions {
  readonly isEmergency: boolean;
  readonly isFlattened: boolean;
  /** swap-model: "worker=strategy". */
  readonly models: readonly string[];
}
type Asked = Pick<ControlCommand, "action" | "subject" | "value"> & {
  /** What is said when it is done, unless the answer says more. */
  readonly done: string;
};
const asked = (action: ControlCommand["action"], done: string, subject = "asked to", value = ""): Asked =>
  ({ action, subject, value, done });

/** Every word that needs a running graph. */
export const STEERING: Readonly<Record<string, (options: SteerOptions) => Asked>> = {
  status: () => asked("status", "", ""),
  stop: ({ isEmergency, isFlattened }) =>
    asked(isEmergency ? "emergency-stop" : "stop", "stopping", "", isFlattened ? "flatten" : ""),
  halt: () => asked("halt", "halted: no new orders, also after a restart; go on with: dmn live resume"),
  reduce: () => asked("reduce", "positions may only shrink; go on with: dmn live resume"),
  resume: () => asked("resume", "trading again; stop it with: dmn live halt"),
  flatten: () => asked("flatten", "all positions are being closed; watch it: dmn live status"),
  "swap-model": ({ models }) => {
    const [model] = modelsFrom(models);
    if (models.length === 1 && models[0].includes("=")) {
      const { worker, strategy } = model;
      return asked("swap-model", `${worker} answers with ${strategy} from the next bar on`, worker, strategy);
    }
    throw new UserError("which worker gets which model?",
      "for example: dmn live swap-model --models lstm-1=model:demo-lstm/seed-2");
  },
};

export interface Steered { readonly text: string; readonly status: LiveReport | null }

/** UserError when nothing runs here, it does not answer, or it could not do what was asked. */
export async function steer(word: string, options: SteerOptions, context: Context): Promise<Steered> {
  const { root } = context, { done, ...wanted } = STEERING[word](options);
  if (wanted.action === "swap-model") await checkModel(root, wanted.value);
  const answer = await askGraph(root, { ...wanted, by: "user" }, securityFor(root));
  if (answer.isDone) return { text: answer.text || done, status: (answer.status as LiveReport | undefined)
    ?? null };
  throw new UserError(`${word}: ${answer.text}`, "look at it: dmn live status");
}

function securityFor(root: string): ReturnType<typeof securityOf> {
  try { return securityOf(root, readSession(root)); } catch { return null; }
}

/** A model that cannot take over is refused before anybody is asked. */
async function checkModel(root: string, name: string): Promise<void> {
  const { recipe, recipeHash } = await findStrategy(root, name), session = readSession(root);
  if (recipe === session.recipe && (recipeHash ?? session.recipeHash) === session.recipeHash) return;
  throw new UserError(`${name} was trained on other features than this session makes (recipe ${recipe} `
    + `${recipeHash?.slice(0, 8) ?? ""}, here ${session.recipe} ${session.recipeHash.slice(0, 8)})`,
  "train it on this recipe, or start a session of its own");
}
