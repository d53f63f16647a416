/**
 * Since when keys are in use. A key is remembered by a fingerprint (SHA-256, 16 digits), never by itself:
 *
 *   storage/live/key-ages.json   { "alpaca": { "fingerprint": "6f1c...", "since": 1790000000000 } }
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { hashOf, replaceWith } from "../../base/file.ts";
import type { KeyAge } from "../actors/alerts.ts";
import { livePlaces } from "../recorder/places.ts";

type Ages = Record<string, { readonly fingerprint: string; readonly since: number }>;

/**
 * A key seen for the first time, or another than before, is of now. A file that cannot be read is begun
 * anew.
 */
export async function keyAges(root: string, secrets: Readonly<Record<string, string>>,
  now: number): Promise<KeyAge[]> {
  const place = path.join(livePlaces.live(root), "key-ages.json");
  const before = read(place), ages: Ages = { ...before };
  for (const [name, secret] of Object.entries(secrets)) {
    const fingerprint = hashOf(secret).slice(0, 16);
    if (before[name]?.fingerprint !== fingerprint) ages[name] = { fingerprint, since: now };
  }
  if (JSON.stringify(ages) !== JSON.stringify(before)) await replaceWith(place, JSON.stringify(ages));
  return Object.keys(secrets).map((name) => ({ name, since: ages[name].since }));
}

function read(place: string): Ages {
  try { return JSON.parse(fs.readFileSync(place, "utf8")) as Ages; } catch { return {}; }
}
