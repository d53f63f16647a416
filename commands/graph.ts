import { UserError } from "../src/base/error.ts";
import { describeModel, graphText } from "../src/workflow/graph.ts";
import { command } from "./command.ts";

export default command({
  summary: "print what a model is made of: its graph, or the ONNX nodes it is exported as",
  flags: ["as", "set", "training", "json"],
  required: [],
  argument: { syntax: "[model]",
    help: "an architecture (lstm, transformer, ...), a trained model, or an .onnx file" },
  examples: [
    ["dmn graph lstm", "the network, as its blocks and ops"],
    ["dmn graph transformer --as onnx --set hidden=16", "the ONNX nodes of a smaller one"],
    ["dmn graph lstm --training", "forward, backward, clip and Adam in one graph"],
    ["dmn graph models/first/model.onnx", "what a model file says of itself"],
  ],
  run({ as = "ir", set = {}, training = false, json }, context, model) {
    if (model === undefined) {
      throw new UserError("dmn graph needs a model to print",
        "name an architecture, as in: dmn graph lstm; or see: dmn graph --help");
    }
    if (as !== "ir" && as !== "onnx") {
      throw new UserError(`a graph is printed as ir or onnx, not as "${as}"`, `dmn graph ${model} --as onnx`);
    }
    const report = describeModel({ model, as, set, isTraining: training }, context);
    return Promise.resolve(json ? report : graphText(report));
  },
});
