import type { CudaPrecision, DeviceFacts, Launch } from "../launch.ts";
import type { Activation, Matrix, Plan, RowStatistics } from "./matrix.ts";

/** out = layerNorm(x + residual) rows of D; `sum` receives x + residual. */
export interface LayerNorm {
  readonly rows: number;
  readonly D: number;
  readonly precision: CudaPrecision;
  readonly epsilon: number;
  readonly x: Matrix;
  readonly residual?: Matrix;
  readonly sum?: Matrix;
  readonly out: Matrix;
}
export interface LayerNormWeights {
  readonly scale: Float32Array;
  readonly shift: Float32Array;
}
export type LayerNormPlanner = (norm: LayerNorm, device: DeviceFacts, prefix: string) => Plan<LayerNormWeights>;

/**
 * float32 out (rows, columns) = activation(layerNorm(x) w + bias) with few columns (<= 8): a network's head on the
 * last step, one warp per row.
 */
export interface Head {
  readonly rows: number;
  readonly D: number;
  readonly columns: number;
  readonly precision: CudaPrecision;
  readonly x: Matrix;
  /** Null: x as it is. */
  readonly normalise: { readonly epsilon: number } | null;
  readonly activation: Activation;
  readonly out: string;
}
export interface HeadWeights {
  /** (D, columns), (columns) */
  readonly w: Float32Array;
  readonly bias: Float32Array;
  readonly norm?: LayerNormWeights;
}
export type HeadPlanner = (head: Head, device: DeviceFacts, prefix: string) => Plan<HeadWeights>;

/** Rows of float32 to a 16-bit precision: what a product wants of a float32 input. Columns past N are zeros. */
export interface Convert {
  readonly rows: number;
  readonly columns: number;
  readonly precision: CudaPrecision;
  readonly from: Matrix;
  readonly to: Matrix;
}
export type ConvertPlanner = (convert: Convert, device: DeviceFacts) => readonly Launch[];

/** Statistics of x's rows, where no product wrote them. */
export type StatisticsPlanner = (
  of: { readonly rows: number; readonly columns: number; readonly precision: CudaPrecision; readonly x: Matrix },
  device: DeviceFacts, prefix: string) => Plan<never> & { readonly statistics: RowStatistics };
