/** Quantities: signed units with at most nine decimals, as brokers keep them. */

/** Half of the smallest quantity that a broker knows. */
export const UNIT_EPSILON = 5e-10;
const DECIMALS = 1e9;

/** Nine decimals, so that sums of fills meet what was asked for. Beyond 4e6 a float64 rounds by itself. */
export const roundUnits = (units: number): number =>
  Math.abs(units) < 4e6 ? Math.round(units * DECIMALS) / DECIMALS + 0 : units;

/** Towards zero, to whole units or to nine decimals: an order never exceeds what was asked for. */
export function truncateUnits(units: number, isFractional: boolean): number {
  if (!isFractional) return Math.trunc(units) + 0;
  const rounded = roundUnits(units);
  return Math.abs(rounded) <= Math.abs(units) ? rounded : roundUnits(rounded - Math.sign(units) / DECIMALS);
}

/** The part of `wanted` that is held already: same side, and not more than is held. */
export function keptPart(wanted: number, held: number): number {
  if (wanted > 0) return held > 0 ? Math.min(wanted, held) : 0;
  return held < 0 ? Math.max(wanted, held) : 0;
}

/** A limit price as exchanges take it: cents, below a dollar 1/100 of a cent; never worse than asked. */
export function roundPrice(price: number, isBuy: boolean): number {
  const steps = price >= 1 ? 100 : 10_000;
  const scaled = Number((price * steps).toFixed(6));
  return (isBuy ? Math.floor(scaled) : Math.ceil(scaled)) / steps;
}
