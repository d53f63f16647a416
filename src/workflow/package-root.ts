/** Where the package lies: the checkout, or the folder that was installed (its code is in dist/). */
import * as path from "node:path";

const isBuilt = import.meta.filename.endsWith(".js");

export const PACKAGE_ROOT = path.resolve(import.meta.dirname, isBuilt ? "../../.." : "../..");
