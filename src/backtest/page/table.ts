/**
 * Tables: real ones, with headers that name their rows and columns, sortable by a press on a
 * column's head. A cell carries its full number in `data-value`; the script sorts by that and never
 * parses what is shown.
 */
import { formatValue, type Form } from "./format.ts";
import { html, type Markup, type Part } from "./html.ts";

/** The first column heads its row. */
export interface Column<Row> {
  readonly label: string;
  readonly title?: string;
  /** `words` may take more than one line. */
  readonly form: Form | "text" | "words";
  readonly value: (row: Row) => number | string;
  /** Replaces the plain value in the cell. */
  readonly draw?: (row: Row) => Part;
}

export interface TableOptions<Row> {
  /** For who cannot see it. */
  readonly name: string;
  readonly isSortable?: boolean;
  /** Scrolls in a box of its own, under a head that stays. */
  readonly isLong?: boolean;
  /** Rows that stay below whatever is sorted. */
  readonly foot?: readonly Row[];
}

export function table<Row>(
  columns: readonly Column<Row>[], rows: readonly Row[], options: TableOptions<Row>,
): Markup {
  const isSortable = options.isSortable === true;
  const heads = columns.map((column, k) => {
    const kind = column.form === "text" || column.form === "words" ? "text" : "number";
    const label = isSortable ? html`<button type="button">${column.label}</button>` : column.label;
    return html`<th scope="col" class="${k === 0 ? "text" : styleOf(column)}" data-kind="${kind}"
title="${column.title ?? ""}">${label}</th>`;
  });
  const line = (row: Row): Markup =>
    html`<tr>${columns.map((column, k) => cell(column, row, k === 0))}</tr>\n`;
  const foot = (options.foot ?? []).map(line);
  const box = options.isLong === true ? "scroll long" : "scroll";
  return html`<div class="${box}" role="region" tabindex="0" aria-label="${options.name}">
<table${isSortable ? html` data-sortable` : null}><thead><tr>${heads}</tr></thead>
<tbody>${rows.map(line)}</tbody>${foot.length > 0 ? html`<tfoot>${foot}</tfoot>` : null}</table></div>`;
}

const styleOf = <Row>(column: Column<Row>): string =>
  column.form === "text" ? "text" : column.form === "words" ? "text wrap" : "";

function cell<Row>(column: Column<Row>, row: Row, isHead: boolean): Markup {
  const value = column.value(row);
  const plain = typeof value === "string" ? value : formatValue(value, column.form as Form);
  const shown = column.draw?.(row) ?? plain;
  if (isHead) return html`<th scope="row" class="text" data-value="${value}">${shown}</th>`;
  return html`<td class="${styleOf(column)}" data-value="${value}">${shown}</td>`;
}
