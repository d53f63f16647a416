/**
 * The two databases of the founding layout, as data: tables, what happens when a row comes twice, and the
 * steps that bring an older file up to date (`user_version` counts them; a step once published never
 * changes).
 *
 *   storage/trading_history.db       what was decided, ordered, filled and said; kept for good
 *   storage/performance_metrics.db   how it went: equity, latencies, processes, models; kept `daysKept`
 *
 * Times are UTC ms by the session's clock; a number that there is none of (NaN) is NULL.
 */
export const DATABASES = ["trading_history", "performance_metrics"] as const;
export type DatabaseName = (typeof DATABASES)[number];

interface Table {
  readonly database: DatabaseName;
  readonly columns: readonly string[];
  /** A row whose key is there already: the newer wins, the older stays, or (no key) both stay. */
  readonly twice: "replace" | "ignore" | "keep both";
  /** Folder under logs/ that gets a line of each row, for `less` and `grep`; null: none. */
  readonly log: "trading" | "performance" | "system" | null;
}
function table(database: DatabaseName, columns: string, twice: Table["twice"],
  log: Table["log"] = null): Table {
  return { database, columns: columns.split(" "), twice, log };
}

/**
 * Every table with the columns of a row, in order. The first is always the session's id, the second a time.
 */
export const TABLES = {
  sessions: table("trading_history", "id started_at venue feed strategy timeframe symbols description",
    "replace", "trading"),
  orders: table("trading_history", "session updated_at id decided_at symbol quantity type limit_price "
    + "broker_id state filled average_price reason", "replace"),
  order_states: table("trading_history", "session at id state filled average_price reason", "keep both",
    "trading"),
  fills: table("trading_history", "session at execution_id order_id symbol quantity price fee position",
    "ignore", "trading"),
  positions: table("trading_history", "session at symbol units", "replace"),
  decisions: table("trading_history", "session at symbol position volatility confidence members "
    + "has_quorum", "replace"),
  targets: table("trading_history", "session at symbol weight units price", "replace"),
  risk_actions: table("trading_history", "session at reason symbol before after", "keep both", "trading"),
  alerts: table("trading_history", "session at severity code text process", "ignore", "system"),
  trading_states: table("trading_history", "session at state reason by_whom", "replace", "trading"),
  controls: table("trading_history", "session at action by_whom subject value", "keep both", "trading"),
  equity: table("performance_metrics", "session at equity cash buying_power is_reconciled", "replace"),
  latencies: table("performance_metrics", "session at process name count errors bytes mean p50 p95 p99 "
    + "p999 max per_second compression", "replace"),
  processes: table("performance_metrics", "session at process pid state cpu_share memory_bytes "
    + "loop_delay_ms handled", "replace", "system"),
  performance: table("performance_metrics", "session at equity peak drawdown sharpe", "replace",
    "performance"),
  models: table("performance_metrics", "session at model version weight scored hits mean_return", "replace",
    "performance"),
} as const satisfies Record<string, Table>;
export type TableName = keyof typeof TABLES;

export type Cell = number | string | null;
export interface Row { readonly table: TableName; readonly cells: readonly Cell[] }

export const MIGRATIONS: Readonly<Record<DatabaseName, readonly string[]>> = {
  trading_history: [`
    create table sessions (id text primary key, started_at integer not null, venue text, feed text,
      strategy text,
      timeframe text, symbols text, description text) strict;
    create table orders (session text not null, updated_at integer not null, id text not null,
      decided_at integer, symbol text, quantity real, type text, limit_price real, broker_id text, state
      text,
      filled real, average_price real, reason text, primary key (session, id)) strict, without rowid;
    create index orders_by_time on orders (session, updated_at);
    create table order_states (session text not null, at integer not null, id text not null, state text,
      filled real, average_price real, reason text) strict;
    create index order_states_by_order on order_states (session, id, at);
    create table fills (session text not null, at integer not null, execution_id text not null, order_id
      text,
      symbol text, quantity real, price real, fee real, position real, primary key (session, execution_id))
      strict, without rowid;
    create index fills_by_time on fills (session, at);
    create index fills_by_order on fills (session, order_id);
    create table positions (session text not null, at integer not null, symbol text not null, units real,
      primary key (session, at, symbol)) strict, without rowid;
    create table decisions (session text not null, at integer not null, symbol text not null, position real,
      volatility real, confidence real, members text, has_quorum integer, primary key (session, at, symbol))
      strict, without rowid;
    create table targets (session text not null, at integer not null, symbol text not null, weight real,
      units real, price real, primary key (session, at, symbol)) strict, without rowid;
    create table risk_actions (session text not null, at integer not null, reason text, symbol text,
      before real,
      after real) strict;
    create index risk_actions_by_time on risk_actions (session, at);
    create table alerts (session text not null, at integer not null, severity text, code text not null,
      text text,
      process text not null, primary key (session, at, code, process)) strict, without rowid;
    create table trading_states (session text not null, at integer not null, state text not null, reason
      text,
      by_whom text, primary key (session, at, state)) strict, without rowid;
    create table controls (session text not null, at integer not null, action text, by_whom text, subject
      text,
      value text) strict;`],
  performance_metrics: [`
    create table equity (session text not null, at integer not null, equity real, cash real, buying_power
      real,
      is_reconciled integer, primary key (session, at)) strict, without rowid;
    create table latencies (session text not null, at integer not null, process text not null, name text
      not null,
      count integer, errors integer, bytes integer, mean real, p50 real, p95 real, p99 real, p999 real,
      max real,
      per_second real, compression real, primary key (session, at, process, name)) strict, without rowid;
    create table processes (session text not null, at integer not null, process text not null, pid integer,
      state text, cpu_share real, memory_bytes integer, loop_delay_ms real, handled integer,
      primary key (session, at, process)) strict, without rowid;
    create table performance (session text not null, at integer not null, equity real, peak real,
      drawdown real,
      sharpe real, primary key (session, at)) strict, without rowid;
    create table models (session text not null, at integer not null, model text not null, version text,
      weight real, scored integer, hits integer, mean_return real, primary key (session, at, model))
      strict, without rowid;`],
};
