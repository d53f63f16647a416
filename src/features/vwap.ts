/**
 * Volume weighted average price of the typical price (high + low + close) / 3. `vwap_session` runs
 * from the start of the session the bar lies in and starts anew with the next (a VWAP that never
 * resets is a number about the first day of the data); `vwap` rolls over the last W bars. Sessions
 * are the calendar's days with all hours: us-equity turns at New York's midnight, so that
 * pre-market and after-hours bars count with their day, 24x5 at 23:00 UTC. distance = close / VWAP - 1.
 * Convention: without any volume the average is the typical price of the bar.
 */
import { z } from "zod";
import { MS_PER_HOUR } from "../base/units.ts";
import type { Calendar } from "../market/calendar.ts";
import { family, windowList } from "./family.ts";
import type { Feature } from "./feature.ts";
import { layout, outputList, technical, typicalPrice } from "./inputs.ts";
import { rollingSum, scratch, sumLength } from "./rolling.ts";

const OUTPUTS = ["vwap", "distance"] as const;
type Output = (typeof OUTPUTS)[number];

function rolling(windows: readonly number[], outputs: readonly Output[]): Feature {
  const memory = layout(1, windows.map((window) => 2 * sumLength(window)));
  const worth = scratch(), paid = scratch(), shares = scratch(), y = scratch();
  return technical({
    family: "vwap",
    columns: windows.flatMap((window) => outputs.map((output) => ({
      name: output === "vwap" ? `vwap_${window}` : `vwap_distance_${window}`,
      unit: output === "vwap" ? "price" : "fraction",
      warmup: window - 1,
    }))),
    inputs: ["high", "low", "close", "volume"],
    flopsPerBar: 4 + 12 * windows.length,
    stateLength: memory.total,
    block(rows, state) {
      const { n, close, volume } = rows, typical = typicalPrice(rows);
      for (let i = 0; i < n; i++) worth[i] = typical[i] * volume[i];
      for (let k = 0; k < windows.length; k++) {
        rollingSum(worth, n, windows[k], state, memory.at[k], paid);
        rollingSum(volume, n, windows[k], state, memory.at[k] + sumLength(windows[k]), shares);
        for (let i = 0; i < n; i++) paid[i] = shares[i] > 0 ? paid[i] / shares[i] : typical[i];
        for (let o = 0; o < outputs.length; o++) {
          const isDistance = outputs[o] === "distance";
          for (let i = 0; i < n; i++) y[i] = isDistance ? close[i] / paid[i] - 1 : paid[i];
          rows.put(k * outputs.length + o, y);
        }
      }
    },
  });
}

/** State after the row counter: [hour last asked about + 1, session's day, paid, shares]. */
const HOUR = 1, DAY = 2, PAID = 3, SHARES = 4;

function session(calendar: Calendar): Feature {
  const averages = scratch();
  return technical({
    family: "vwap_session",
    columns: [
      { name: "vwap_session", unit: "price", warmup: 0 },
      { name: "vwap_session_distance", unit: "fraction", warmup: 0 },
    ],
    inputs: ["high", "low", "close", "volume"],
    flopsPerBar: 10,
    stateLength: 5,
    block(rows, state) {
      const { n, seen, close, volume } = rows, typical = typicalPrice(rows);
      for (let i = 0; i < n; i++) {
        // Inside the bar: one that closes on a boundary belongs to the session it ends. Sessions'
        // days begin on whole hours, so that the calendar is asked once an hour.
        const inside = rows.timeOf(i) - 0.5, hour = Math.floor(inside / MS_PER_HOUR) + 1;
        if (hour !== state[HOUR]) {
          const day = calendar.sessionDay(inside);
          if (seen + i === 0 || day !== state[DAY]) {
            state[PAID] = 0;
            state[SHARES] = 0;
          }
          state[HOUR] = hour;
          state[DAY] = day;
        }
        state[PAID] += typical[i] * volume[i];
        state[SHARES] += volume[i];
        averages[i] = state[SHARES] > 0 ? state[PAID] / state[SHARES] : typical[i];
      }
      rows.put(0, averages);
      for (let i = 0; i < n; i++) averages[i] = close[i] / averages[i] - 1;
      rows.put(1, averages);
    },
  });
}

export const VWAP_FAMILIES = {
  vwap_session: family({
    summary: "volume weighted average price of the session so far, and the close's distance to it",
    version: 1,
    parameters: z.strictObject({}),
    inputs: ["high", "low", "close", "volume"],
    make: (_, market) => session(market.calendar),
  }),
  vwap: family({
    summary: "volume weighted average price of the last bars, and the close's distance to it",
    version: 1,
    parameters: z.strictObject({
      windows: windowList(5, 10, 20, 50, 100),
      outputs: outputList(OUTPUTS),
    }),
    inputs: ["high", "low", "close", "volume"],
    make: ({ windows, outputs }) => rolling(windows, outputs),
  }),
};
