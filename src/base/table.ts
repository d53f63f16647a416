/** Tables for people: fitted columns, numbers to the right, never wider than `TERMINAL_COLUMNS`. */
export const TERMINAL_COLUMNS = 100;

export interface Column {
  readonly title: string;
  /** Numbers are aligned right, words left. */
  readonly align?: "left" | "right";
}

/** Rows of text under titles. The last left-aligned column is shortened first when the table is too wide. */
export function formatTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const widths = columns.map(({ title }, j) => Math.max(title.length, ...rows.map((row) => row[j].length)));
  const gaps = 2 * (columns.length - 1);
  let excess = widths.reduce((sum, width) => sum + width, gaps) - TERMINAL_COLUMNS;
  for (let j = columns.length - 1; j >= 0 && excess > 0; j--) {
    if (columns[j].align === "right") continue;
    const cut = Math.min(excess, Math.max(0, widths[j] - Math.max(columns[j].title.length, 6)));
    widths[j] -= cut;
    excess -= cut;
  }
  const line = (cells: readonly string[]): string => cells.map((cell, j) => {
    const text = cell.length > widths[j] ? `${cell.slice(0, widths[j] - 1)}~` : cell;
    return columns[j].align === "right" ? text.padStart(widths[j]) : text.padEnd(widths[j]);
  }).join("  ").trimEnd();
  const titles = columns.map((column) => column.title);
  const rules = widths.map((width) => "-".repeat(width));
  return [titles, rules, ...rows].map(line).join("\n");
}

export const formatPercent = (value: number, digits = 2): string =>
  Number.isFinite(value) ? `${(value * 100).toFixed(digits)}%` : "n/a";
export const formatNumber = (value: number, digits = 3): string =>
  Number.isNaN(value) ? "n/a"
    : Number.isFinite(value) ? value.toFixed(digits)
    : value > 0 ? "inf" : "-inf";
export const formatCount = (value: number): string => value.toLocaleString("en-US");
