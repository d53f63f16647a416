/** Every family of the table keeps the promises of a Feature; and the checks themselves can fail. */
import { describe } from "node:test";
import { FAMILIES } from "../src/features/families.ts";
import { calendar } from "../src/market/calendar.ts";
import { featureConformance } from "./conformance/feature.ts";

const DAILY = { calendar: calendar("us-equity"), timeframe: "1d" } as const;
const HOURLY = { calendar: calendar("24x5"), timeframe: "1h" } as const;

describe("families on daily bars", () => {
  for (const [name, family] of Object.entries(FAMILIES)) {
    // A Gaussian process fit takes milliseconds a row: short windows keep the suite short.
    const parameters = name === "change_point" ? { windows: [8, 21] } : {};
    featureConformance(name, () => family.make(parameters, DAILY));
  }
});

describe("families on hourly bars", () => {
  featureConformance("vwap_session", () => FAMILIES.vwap_session.make({}, HOURLY), { timeframe: "1h" });
});
