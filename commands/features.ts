import { command } from "./command.ts";
import { UserError } from "../src/base/error.ts";
import { features } from "../src/workflow/features.ts";
import { featuresText } from "../src/workflow/features-text.ts";
import { listFamilies, listText } from "../src/workflow/features-list.ts";
import { verifyRecipe, verifyText } from "../src/workflow/features-verify.ts";

export default command({
  summary: "turn bars into features: one Parquet file a recipe, beside the dataset",
  flags: ["dataset", "recipe", "symbols", "from", "to", "workers", "verify", "list", "json"],
  required: [],
  examples: [
    ["dmn features --dataset futures --recipe dmn",
      "eight inputs, volatility, target, classical positions"],
    ["dmn features --dataset futures --recipe technical --workers 4", "about 200 columns"],
    ["dmn features --dataset futures --recipe mine.json --verify", "prove that nothing looks ahead"],
    ["dmn features --list", "all feature families and their parameters"],
  ],
  async run(options, context) {
    const { dataset, recipe = "dmn", symbols = [], from = null, to = null, workers = 0, json } = options;
    if (options.list) {
      const report = await listFamilies(context);
      return json ? report : listText(report);
    }
    if (dataset === undefined) {
      throw new UserError("dmn features needs the dataset to compute from",
        "name it with --dataset NAME, or see: dmn features --help");
    }
    if (options.verify) {
      const report = await verifyRecipe({ dataset, recipe, symbols }, context);
      return json ? report : verifyText(report);
    }
    const report = await features({ dataset, recipe, symbols, from, to, workers }, context);
    return json ? report : featuresText(report);
  },
});
