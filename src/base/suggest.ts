/** "Did you mean": the known word nearest to a misspelt one. */

/** Optimal string alignment distance: insert, delete, replace, swap neighbours, one each. */
export function editDistance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min(rows[i - 1][j] + 1, row[j - 1] + 1, rows[i - 1][j - 1] + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, rows[i - 2][j - 2] + 1);
      }
      row.push(best);
    }
    rows.push(row);
  }
  return rows[a.length][b.length];
}

/** The nearest known word, or null when nothing is near enough to be a slip of the hand. */
export function nearest(word: string, known: readonly string[]): string | null {
  let best: string | null = null;
  // A word of two letters is not a slip of another one with which it shares none.
  const most = Math.min(Math.max(2, Math.floor(word.length / 3)), word.length - 1);
  let bestDistance = most + 1;
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) { best = candidate; bestDistance = distance; }
  }
  return best;
}

/** `did you mean "x"?` or the list of what there is, for a UserError's hint. */
export function suggestion(word: string, known: readonly string[]): string {
  const near = nearest(word, known);
  if (near !== null) return `did you mean "${near}"?`;
  if (known.length === 0) return "there is none yet.";
  const shown = known.slice(0, 12).join(", ");
  return `choose one of: ${shown}${known.length > 12 ? `, ... (${known.length} in all)` : ""}.`;
}
