/**
 * A ring of packet slots between two threads: one pushes, one pops.
 *
 * The shared words; those that different threads write lie 128 bytes apart:
 *
 *   word    0   head  count of slots ever popped   written by the consumer only
 *   word   32   tail  count of slots ever pushed   written by the producer only
 *   word   64…  the slots, `capacity` of them      written by the producer only
 *
 * Both counts run free and wrap at 2³²; `tail - head | 0` is the fill at any time. The producer's
 * store of `tail` publishes the slots that it wrote before; it pairs with the consumer's load of
 * `tail`. The consumer's store of `head` hands the places back; it pairs with the producer's load.
 */
const HEAD = 0;
const TAIL = 32;
const SLOTS = 64;

/** Words of shared memory that a ring of `capacity` slots takes. */
export function ringWords(capacity: number): number {
  return SLOTS + capacity;
}

function capacityOf(words: Int32Array): number {
  const capacity = words.length - SLOTS;
  if (capacity < 1 || (capacity & (capacity - 1)) !== 0) {
    throw new RangeError(`expected a ring capacity that is a power of two, got ${capacity}`);
  }
  return capacity;
}

export class RingProducer {
  readonly #words: Int32Array;
  readonly #capacity: number;
  #tail: number;
  #headSeen: number; // At most the true head, so the room that we see is never too large.

  constructor(words: Int32Array) {
    this.#words = words;
    this.#capacity = capacityOf(words);
    this.#tail = Atomics.load(words, TAIL);
    this.#headSeen = Atomics.load(words, HEAD);
  }

  /** How many slots were ever pushed, a count that wraps: a mark for `isPoppedTo`. */
  get pushed(): number {
    return this.#tail;
  }

  /** Whether the consumer has popped everything that was pushed before the mark. */
  isPoppedTo(mark: number): boolean {
    return ((Atomics.load(this.#words, HEAD) - mark) | 0) >= 0;
  }

  /** Slots that `push` would take of `count`. */
  room(count: number): number {
    let room = this.#capacity - ((this.#tail - this.#headSeen) | 0);
    if (room < count) {
      this.#headSeen = Atomics.load(this.#words, HEAD);
      room = this.#capacity - ((this.#tail - this.#headSeen) | 0);
    }
    return Math.min(count, room);
  }

  /** Pushes the first of `slots[from..from+count)` that fit; returns how many did. */
  push(slots: Int32Array, from: number, count: number): number {
    const words = this.#words;
    const mask = this.#capacity - 1;
    const tail = this.#tail;
    const pushed = this.room(count);
    for (let i = 0; i < pushed; i++) words[SLOTS + ((tail + i) & mask)] = slots[from + i]!;
    this.#tail = (tail + pushed) | 0;
    Atomics.store(words, TAIL, this.#tail);
    return pushed;
  }
}

export class RingConsumer {
  readonly #words: Int32Array;
  readonly #capacity: number;
  #head: number;
  #tailSeen: number; // At most the true tail.

  constructor(words: Int32Array) {
    this.#words = words;
    this.#capacity = capacityOf(words);
    this.#head = Atomics.load(words, HEAD);
    this.#tailSeen = Atomics.load(words, TAIL);
  }

  /** What lies in a ring now; what the consumer pops meanwhile may be in it or not. */
  static peek(words: Int32Array): Int32Array {
    const mask = capacityOf(words) - 1;
    const head = Atomics.load(words, HEAD);
    const filled = (Atomics.load(words, TAIL) - head) | 0;
    return Int32Array.from({ length: filled }, (_, i) => words[SLOTS + ((head + i) & mask)]!);
  }

  /** Pops up to `limit` slots into `slots[0..)`; returns how many. */
  pop(slots: Int32Array, limit: number): number {
    const popped = this.read(slots, limit);
    this.release(popped);
    return popped;
  }

  /** As `pop`, but the slots stay in the ring until `release`. */
  read(slots: Int32Array, limit: number): number {
    const words = this.#words;
    const mask = this.#capacity - 1;
    const head = this.#head;
    let filled = (this.#tailSeen - head) | 0;
    if (filled < limit) {
      this.#tailSeen = Atomics.load(words, TAIL);
      filled = (this.#tailSeen - head) | 0;
    }
    const count = Math.min(limit, filled);
    for (let i = 0; i < count; i++) slots[i] = words[SLOTS + ((head + i) & mask)]!;
    return count;
  }

  /** Takes the first `count` of those that were read out of the ring. */
  release(count: number): void {
    if (count === 0) return;
    this.#head = (this.#head + count) | 0;
    Atomics.store(this.#words, HEAD, this.#head);
  }

  /** How many slots were ever pushed, a count that wraps: a mark for `hasPoppedTo`. */
  pushed(): number {
    return Atomics.load(this.#words, TAIL);
  }

  /** How many slots were ever popped, a count that wraps. */
  get popped(): number {
    return this.#head;
  }

  /** Whether everything is popped that was pushed before the mark. */
  hasPoppedTo(mark: number): boolean {
    return ((this.#head - mark) | 0) >= 0;
  }

  /** Whether a pop would find nothing. */
  isEmpty(): boolean {
    this.#tailSeen = Atomics.load(this.#words, TAIL);
    return this.#tailSeen === this.#head;
  }
}
