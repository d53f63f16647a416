import { CONFIG_ENVIRONMENT, CONFIG_FILE } from "../src/base/config.ts";
import { command } from "./command.ts";

export default command({
  summary: "print the settings in effect, as JSON that can be saved as dmn.config.json",
  flags: ["json"],
  required: [],
  examples: [
    ["dmn config", "defaults, then dmn.config.json, then the environment"],
    ["DMN_WORKERS=2 dmn config", "an environment variable wins over the file"],
  ],
  run({ json }, { config, root }) {
    if (json) return Promise.resolve(config);
    const variables = Object.entries(CONFIG_ENVIRONMENT)
      .map(([name, keys]) => `  ${name.padEnd(30)} ${keys.join(".")}`);
    const settings = JSON.stringify(config, null, 2);
    const origin = `read from ${root}/${CONFIG_FILE}; overridden by`;
    return Promise.resolve(`${settings}\n\n${origin}\n${variables.join("\n")}`);
  },
});
