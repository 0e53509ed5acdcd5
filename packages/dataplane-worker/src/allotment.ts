/**
 * Who of a chassis's workers has what: made by the control thread, adopted by each worker at its
 * own pace (bucket-hand-over.ts). The maps are owner maps of @rhone/rings/buckets.
 */
export interface Allotment {
  /** They are counted from 1. */
  readonly edition: number;
  /** The workers that run: those that are waited for. */
  readonly workers: readonly number[];
  /** By bucket of flows. */
  readonly owners: Uint8Array;
  /** By device index. */
  readonly devices: Uint8Array;
  /** By number of the tunnel's socket: who receives from it. */
  readonly sockets: Uint8Array;
}
