/**
 * The rim of the page: reads uPlot's script and style from the installed package, once. Nothing
 * else here does I/O.
 */
import * as fs from "node:fs";
import { createRequire } from "node:module";

export interface Assets {
  readonly script: string;
  readonly style: string;
}

let loaded: Assets | null = null;

export function loadAssets(): Assets {
  const find = createRequire(import.meta.url);
  const read = (name: string): string =>
    fs.readFileSync(find.resolve(`uplot/dist/${name}`), "utf8").trim();
  return (loaded ??= { script: read("uPlot.iife.min.js"), style: read("uPlot.min.css") });
}
