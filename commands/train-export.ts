import { trainExport, trainText } from "../src/workflow/train-export.ts";
import { command } from "./command.ts";

export default command({
  summary: "train networks walk-forward on a dataset's features and write them as ONNX: models/NAME",
  flags: ["dataset", "recipe", "model", "name", "set", "features", "windows", "windowYears", "from",
    "to", "seeds", "trials", "embargo", "mode", "workers", "resume", "force", "json"],
  required: ["name"],
  examples: [
    ["dmn train-export --dataset demo --name first", "an LSTM, tested on the last fifth of the days"],
    ["dmn train-export --dataset demo --name wf --windows 2005,2010,2015 --window-years 5",
      "a fold per window"],
    ["dmn train-export --dataset demo --name big --set hidden=80 --set learningRate=0.01", "other settings"],
    ["dmn train-export --dataset demo --name best --trials 20",
      "search the papers' grid, then train the best"],
    ["dmn train-export --dataset demo --name on --mode carry", "state goes on from bar to bar"],
    ["dmn train-export --name best --resume", "go on where it was stopped"],
  ],
  async run({ name, workers = 0, resume, force, json, ...said }, context) {
    const report = await trainExport({ name: name!, said, workers, isResume: resume === true,
      isForced: force === true }, context);
    return json ? report : trainText(report);
  },
});
