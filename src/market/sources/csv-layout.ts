/**
 * The header of a CSV file says what its rows are. Three layouts in any column order, told apart by
 * their columns:
 *
 *   bars     time, symbol, close | return  [open high low volume vwap trades price panama roll]
 *   quotes   time, symbol, bid, ask        [bid_size ask_size]
 *   ticks    time, symbol, kind, price, size [exchange]
 *
 * A column that is none of these is refused: a misspelt "clsoe" must not become a dataset without
 * prices.
 */
import { UserError } from "../../base/error.ts";
import { suggestion } from "../../base/suggest.ts";
import { KINDS, type ColumnName, type Kind } from "../bars.ts";

/** What a cell must be. `firstEmpty`: finite, and empty on an instrument's first row only. */
export type Rule =
  "positive" | "atLeastZero" | "finite" | "firstEmpty" | "flag" | "side" | "letter";

interface Cell {
  readonly column: ColumnName;
  readonly rule: Rule;
}

/** Names of the column that holds the stamp. */
const TIME_NAMES = ["date", "timestamp", "time"] as const;

/** Column of the file -> column of the store, for each kind of rows. */
const CELLS = {
  bars: {
    open: { column: "open", rule: "positive" }, high: { column: "high", rule: "positive" },
    low: { column: "low", rule: "positive" }, close: { column: "close", rule: "positive" },
    volume: { column: "volume", rule: "atLeastZero" }, vwap: { column: "vwap", rule: "positive" },
    trades: { column: "trades", rule: "atLeastZero" },
    return: { column: "return", rule: "firstEmpty" },
    // A contract's price can be negative (crude oil, April 2020), a difference-adjusted one often.
    price: { column: "price", rule: "finite" }, panama: { column: "panama", rule: "finite" },
    roll: { column: "roll", rule: "flag" },
  },
  quotes: {
    bid: { column: "bid", rule: "positive" }, bid_size: { column: "bidSize", rule: "atLeastZero" },
    ask: { column: "ask", rule: "positive" }, ask_size: { column: "askSize", rule: "atLeastZero" },
  },
  ticks: {
    kind: { column: "side", rule: "side" }, price: { column: "tickPrice", rule: "positive" },
    size: { column: "size", rule: "atLeastZero" }, exchange: { column: "exchange", rule: "letter" },
  },
} as const satisfies Record<Kind, Record<string, Cell>>;

const REQUIRED = {
  bars: ["close"], quotes: ["bid", "ask"], ticks: ["kind", "price", "size"],
} as const;

export const EXPECTED: Readonly<Record<Rule, string>> = {
  positive: "a price above 0", atLeastZero: "a number, 0 or more", finite: "a number",
  firstEmpty: "a number (only an instrument's first row may be empty)", flag: "0 or 1",
  side: "trade, bid or ask", letter: "one letter",
};

/** One column of the file, in the file's order. */
export type LayoutColumn =
  | { readonly name: string; readonly role: "time" }
  | { readonly name: string; readonly role: "symbol" }
  | ({ readonly name: string; readonly role: "value" } & Cell);

export interface Layout {
  readonly kind: Kind;
  readonly columns: readonly LayoutColumn[];
  /** No close in the file: it is compounded from the returns. */
  readonly isReturnPanel: boolean;
  /** Continuous futures: the adjusted price, the contract's price and its rolls. */
  readonly isFutures: boolean;
}

/** Reads the header line. Throws UserError naming a column that is unknown, doubled or missing. */
export function readLayout(file: string, header: string): Layout {
  const cells = header.replace(/^\uFEFF/, "").replace(/\r$/, "").split(",");
  const names = cells.map((name) => name.trim().toLowerCase());
  const kind = kindOf(names);
  const columns = names.map((name, j) => {
    if (names.indexOf(name) !== j) throw unusable(file, `has two columns "${name}"`);
    return columnOf(file, kind, name);
  });
  const hasTime = columns.some((column) => column.role === "time");
  if (!hasTime) throw unusable(file, 'has no column "date" or "timestamp"');
  if (!names.includes("symbol")) throw unusable(file, 'has no column "symbol"');
  const isReturnPanel = kind === "bars" && names.includes("return") && !names.includes("close");
  const missing = REQUIRED[kind].find((name) => !names.includes(name) && !isReturnPanel);
  if (missing !== undefined) throw unusable(file, `has no column "${missing}"`);
  const isFutures = names.includes("panama") || names.includes("roll");
  return { kind, columns, isReturnPanel, isFutures };
}

function kindOf(names: readonly string[]): Kind {
  if (names.includes("kind")) return "ticks";
  return names.includes("bid") || names.includes("ask") ? "quotes" : "bars";
}

function columnOf(file: string, kind: Kind, name: string): LayoutColumn {
  if ((TIME_NAMES as readonly string[]).includes(name)) return { name, role: "time" };
  if (name === "symbol") return { name, role: "symbol" };
  const cells: Readonly<Record<string, Cell>> = CELLS[kind];
  if (Object.hasOwn(cells, name)) return { name, role: "value", ...cells[name] };
  const known = [...TIME_NAMES, "symbol", ...Object.keys(cells)];
  const other = KINDS.find((candidate) => Object.hasOwn(CELLS[candidate], name));
  if (other === undefined) {
    throw new UserError(`${file} has an unknown column "${name}"`, suggestion(name, known));
  }
  throw unusable(file, `has the column "${name}" of ${other} among columns of ${kind}`);
}

function unusable(file: string, what: string): UserError {
  return new UserError(`${file} ${what}`, "the first line must name the columns, for example: "
    + "date,symbol,close | timestamp,symbol,open,high,low,close,volume");
}
