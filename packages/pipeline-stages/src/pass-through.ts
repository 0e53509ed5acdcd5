/**
 * What stands at a stage that has no job yet: every packet goes on unchanged. The stage keeps its
 * number, its counters and its place in the stamp.
 */
import type { Batch, Core } from "./core.ts";

export function passThrough(_core: Core, _batch: Batch): void {}
