/** What `dmn features` prints of a run. */
import * as path from "node:path";
import { formatCount, formatNumber, formatPercent, formatTable, type Column } from "../base/table.ts";
import type { FeaturesReport } from "./features.ts";

/** More columns than this are summed up by family. */
const COLUMNS_SHOWN_MAX = 40;
const SYMBOLS_SHOWN_MAX = 8;

export function featuresText(report: FeaturesReport): string {
  const { dataset, recipe, columns, instruments, rows } = report;
  const near = path.relative(process.cwd(), report.file);
  const file = near.startsWith("..") ? report.file : near;
  return [
    `${dataset}: ${formatCount(instruments)} instruments, ${formatCount(rows)} rows of recipe ${recipe}, `
      + `${columns.length} columns, complete from bar ${report.warmup + 1} on`,
    `${file}, ${(report.bytes / 2 ** 20).toFixed(1)} MiB, ${report.seconds.toFixed(1)} s`,
    "",
    columns.length <= COLUMNS_SHOWN_MAX ? columnTable(report) : familyTable(report),
    ...perBarText(report),
    ...tooShortText(report),
  ].join("\n");
}

/** Columns whose names speak of days; on other bars they are of one bar all the same. */
const DAILY_NAMES = ["ret_1d", "daily_vol"];

function perBarText({ timeframe, columns }: FeaturesReport): string[] {
  const names = columns.map(({ name }) => name).filter((name) => DAILY_NAMES.includes(name));
  if (timeframe === "1d" || names.length === 0) return [];
  const said = names.join(" and ");
  return ["", `bars are ${timeframe}: ${said}, like every window, are in bars, not in days`];
}

function tooShortText({ tooShort, warmup }: FeaturesReport): string[] {
  if (tooShort.length === 0) return [];
  const shown = tooShort.slice(0, SYMBOLS_SHOWN_MAX).join(", ");
  const more = tooShort.length > SYMBOLS_SHOWN_MAX ? ", ..." : "";
  return ["", `${tooShort.length} without a complete row (fewer than ${warmup + 1} bars): ${shown}${more}`];
}

const right = (title: string): Column => ({ title, align: "right" });

/** Five decimals, or two digits of what these would show as 0: a mean of one-minute returns. */
const formatMoment = (value: number): string =>
  value !== 0 && Math.abs(value) < 5e-6 ? value.toExponential(1) : formatNumber(value, 5);

function columnTable({ columns }: FeaturesReport): string {
  return formatTable(
    [{ title: "column" }, { title: "unit" }, right("warm-up"), right("absent"), right("mean"), right("std")],
    columns.map(({ name, role, unit, warmup, nanShare, mean, std }) => [
      role === "target" ? `${name} (target)` : name, unit, String(warmup), formatPercent(nanShare),
      formatMoment(mean), formatMoment(std),
    ]));
}

function familyTable({ columns }: FeaturesReport): string {
  const families = [...new Set(columns.map((column) => column.family))];
  return formatTable(
    [{ title: "family" }, right("columns"), right("warm-up"), right("absent"),
      { title: "first and last column" }],
    families.map((family) => {
      const own = columns.filter((column) => column.family === family);
      return [
        family, String(own.length), String(Math.max(...own.map((column) => column.warmup))),
        formatPercent(Math.max(...own.map((column) => column.nanShare))),
        own.length === 1 ? own[0].name : `${own[0].name} .. ${own.at(-1)!.name}`,
      ];
    }));
}
