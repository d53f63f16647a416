/** The standard normal distribution to about 1e-15: for probabilities of Sharpe ratios. */

/**
 * Regularised upper incomplete gamma Q(1/2, x) = erfc(sqrt x), by its continued fraction (x > 1) or P's
 * series.
 */
function upperHalfGamma(x: number): number {
  if (x === 0) return 1;
  const front = Math.exp(-x) * Math.sqrt(x) / Math.sqrt(Math.PI);
  if (x < 2) {
    let term = 2, sum = 2;
    for (let k = 1; k < 200 && Math.abs(term) > 1e-17 * sum; k++) { term *= x / (0.5 + k); sum += term; }
    return 1 - front * sum;
  }
  // Lentz's evaluation of 1 / (x + 1/2 - (1/2) / (x + 5/2 - ...)), bounded at 500 terms.
  let b = x + 0.5, c = 1 / Number.MIN_VALUE, d = 1 / b, h = d;
  for (let k = 1; k < 500; k++) {
    const a = -k * (k - 0.5);
    b += 2;
    d = 1 / (a * d + b);
    c = b + a / c;
    h *= d * c;
    if (Math.abs(d * c - 1) < 1e-16) break;
  }
  return front * h;
}

/** P(Z <= x). */
export function normalCdf(x: number): number {
  if (Number.isNaN(x)) return NaN;
  const tail = upperHalfGamma(x * x / 2) / 2;
  return x > 0 ? 1 - tail : tail;
}

/** The x with P(Z <= x) = p: bisection to the last bit, p in (0, 1). */
export function normalQuantile(p: number): number {
  if (!(p > 0 && p < 1)) return p === 0 ? -Infinity : p === 1 ? Infinity : NaN;
  if (p > 0.5) return -normalQuantile(1 - p);
  let low = -40, high = 0;
  for (let k = 0; k < 80; k++) {
    const middle = (low + high) / 2;
    if (normalCdf(middle) < p) low = middle; else high = middle;
  }
  return (low + high) / 2;
}
