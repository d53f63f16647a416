import { tuneWorker } from "../src/workflow/tune/worker.ts";
import { command } from "./command.ts";

/** For what has ended to be said. */
const EXIT_MS = 1_000;

export default command({
  summary: "take trials of a study from its coordinator until there are none; keys come by DMN_TUNE_KEYS",
  flags: ["coordinator", "study", "name", "json"],
  required: ["coordinator", "study"],
  examples: [
    ["DMN_TUNE_KEYS=storage/tune/one/join.keys dmn worker --coordinator tcp://127.0.0.1:5559 --study one",
      "one worker more, on this machine; dmn tune status prints it while the study runs"],
    ["DMN_TUNE_KEYS=join.keys dmn worker --coordinator tcp://10.0.0.7:5559 --study one",
      "on another machine, with a copy of that file"],
  ],
  async run({ coordinator, study, name, json }, context) {
    try {
      const options = { coordinator: coordinator!, study: study!, name: name ?? null };
      const done = await tuneWorker(options, context);
      return json ? done : `${done.trials} trials; ${done.why === "over" ? "the study is over" : "stopped"}`;
    } finally {
      // A trial that did not stop when it was told to does not keep the process.
      setTimeout(() => { process.exit(); }, EXIT_MS).unref();
    }
  },
});
