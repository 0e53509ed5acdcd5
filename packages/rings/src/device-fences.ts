/**
 * Until when a chassis may use the devices of gateways, in shared memory: written by the control
 * thread, read by the workers before each batch that such a device takes or gives. By device:
 *
 *   word   0   is fenced   0: the device is no gateway's: always open   written by control
 *   word   1   until       chassis clock, milliseconds, low 32 bits     written by control
 *
 * It ends by itself when the control thread does not write: another chassis may go on then.
 */
import { DEVICES_MAX } from "./counters.ts";

const WORDS = 2;
const IS_FENCED = 0;
const UNTIL = 1;
/** No lease is longer: what is further ahead is long over, as 32 bits of a clock come round. */
const AHEAD_MAX_MS = 60_000;

/** Bytes of shared memory that they take. */
export const DEVICE_FENCES_SIZE = DEVICES_MAX * WORDS * 4;

export class DeviceFences {
  readonly #words: Int32Array;

  constructor(buffer = new SharedArrayBuffer(DEVICE_FENCES_SIZE)) {
    this.#words = new Int32Array(buffer, 0, DEVICES_MAX * WORDS);
  }

  /** The device belongs to no gateway. */
  remove(device: number): void {
    Atomics.store(this.#words, device * WORDS + IS_FENCED, 0);
  }

  /** The device may be used until `untilMs` on the chassis's clock; in the past: not at all. */
  set(device: number, untilMs: number): void {
    Atomics.store(this.#words, device * WORDS + UNTIL, untilMs | 0);
    Atomics.store(this.#words, device * WORDS + IS_FENCED, 1);
  }

  /** `nowMs` are the low 32 bits of the same clock. */
  isShut(device: number, nowMs: number): boolean {
    if (Atomics.load(this.#words, device * WORDS + IS_FENCED) === 0) return false;
    const leftMs = (Atomics.load(this.#words, device * WORDS + UNTIL) - nowMs) | 0;
    return leftMs <= 0 || leftMs > AHEAD_MAX_MS;
  }
}
