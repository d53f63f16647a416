/**
 * The standard normal distribution on intervals, accurate far out in its tails: the mass of [30, 31] is
 * about 1e-198 and its logarithm has 14 correct digits.
 *
 * Error function: W. J. Cody, "Rational Chebyshev approximations for the error function", Mathematics of
 * Computation 23 (1969), coefficients of his CALERF; relative error about 1e-16.
 */

/** Numerators and denominators, highest power first. */
const NEAR = [[1.8577770618460315e-1, 3.1611237438705655, 1.1386415415105016e2, 3.77485237685302e2,
  3.2093775891384694e3], [1, 2.3601290952344122e1, 2.4402463793444417e2, 1.2826165260773723e3,
  2.844236833439171e3]];
const MIDDLE = [[2.1531153547440383e-8, 5.641884969886701e-1, 8.883149794388377, 6.611919063714163e1,
  2.986351381974001e2, 8.81952221241769e2, 1.7120476126340707e3, 2.0510783778260716e3,
  1.2303393547979972e3], [1, 1.5744926110709835e1, 1.176939508913125e2, 5.371811018620099e2,
  1.6213895745666903e3, 3.2907992357334597e3, 4.362619090143247e3, 3.4393676741437216e3,
  1.2303393548037495e3]];
const FAR = [[1.6315387137302097e-2, 3.0532663496123236e-1, 3.6034489994980445e-1,
  1.2578172611122926e-1, 1.6083785148742275e-2, 6.587491615298378e-4], [1, 2.568520192289822,
  1.8729528499234673, 5.279051029514285e-1, 6.051834131244132e-2, 2.3352049762686918e-3]];

const SQRT_HALF = Math.SQRT1_2;
const SQRT_PI = Math.sqrt(Math.PI);
/** erf is 1 to the last bit from here on. */
const ERF_ONE = 5.93;

function ratio([above, below]: readonly (readonly number[])[], x: number): number {
  let p = above[0], q = below[0];
  for (let k = 1; k < above.length; k++) {
    p = p * x + above[k];
    q = q * x + below[k];
  }
  return p / q;
}

/** exp(x^2) erfc(x) for x > 0.46875: what is left of erfc once its fast part is taken out. */
function scaledErfc(x: number): number {
  if (x <= 4) return ratio(MIDDLE, x);
  const inverse = 1 / (x * x);
  return (1 / SQRT_PI - inverse * ratio(FAR, inverse)) / x;
}

/** exp(-x^2), the square taken in two parts so that its rounding is not blown up. */
function expMinusSquare(x: number): number {
  const coarse = Math.trunc(x * 16) / 16;
  return Math.exp(-coarse * coarse) * Math.exp(-(x - coarse) * (x + coarse));
}

export function erf(x: number): number {
  const size = Math.abs(x);
  if (size <= 0.46875) return x * ratio(NEAR, x * x);
  if (size >= ERF_ONE) return Math.sign(x);
  return Math.sign(x) * (1 - expMinusSquare(size) * scaledErfc(size));
}

/** y with erf(y) = x; |x| = 1 gives the largest y that doubles can tell from its neighbours, 5.9. */
export function inverseErf(x: number): number {
  const size = Math.abs(x);
  if (size >= 1 - 2 ** -53) return Math.sign(x) * 5.9;
  // Start: the tail's leading terms (Winitzki 2008, a = 0.147); then Newton, of second order (Halley).
  const log = Math.log((1 - size) * (1 + size)), half = 2 / (Math.PI * 0.147) + log / 2;
  let y = Math.sqrt(Math.sqrt(half * half - log / 0.147) - half);
  for (let k = 0; k < 3; k++) {
    const error = (erf(y) - size) * SQRT_PI / 2 / expMinusSquare(y);
    y -= error / (1 + y * error);
  }
  return Math.sign(x) * y;
}

/** Logarithm of the mass below x <= 0. */
function logCumulative(x: number): number {
  const y = -x * SQRT_HALF;
  return y > 0.46875 ? Math.log(scaledErfc(y) / 2) - y * y : Math.log((1 - erf(y)) / 2);
}

/** Mass of [a, b] where a <= 0 <= b. */
export function massAroundZero(a: number, b: number): number {
  return (erf(b * SQRT_HALF) - erf(a * SQRT_HALF)) / 2;
}

/** Logarithm of the mass of [a, b], a < b, wherever it lies. */
export function logMass(a: number, b: number): number {
  if (a < 0 && b > 0) return Math.log(massAroundZero(a, b));
  // The lower tail has small numbers, the upper tail has numbers near one.
  const [far, near] = a >= 0 ? [-b, -a] : [a, b];
  const logNear = logCumulative(near);
  return logNear + Math.log(-Math.expm1(logCumulative(far) - logNear));
}

/** The standard normal within [a, b] (a <= 0 <= b) at u in [0, 1): by the inverse of its cumulation. */
export function truncatedNormal(a: number, b: number, u: number): number {
  const low = erf(a * SQRT_HALF), high = erf(b * SQRT_HALF);
  return Math.min(b, Math.max(a, inverseErf(low + u * (high - low)) / SQRT_HALF));
}
