/** Peers run in their own Python, made by `sh test/peers/setup.sh bench`; only in a checkout. */
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import type { Bench } from "../bench.ts";
import { PACKAGE_ROOT } from "../package-root.ts";
import type { PeerFigure } from "./row.ts";

/** The Python of `setup.sh bench`, or what DMN_BENCH_PYTHON says: a file, or a command such as python3. */
export function peerPython(): string | null {
  const said = process.env["DMN_BENCH_PYTHON"];
  if (said !== undefined && said !== "" && path.basename(said) === said) return said;
  const place = said ?? path.join(PACKAGE_ROOT, ".tools", "bench", "bin", "python");
  return fs.existsSync(place) ? place : null;
}

/** A peer that answered, or the sentence that says why it did not. */
export type PeerAnswer = PeerFigure | { readonly missing: string };

/** How to start a peer's script, or why it cannot be. */
export function peerCommand(script: string): { python: string; script: string } | { missing: string } {
  const python = peerPython();
  if (python === null) return { missing: "the peers are not installed: sh test/peers/setup.sh bench" };
  const place = path.join(PACKAGE_ROOT, "test", "peers", script);
  return fs.existsSync(place) ? { python, script: place }
    : { missing: `${script} is only in a checkout of the project` };
}

/**
 * Runs `test/peers/SCRIPT` with arguments; it prints one JSON object {peer, values}. Times are taken inside
 * the peer's own process, after its own warm-up, so that neither its start nor its compilation counts
 * against it.
 */
export function askPeer(script: string, args: readonly string[]): PeerAnswer {
  const command = peerCommand(script);
  if ("missing" in command) return command;
  const ran = spawnSync(command.python, [command.script, ...args], { encoding: "utf8", maxBuffer: 1 << 26 });
  if (ran.status !== 0) return { missing: `${script} failed: ${lastLine(ran.stderr)}` };
  return JSON.parse(lastLine(ran.stdout)) as PeerFigure;
}

/** Notes why there is no figure. */
export function figureOf(bench: Bench, answer: PeerAnswer): PeerFigure | null {
  if (!("missing" in answer)) return answer;
  bench.note(answer.missing);
  return null;
}

/** Ours, the peer, ours again: a machine that drifts drifts for both. */
export async function besidePeer(
  bench: Bench, measure: () => Promise<number[]>, ask: () => PeerAnswer,
): Promise<{ values: readonly number[]; peer: PeerFigure | null }> {
  const before = await measure();
  const peer = bench.hasPeers ? figureOf(bench, ask()) : null;
  return { values: peer === null ? before : [...before, ...await measure()], peer };
}

function lastLine(text: string): string { return text.trim().split("\n").at(-1) ?? ""; }
