import { UserError } from "../src/base/error.ts";
import { command } from "./command.ts";

export default command({
  summary: "trade: models decide on live bars, limits hold, a broker fills; on paper unless said otherwise",
  flags: ["paper", "live", "replay", "from", "to", "pace", "duration", "symbols", "timeframe", "models",
    "mixture", "capital", "volatilityTarget", "portfolioTarget", "portfolio", "weightMax", "fractional",
    "orders", "feed", "wire", "faults", "seed", "device", "precision", "portBase", "headless",
    "emergency", "flatten", "day", "path", "json"],
  required: [],
  argument: { syntax: "[action]",
    help: "of a run that is there: status, stop, halt, reduce, resume, flatten, "
    + "swap-model; of its records: report, backup, restore; rotate-keys" },
  examples: [
    ["dmn live --paper", "your paper account; without keys a simulator and tiny models, made on the spot"],
    ["dmn live --replay synthetic --pace max", "a replay as fast as its orders settle"],
    ["dmn live --replay synthetic --pace 4 --duration 120", "two minutes, four bars a second"],
    ["dmn live status", "what runs here, from another terminal"],
    ["dmn live halt", "no new orders until: dmn live resume"],
    ["dmn live swap-model --models lstm-1=model:demo-lstm/seed-2", "another model, between two bars"],
    ["dmn live stop --emergency", "cancel everything at once, end, stay halted"],
    ["dmn live report --day 2026-11-20", "does the backtest say the same about a recorded day?"],
    ["dmn live backup --path live-backup", "journals and databases, also while it runs"],
  ],
  async run({ json, emergency, flatten, models = [], live, paper, duration, headless, fractional, day, path,
    ...said },
    context, action) {
    if (action !== undefined) {
      const { liveAction } = await import("../src/workflow/live/action.ts");
      const answer = await liveAction(action, { isEmergency: emergency === true,
        isFlattened: flatten === true, models,
        day: day ?? null, path: path ?? null }, context);
      return json ? answer.json : answer.text;
    }
    if (live && paper) {
      throw new UserError("--paper and --live exclude each other",
        "leave out one of them; paper is the default");
    }
    const { runLive, LIVE_DEFAULTS } = await import("../src/workflow/live/live.ts");
    const report = await runLive({ ...LIVE_DEFAULTS, ...said, models, isLive: live === true,
      isFractional: fractional === true, isHeadless: headless === true, durationSeconds: duration ?? null },
        context);
    return json ? report : (await import("../src/workflow/live/live-text.ts")).liveText(report);
  },
});
