/** Development data beside the checkout (../shared), which is never part of the product. */
import * as fs from "node:fs";
import * as path from "node:path";

export const NO_SHARED = "needs the development data in ../shared, which is not here";

/** Path of a file under ../shared, or null where it is absent. */
export function shared(name: string): string | null {
  const place = path.join(import.meta.dirname, "..", "..", "shared", name);
  return fs.existsSync(place) ? place : null;
}
