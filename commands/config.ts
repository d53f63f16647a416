import * as path from "node:path";
import { CONFIG_ENVIRONMENT, CONFIG_FILE, listSettings } from "../src/base/config.ts";
import { formatTable } from "../src/base/table.ts";
import { command } from "./command.ts";

export default command({
  summary: "print the settings in effect and what they mean",
  flags: ["json"],
  required: [],
  examples: [
    ["dmn config", "defaults, then dmn.config.json, then the environment"],
    ["DMN_WORKERS=2 dmn config", "an environment variable wins over the file"],
    ["dmn config --json > mine.json", "to edit, and to save as dmn.config.json"],
  ],
  run({ json }, { config, root }) {
    if (json) return Promise.resolve(config);
    const settings = formatTable(
      [{ title: "setting" }, { title: "meaning" }, { title: "value", align: "right" }],
      listSettings(config).map(({ key, meaning, value }) =>
        [key, meaning, value === null ? "off" : String(value)]));
    const variables = Object.entries(CONFIG_ENVIRONMENT).map(([name, keys]) =>
      `  ${name.padEnd(30)} ${keys.join(".")}${process.env[name] ? ", set" : ""}`);
    return Promise.resolve([settings, "",
      `risk limits are fractions of equity unless a unit is said; "off" is null in the file`,
      `from ${path.join(root, CONFIG_FILE)}, overridden by`, ...variables].join("\n"));
  },
});
