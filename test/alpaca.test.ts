import { alpaca } from "../src/market/sources/alpaca.ts";
import { testVendor } from "./conformance/vendor.ts";

testVendor({ name: "alpaca", make: alpaca });
