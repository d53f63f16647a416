/**
 * Covariances that can be inverted: the sample's, pulled towards a multiple of the identity by as much as the
 * sample's own noise asks for (Ledoit, Wolf, "A well-conditioned estimator for large-dimensional covariance
 * matrices", 2004; scikit-learn's LedoitWolf gives the same numbers).
 *
 *     S = X'X / T, mu = trace / N      C = (1 - s) S + s mu I,   s = min(beta, delta) / delta
 *     delta = |S - mu I|^2 / N         beta = mean of |x x' - S|^2 / (T N)
 */
export interface Covariance {
  /** (N, N) */
  readonly values: Float64Array;
  /** s, from 0 (the sample's) to 1 (no covariance at all). */
  readonly shrinkage: number;
}

/** `columns`: N series of T returns, T >= 2. Means are taken off. */
export function ledoitWolf(columns: readonly Float64Array[]): Covariance {
  const N = columns.length, T = columns[0].length;
  const centred = columns.map((column) => {
    const mean = column.reduce((sum, value) => sum + value, 0) / T;
    return column.map((value) => value - mean);
  });
  const values = sampleOf(centred, T), norms = new Float64Array(T);
  for (const column of centred) for (let t = 0; t < T; t++) norms[t] += column[t] ** 2;
  let trace = 0, squares = 0, fourth = 0;
  for (let i = 0; i < N; i++) trace += values[i * N + i];
  for (const value of values) squares += value * value;
  for (const norm of norms) fourth += norm * norm;
  const mu = trace / N;
  const delta = (squares - 2 * mu * trace + N * mu * mu) / N;
  const beta = Math.min((fourth / T - squares) / (N * T), delta);
  const shrinkage = beta > 0 ? beta / delta : 0;
  for (let k = 0; k < values.length; k++) values[k] *= 1 - shrinkage;
  for (let i = 0; i < N; i++) values[i * N + i] += shrinkage * mu;
  return { values, shrinkage };
}

/** The same of series that were brought to deviation 1 before: shrunk correlations, 1 on the diagonal. */
export function shrunkCorrelation(columns: readonly Float64Array[]): Covariance {
  const found = ledoitWolf(columns.map(standardised)), N = columns.length;
  // A series that never moved has no correlation with anything.
  for (let i = 0; i < N; i++) found.values[i * N + i] = 1;
  return found;
}

/** (T) with mean 0 and deviation 1 (ddof 0); zeros where nothing moved. */
export function standardised(column: Float64Array): Float64Array {
  const T = column.length, mean = column.reduce((sum, value) => sum + value, 0) / T;
  const deviation = Math.sqrt(column.reduce((sum, value) => sum + (value - mean) ** 2, 0) / T);
  return column.map((value) => deviation > 0 ? (value - mean) / deviation : 0);
}

/** (N, N) X'X / T of centred columns. */
function sampleOf(centred: readonly Float64Array[], T: number): Float64Array {
  const N = centred.length, values = new Float64Array(N * N);
  for (let i = 0; i < N; i++) {
    for (let j = 0; j <= i; j++) {
      const a = centred[i], b = centred[j];
      let sum = 0;
      for (let t = 0; t < T; t++) sum += a[t] * b[t];
      values[i * N + j] = values[j * N + i] = sum / T;
    }
  }
  return values;
}
