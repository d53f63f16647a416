import { command } from "./command.ts";

export default command({
  summary: "the whole way on a synthetic market, offline: fetch, features, three strategies, one report",
  flags: ["json"],
  required: [],
  examples: [
    ["dmn demo", "a table, and a page in reports/demo.html"],
    ["DMN_HOME=/tmp/first-look dmn demo", "leaves this folder alone"],
  ],
  async run({ json }, context) {
    const { demo, demoText } = await import("../src/workflow/demo.ts");
    const report = await demo(context);
    return json ? report : demoText(report);
  },
});
