import type { BacktestResult } from "../result.ts";

export interface ReportOptions {
  readonly title?: string;
  /** Further strategies compared in the same page. */
  readonly others?: readonly BacktestResult[];
}

/** One self-contained HTML page: no outside resource, works from file://, offline. Same result, same bytes. */
export function reportPage(result: BacktestResult, options: ReportOptions = {}): string {
  return `<!doctype html><title>${options.title ?? result.strategy}</title>`;
}
