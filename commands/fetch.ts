import { command } from "./command.ts";

export default command({
  summary: "bring market data into the store: one HDF5 file per instrument, and a manifest",
  flags: ["dataset", "source", "path", "symbols", "from", "to", "timeframe", "calendar", "stamps",
    "seed", "update", "check", "json"],
  required: ["dataset"],
  examples: [
    ["dmn fetch --dataset synthetic", "28 invented futures, offline"],
    ["dmn fetch --source csv --path prices.csv.gz --dataset mine",
      "date,symbol,close or any layout of the README"],
    ["dmn fetch --source synthetic --symbols SYN:500 --dataset many", "500 invented instruments"],
    ["dmn fetch --source massive --symbols AAPL,MSFT --from 2020-01-01 --dataset us",
      "needs MASSIVE_API_KEY"],
    ["dmn fetch --dataset us --update", "what is new since then"],
    ["dmn fetch --dataset us --check", "gaps, stale runs, jumps, bad ticks; verifies every file"],
  ],
  async run({ json, dataset = "", ...options }, context) {
    const [{ fetch }, { fetchText }] = await Promise.all([
      import("../src/workflow/fetch.ts"), import("../src/workflow/fetch-report.ts"),
    ]);
    const report = await fetch({ ...options, dataset }, context);
    return json ? report : fetchText(report);
  },
});
