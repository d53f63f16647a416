/**
 * The table of feature families: one row a family, nothing elsewhere (`dmn features --list` prints
 * it).
 */
import { DMN_FAMILIES } from "./dmn.ts";
import type { Family } from "./family.ts";
import { TECHNICAL_FAMILIES } from "./technical.ts";

export type { Family } from "./family.ts";

export const FAMILIES = { ...DMN_FAMILIES, ...TECHNICAL_FAMILIES } satisfies Record<string, Family>;
