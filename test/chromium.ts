/** A real browser for the report's tests: the product never needs one. */
import * as fs from "node:fs";
import * as path from "node:path";
import { type Browser, chromium } from "playwright-core";

export const NO_CHROMIUM = "needs a Chromium: install one, or name it in CHROMIUM";

/** Path of a Chromium, or null: $CHROMIUM, the usual places, then the search path. */
export function chromiumPath(): string | null {
  const named = process.env["CHROMIUM"];
  const usual = ["/usr/bin/chromium", "/usr/bin/chromium-browser"];
  const searched = (process.env["PATH"] ?? "")
    .split(path.delimiter)
    .flatMap((folder) => ["google-chrome", "chromium"].map((name) => path.join(folder, name)));
  return (
    [...(named === undefined ? [] : [named]), ...usual, ...searched].find((place) =>
      fs.existsSync(place),
    ) ?? null
  );
}

export function openChromium(place: string): Promise<Browser> {
  return chromium.launch({
    executablePath: place,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}
