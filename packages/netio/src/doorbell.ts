/**
 * How a sleeping worker is woken: it blocks in `poll(2)` on the descriptors of its ports and on its
 * doorbell, an eventfd that any thread of the process may ring (eventfd(2), poll(2)).
 */
import { check, libc } from "./native.ts";
import { allocate, type NativeMemory } from "./native-memory.ts";

const { eventfd_read, eventfd_write, poll } = libc;

const EFD_CLOEXEC = 0x80000;
const EFD_NONBLOCK = 0x800;

const rings = allocate(8);

/** Makes a doorbell; the number is valid in every thread of the process. */
export function createDoorbell(): number {
  return check(libc.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
}

/** Makes the doorbell poll readable until it is drained. Cheap to repeat, but a system call. */
export function ringDoorbell(descriptor: number): void {
  eventfd_write(descriptor, 1n);
}

/** Forgets all rings up to now. */
export function drainDoorbell(descriptor: number): void {
  eventfd_read(descriptor, rings.address);
}

export function closeDoorbell(descriptor: number): void {
  libc.close(descriptor);
}

/** Descriptors that a poller watches unless told otherwise. */
const POLLED_MAX = 64;
const POLLIN = 1;

/**
 * A set of descriptors to wait for. Memory is struct pollfd[]: descriptor, then events in the low
 * and returned events in the high half of a word.
 */
export class Poller {
  readonly #most: number;
  readonly #memory: NativeMemory;
  readonly #address: bigint;
  #count = 0;

  /** Watches at most so many descriptors. */
  constructor(most = POLLED_MAX) {
    this.#most = most;
    this.#memory = allocate(most * 8);
    this.#address = this.#memory.address;
  }

  /** Watches descriptors for something to read. */
  add(...descriptors: readonly number[]): void {
    for (const descriptor of descriptors) {
      if (this.#count === this.#most) {
        throw new RangeError(`expected at most ${this.#most} descriptors in a poller`);
      }
      this.#memory.words[this.#count * 2] = descriptor;
      this.#memory.words[this.#count * 2 + 1] = POLLIN;
      this.#count++;
    }
  }

  /** Of those that are left, the last ones take their indices. */
  remove(...descriptors: readonly number[]): void {
    const { words } = this.#memory;
    for (const descriptor of descriptors) {
      for (let i = 0; i < this.#count; i++) {
        if (words[i * 2] !== descriptor) continue;
        this.#count--;
        words[i * 2] = words[this.#count * 2]!;
        break;
      }
    }
  }

  /** Whether the last `poll` found that something can be read, or is wrong, at an index. */
  isReady(index: number): boolean {
    return this.#memory.words[index * 2 + 1]! >>> 16 !== 0;
  }

  /** Blocks until one is ready or the time is over, -1 for ever; returns how many are ready. */
  poll(timeoutMs: number): number {
    // Interrupted by a signal (-1) is nothing ready: the caller looks at its ports and comes again.
    return Math.max(0, poll(this.#address, this.#count, timeoutMs));
  }
}
