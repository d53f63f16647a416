/** A data root with a small dataset, and the command line on it, for the tests of `dmn features`. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import type { Bars } from "../src/market/bars.ts";
import { calendar } from "../src/market/calendar.ts";
import { DatasetWriter, readManifest, type Manifest } from "../src/market/store.ts";

const DMN = path.join(import.meta.dirname, "..", "bin", "dmn.js");

export interface Ran {
  readonly code: number | null;
  readonly signal: string | null;
  readonly out: string;
  readonly said: string;
}

export class DataRoot implements Disposable {
  readonly root = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-features-"));

  /** Writes (or replaces) a daily us-equity dataset. */
  async put(dataset: string, all: readonly Bars[], timeframe: Bars["timeframe"] = "1d"): Promise<Manifest> {
    using writer = DatasetWriter.open(this.root, dataset, { source: "synthetic", isSynthetic: true, kind: all[0].kind,
      timeframe,
      calendar: calendar("us-equity"), adjustment: "total-return", provenance: "made by a test" },
    { command: `dmn fetch --source synthetic --dataset ${dataset}` });
    for (const bars of all) await writer.put({ bars, actions: [] });
    return await writer.commit();
  }

  manifest(dataset: string): Manifest { return readManifest(this.root, dataset); }

  parquet(dataset: string, recipe: string): string {
    return path.join(this.root, "datasets", dataset, "features", `${recipe}.parquet`);
  }

  dmn(args: readonly string[], environment: Readonly<Record<string, string>> = {}, before: readonly string[] = []): Ran {
    const env = { ...process.env, DMN_HOME: this.root, CI: "1", ...environment };
    const run = spawnSync(process.execPath, [...before, DMN, ...args],
      { cwd: this.root, env, encoding: "utf8", maxBuffer: 1 << 26 });
    return { code: run.status, signal: run.signal, out: run.stdout, said: run.stderr };
  }

  /** Runs `dmn features ... --json`, which must succeed. */
  features(...args: string[]): Record<string, unknown> {
    const { code, out, said } = this.dmn(["features", ...args, "--json"]);
    assert.equal(code, 0, said);
    return JSON.parse(out) as Record<string, unknown>;
  }

  /** Runs `dmn features ...`, which must refuse with exit code 2 and two lines; returns them. */
  refusal(...args: string[]): string {
    const { code, out, said } = this.dmn(["features", ...args]);
    assert.equal(code, 2, `${said}${out}`);
    assert.match(said, /^dmn: .+\n {5}.+\n$/);
    return said;
  }

  write(file: string, content: string): void {
    const place = path.join(this.root, file);
    fs.mkdirSync(path.dirname(place), { recursive: true });
    fs.writeFileSync(place, content);
  }

  [Symbol.dispose](): void { fs.rmSync(this.root, { recursive: true, force: true }); }
}

/** SHA-independent equality of two files' bytes. */
export const sameBytes = (a: string, b: string): boolean => fs.readFileSync(a).equals(fs.readFileSync(b));

/** Equal to the bit, NaN and signed zero included. */
export function assertSameBits(a: Float32Array | Float64Array, b: Float32Array | Float64Array, words = ""): void {
  assert.equal(a.length, b.length, words);
  const differs = (): number => a.findIndex((value, k) => !Object.is(value, b[k]));
  const bytes = (array: Float32Array | Float64Array): Buffer => Buffer.from(array.buffer, array.byteOffset, array.byteLength);
  if (!bytes(a).equals(bytes(b))) assert.equal(differs(), -1, words);
}
