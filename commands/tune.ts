import { UserError } from "../src/base/error.ts";
import { command } from "./command.ts";

export default command({
  summary: "search hyperparameters by several objectives at once; one coordinator, workers anywhere",
  flags: ["name", "dataset", "model", "objectives", "objective", "space", "set", "sampler", "pruner", "pbt",
    "trials", "seed", "on", "workers", "cluster", "shared", "host",
    "resume", "deterministic", "limit", "parts", "recipe", "features",
    "windows", "windowYears", "from", "to", "embargo", "mode",
    "prefer", "boxes", "trial", "as", "path", "json"],
  required: [],
  argument: { syntax: "[action]",
    help: "of a study that is there: status, stop, best, export, report, replay, repair, optuna; or: space" },
  examples: [
    ["dmn tune --dataset demo --name first --trials 40", "an LSTM by sharpe and maxDrawdown, two workers"],
    ["dmn tune --dataset demo --name five --objectives sharpe,calmar,var95,accuracy,latency --pbt",
      "five objectives; a population whose worst go on from the best"],
    ["dmn tune --dataset demo --name quick --pruner asha",
      "what is behind in all directions is stopped early"],
    ["dmn tune --dataset demo --name own --set epochs=30 --space hidden=20,40 --space dropout=0..0.5",
      "a space of your own"],
    ["dmn tune --name first --resume --trials 80", "go on, and further"],
    ["dmn tune status --name first", "how far it is, from another terminal"],
    ["dmn tune best --name five --prefer sharpe=2,latency=1", "which trial to take"],
    ["dmn tune best --name five --boxes 5", "a long front, but for trials that are nearly alike"],
    ["dmn tune export --name first --trial 17 --as lstm-17", "train it on all windows, as train-export does"],
    ["dmn tune report --name first", "reports/tune-first.html"],
    ["dmn tune report --path optuna.log", "the page of a study that Optuna made, from its journal"],
    ["dmn tune stop --name first", "end it from another terminal; --resume goes on"],
    ["dmn tune replay --name first", "prove every suggestion from the journal"],
    ["dmn tune optuna --name first --path first.log", "Optuna's journal, for its dashboard"],
    ["dmn tune space --model transformer --json", "the default space, to begin a file with"],
    ["dmn tune --objective study.ts --name mine --trials 200", "anything that a file can run"],
  ],
  async run({ json, ...said }, context, action) {
    if (action !== undefined) {
      const { tuneAction } = await import("../src/workflow/tune/action.ts");
      const answer = await tuneAction(action, said, context);
      return json ? answer.json : answer.text;
    }
    const { name, sampler, pruner, pbt, deterministic, limit, objectives, objective, space, trials, seed,
      parts, on, workers, cluster, shared, host, resume, dataset, recipe, model, set, features, windows,
      windowYears, from, to, embargo, mode } = said;
    if (name === undefined) {
      throw new UserError("a study needs a name", "for example: dmn tune --dataset demo --name first");
    }
    if (pbt === true && sampler !== undefined && !sampler.startsWith("population")) {
      throw new UserError("--pbt is a sampler, and --sampler names another", "leave out one of them");
    }
    const { tune } = await import("../src/workflow/tune/tune.ts");
    const answer = await tune({
      name, workers: workers ?? 0, isResume: resume === true,
      placement: { on: on ?? "local", cluster: cluster ?? null, shared: shared ?? null, host: host ?? null },
      said: { request: { dataset, recipe, model, set, features, windows, windowYears, from, to, embargo,
        mode }, objective, objectives, space, limits: limit, parts, trials, seed, lag: deterministic,
        sampler: sampler ?? (pbt === true ? "population" : undefined), pruner },
    }, context);
    return json ? answer.json : answer.text;
  },
});
