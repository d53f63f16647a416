// Puts what tsc leaves behind beside the built files: the native libraries (npm run build).
import * as fs from "node:fs";

const FOLDER = "src/runtime/native";
for (const file of fs.readdirSync(FOLDER)) {
  if (file.endsWith(".so")) fs.copyFileSync(`${FOLDER}/${file}`, `dist/${FOLDER}/${file}`);
}
