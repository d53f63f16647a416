/** Linear between neighbours, as numpy's: of ascending values, at least one; `share` from 0 to 1. */
export function quantile(ascending: Float64Array, share: number): number {
  const place = share * (ascending.length - 1), low = Math.floor(place), high = Math.ceil(place);
  return ascending[low] + (place - low) * (ascending[high] - ascending[low]);
}
