import chalk from "chalk";
import { formatTable } from "../src/base/table.ts";
import { doctor } from "../src/workflow/doctor.ts";
import { command } from "./command.ts";

const marks = { ok: "ok", missing: "MISSING", absent: "-" } as const;

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
    const table = formatTable([{ title: "what" }, { title: "state" }, { title: "found" }],
      findings.map(({ what, state, found }) => [what, marks[state], found]));
    const coloured = table.replaceAll("  MISSING  ", `  ${chalk.red("MISSING")}  `);
    const remedies = findings.filter((finding) => finding.remedy !== "")
      .map(({ what, remedy }) => `  ${what}: ${remedy}`);
    if (remedies.length === 0) return coloured;
    return `${coloured}\n\nto bring what is not here:\n${remedies.join("\n")}`;
  },
});
