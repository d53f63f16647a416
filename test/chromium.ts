/** A real browser for the report's tests: the product never needs one. */
import * as fs from "node:fs";
import * as path from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";

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

/** How a page is looked at: at 1280 pixels, light and with its script, where nothing else is said. */
export interface Look {
  readonly scheme?: "light" | "dark";
  readonly width?: number;
  readonly hasScript?: boolean;
}
export interface Sight {
  readonly page: Page;
  /** Everything the browser complained about or asked for beyond the file itself. */
  readonly complaints: string[];
  readonly close: () => Promise<void>;
}

export async function showFile(browser: Browser, file: string, look: Look = {}): Promise<Sight> {
  const context = await browser.newContext({ viewport: { width: look.width ?? 1280, height: 900 },
    colorScheme: look.scheme ?? "light", javaScriptEnabled: look.hasScript !== false });
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  const complaints: string[] = [];
  page.on("console", (message) => complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => {
    if (request.url() !== `file://${file}`) complaints.push(`asks for ${request.url()}`);
  });
  await page.goto(`file://${file}`);
  return { page, complaints, close: () => context.close() };
}
