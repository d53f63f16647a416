import type { Source } from "./source.ts";

export declare const massiveSource: Source;
