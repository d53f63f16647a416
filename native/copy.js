// Puts what tsc leaves behind beside the built files: native libraries and the GPU's kernels (npm run build).
import * as fs from "node:fs";

for (const [folder, ending] of [["src/runtime/native", /\.so$/], ["src/runtime/cuda/kernels", /\.cuh?$/]]) {
  fs.mkdirSync(`dist/${folder}`, { recursive: true });
  for (const file of fs.readdirSync(folder)) {
    if (ending.test(file)) fs.copyFileSync(`${folder}/${file}`, `dist/${folder}/${file}`);
  }
}
