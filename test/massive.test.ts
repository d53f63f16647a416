import { massive } from "../src/market/sources/massive.ts";
import { testVendor } from "./conformance/vendor.ts";

testVendor({ name: "massive", make: massive });
