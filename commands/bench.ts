import { bench, benchText } from "../src/workflow/bench.ts";
import { command } from "./command.ts";

export default command({
  summary: "measure speed and memory on this machine, beside peers where they are installed",
  flags: ["device", "models", "peers", "quick", "json"],
  required: [],
  argument: { syntax: "[suite]",
    help: "store, features, backtest, training, inference, live or tune; all of them when left out" },
  examples: [
    ["dmn bench", "every suite"],
    ["dmn bench features --peers", "one suite, with its peers in the same run"],
    ["dmn bench inference --device cuda --peers", "networks on the GPU, beside PyTorch and cuDNN"],
    ["dmn bench live --peers", "trading: hops, throughput, orders, a session; beside pyzmq and Unix sockets"],
    ["dmn bench store --json", "rows for a script"],
  ],
  async run({ device = null, models = null, peers, quick, json }, context, suite) {
    const options = { suite: suite ?? null, device: device === "auto" ? null : device, models,
      hasPeers: peers === true, isQuick: quick === true };
    const report = await bench(options, context);
    return json ? report : benchText(report);
  },
});
