import type { Source } from "./source.ts";

export declare const alpacaSource: Source;
