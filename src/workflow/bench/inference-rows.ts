/**
 * What was measured of a network on the GPU, as rows: device time and time from host to host, each beside
 * what is promised and beside every peer of the same run; how far from the floor; how many predictions a
 * second.
 */
import type { CudaPrecision } from "../../runtime/cuda/launch.ts";
import type { PeerMeasurement } from "./cuda-peers.ts";
import type { Floor } from "./floor.ts";
import type { BenchModel } from "./inference-models.ts";
import { benchRow, quantile, type BenchRow } from "./row.ts";

export interface CudaMeasurement {
  /** "NVIDIA H200, CUDA 13.0" */
  readonly gpu: string;
  readonly model: BenchModel;
  readonly B: number;
  readonly precision: CudaPrecision;
  /** Microseconds of a replay among replays back to back, one figure a repeat. */
  readonly deviceUs: readonly number[];
  /** Microseconds of each request, from host memory to host memory: whole windows travel. */
  readonly windowsUs: readonly number[];
  /** The same where windows lie on the GPU and only the newest row of each travels. */
  readonly ringUs: readonly number[];
  readonly floor: Floor;
}

/** Up to so many windows the host may add so much to the device's time. */
const SMALL_BATCH = 32, HOST_US_MAX = 6;
/** The table that the system's design set out from. */
const TABLE = { model: "lstm-512x2", batches: [1, 32, 128, 512] } as const;

const SHORT = { float16: "fp16", bfloat16: "bf16", float32: "fp32" } as const;
const facts = (unit: string, better: "lower" | "higher") => ({ suite: "inference", unit, better }) as const;
const figure = (value: number): string => String(Number(value.toPrecision(4)));

/** Rows of one network, batch and precision; peers are those of the same network, batch and precision. */
export function cudaRows(measured: CudaMeasurement, peers: readonly PeerMeasurement[]): BenchRow[] {
  const { gpu, model, B, precision, deviceUs, windowsUs, ringUs, floor } = measured;
  const name = `${model.name} B${B} ${SHORT[precision]}`, isPromised = precision === "float16";
  const device = quantile(deviceUs, 0.5), speeds = deviceUs.map((us) => 1e6 * B / us);
  const note = `T${model.steps} F${model.features}, ${precision} on the GPU`;
  const maximum = isPromised ? model.maximumUs[B] : undefined;
  const atLeast = isPromised ? model.atLeast[B] : undefined;
  const hostMaximum = isPromised && B <= SMALL_BATCH ? device + HOST_US_MAX : undefined;
  const deviceRow = { ...facts("us", "lower"), name: `${name}: device`, values: deviceUs, note };
  const hostRow = (what: string, values: readonly number[]): Parameters<typeof benchRow>[0] =>
    ({ ...facts("us", "lower"), name: `${name}: host, ${what}`, values,
      note: `${note}, 99.9 of 100: ${figure(quantile(values, 0.999))} us` });
  const rows = [
    ...besidePeers(deviceRow, maximum === undefined ? {} : { maximum },
      peers.map(({ peer, deviceUs: us }) => ({ peer, values: [us] }))),
    benchRow({ ...facts("x floor", "lower"), name: `${name}: over the floor`,
      values: deviceUs.map((us) => us / floor.us),
      note: `floor ${figure(floor.us)} us: ${floor.why}` }),
    ...besidePeers(hostRow("windows", windowsUs), {},
      peers.map(({ peer, p50Us }) => ({ peer, values: [p50Us] }))),
    benchRow(hostRow("new rows", ringUs), hostMaximum === undefined ? {} : { maximum: hostMaximum }),
    benchRow({ ...facts("predictions/s", "higher"), name: `${name}: throughput`, values: speeds, note },
      atLeast === undefined ? {} : { target: atLeast }),
    benchRow({ ...facts("us", "lower"), name: `${name}: per prediction`,
      values: deviceUs.map((us) => us / B), note }),
    ...isPromised && model.name === TABLE.model && TABLE.batches.some((one) => one === B)
      ? tableRows(measured, note) : [],
  ];
  return rows.map((row) => ({ ...row, machine: `${gpu}, ${row.machine}` }));
}

/** The same row beside each peer; alone when there is none. */
const besidePeers = (row: Parameters<typeof benchRow>[0], claims: Parameters<typeof benchRow>[1],
  peers: readonly { peer: string; values: readonly number[] }[]): BenchRow[] =>
  peers.length === 0 ? [benchRow(row, claims)] : peers.map((peer) => benchRow(row, claims, peer));

/** Latency, throughput and time of a sample, as a caller who hands over whole windows sees them. */
function tableRows({ B, windowsUs }: CudaMeasurement, note: string): BenchRow[] {
  const table = `table, batch ${B}`;
  return [
    benchRow({ ...facts("ms", "lower"), name: `${table}: latency`,
      values: windowsUs.map((us) => us / 1000), note }),
    benchRow({ ...facts("predictions/s", "higher"), name: `${table}: throughput`,
      values: windowsUs.map((us) => 1e6 * B / us), note }),
    benchRow({ ...facts("us", "lower"), name: `${table}: per sample`,
      values: windowsUs.map((us) => us / B), note }),
  ];
}
