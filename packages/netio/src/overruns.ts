/**
 * Frames that came faster than they were taken and found no room in the kernel: no port has seen
 * them, so only the kernel can tell how many they were. Run by the worker that owns the socket.
 */
import type { Counters } from "@rhone/rings/counters";
import { DROP } from "@rhone/rings/drop-reason";
import { libc } from "./native.ts";
import { allocate } from "./native-memory.ts";

const SOL_SOCKET = 1;
const SO_MEMINFO = 55; // linux/sock_diag.h: words, of which the ninth counts drops
const MEMINFO_SIZE = 36;
const MEMINFO_DROPS = 8;
const SOL_XDP = 283;
const XDP_STATISTICS = 7; // struct xdp_statistics: six numbers of 64 bits
const STATISTICS_SIZE = 48;
const RX_DROPPED = 0;
const RX_RING_FULL = 6;

/** Full receives after which the kernel is asked even though more frames wait. */
const FULL_RECEIVES_MAX = 64;

const UNKNOWN = -1;

const { getsockopt } = libc;
const answer = allocate(STATISTICS_SIZE);
const answerSize = allocate(8);

export class Overruns {
  readonly #descriptor: number;
  readonly #isXdp: boolean;
  readonly #device: number;
  readonly #counters: Counters;
  #fullReceives = 0;
  #seen: number;

  /**
   * For a socket that `device` receives by. `seen` is what was counted by others before; left out:
   * all up to now.
   */
  constructor(
    descriptor: number,
    isXdp: boolean,
    device: number,
    counters: Counters,
    seen: number | null = null,
  ) {
    this.#descriptor = descriptor;
    this.#isXdp = isXdp;
    this.#device = device;
    this.#counters = counters;
    this.#seen = seen ?? Math.max(0, this.#lost());
  }

  /** What the kernel had lost when it was last asked. */
  get seen(): number {
    return this.#seen;
  }

  /**
   * To be told how many frames each receive got of those it asked for: the kernel only loses some
   * when many wait, so it is asked after that.
   */
  observe(came: number, asked: number): void {
    if (came === asked) this.#fullReceives++;
    if (this.#fullReceives === 0) return;
    if (came < asked || this.#fullReceives >= FULL_RECEIVES_MAX) this.#ask();
  }

  #ask(): void {
    this.#fullReceives = 0;
    const lost = this.#lost();
    if (lost === UNKNOWN) return;
    // The kernel's count wraps.
    const more = (lost - this.#seen) >>> 0;
    this.#counters.countPortDrop(this.#device, DROP["device-overrun"], more);
    this.#seen = lost;
  }

  #lost(): number {
    const level = this.#isXdp ? SOL_XDP : SOL_SOCKET;
    const option = this.#isXdp ? XDP_STATISTICS : SO_MEMINFO;
    answerSize.words[0] = this.#isXdp ? STATISTICS_SIZE : MEMINFO_SIZE;
    const { address } = answer;
    if (getsockopt(this.#descriptor, level, option, address, answerSize.address) === -1) {
      return UNKNOWN;
    }
    const { words } = answer;
    const isXdp = this.#isXdp;
    return (isXdp ? words[RX_DROPPED]! + words[RX_RING_FULL]! : words[MEMINFO_DROPS]!) >>> 0;
  }
}
