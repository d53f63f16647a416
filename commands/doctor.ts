import { formatTable } from "../src/base/table.ts";
import { doctor } from "../src/workflow/doctor.ts";
import { command } from "./command.ts";

export default command({
  summary: "explain what is missing on this machine, and the command that brings it",
  flags: ["json"],
  required: [],
  examples: [
    ["dmn doctor", "a table of what is here"],
    ["dmn doctor --json", "the same for a script"],
  ],
  async run({ json }, context) {
    const findings = await doctor(context);
    if (json) return findings;
    const marks = { ok: "ok", missing: "MISSING", absent: "-" } as const;
    const table = formatTable([{ title: "what" }, { title: "state" }, { title: "found" }],
      findings.map(({ what, state, found }) => [what, marks[state], found]));
    const remedies = findings.filter((finding) => finding.remedy !== "")
      .map(({ what, remedy }) => `  ${what}: ${remedy}`);
    return remedies.length === 0 ? table : `${table}\n\nto bring what is not here:\n${remedies.join("\n")}`;
  },
});
