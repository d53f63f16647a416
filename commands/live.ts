import { UserError } from "../src/base/error.ts";
import { suggestion } from "../src/base/suggest.ts";
import { command } from "./command.ts";

const WORDS = ["status", "stop", "halt", "reduce", "resume", "flatten", "swap-model"] as const;

export default command({
  summary: "trade: models decide on live bars, limits hold, a broker fills; on paper unless said otherwise",
  flags: ["paper", "live", "replay", "from", "to", "pace", "duration", "symbols", "timeframe", "models", "mixture",
    "capital", "volatilityTarget", "portfolioTarget", "weightMax", "fractional", "feed", "wire", "faults", "seed",
    "portBase", "headless", "emergency", "flatten", "json"],
  required: [],
  argument: { syntax: "[action]", help: `of a run that is there: ${WORDS.join(", ")}` },
  examples: [
    ["dmn live --paper", "your paper account; without keys a simulator and tiny models, made on the spot"],
    ["dmn live --replay synthetic --pace max", "a replay as fast as its orders settle"],
    ["dmn live --replay synthetic --pace 4 --duration 120", "two minutes, four bars a second"],
    ["dmn live status", "what runs here, from another terminal"],
    ["dmn live halt", "no new orders until: dmn live resume"],
    ["dmn live swap-model --models lstm-1=model:demo-lstm/seed-2", "another model, between two bars"],
    ["dmn live stop --emergency", "cancel everything at once, end, stay halted"],
  ],
  async run({ json, ...flags }, context, argument) {
    const isThere = (WORDS as readonly string[]).includes(argument ?? "status");
    if (!isThere) throw new UserError(`dmn live has no action "${argument}"`, suggestion(argument!, WORDS));
    const { emergency, flatten, models = [], live, paper, duration, headless, fractional, ...said } = flags;
    if (live && paper) {
      throw new UserError("--paper and --live exclude each other", "leave out one of them; paper is the default");
    }
    const { liveText } = await import("../src/workflow/live/live-text.ts");
    if (argument !== undefined) {
      const { steer } = await import("../src/workflow/live/steer.ts");
      const { text, status } = await steer(argument,
        { isEmergency: emergency === true, isFlattened: flatten === true, models }, context);
      return json ? { text, status } : status === null ? text : liveText(status);
    }
    const { runLive, LIVE_DEFAULTS } = await import("../src/workflow/live/live.ts");
    const report = await runLive({ ...LIVE_DEFAULTS, ...said, models, isLive: live === true,
      isFractional: fractional === true, isHeadless: headless === true, durationSeconds: duration ?? null }, context);
    return json ? report : liveText(report);
  },
});
