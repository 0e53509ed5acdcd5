/**
 * What the first fragments said that passed: their ports, which the later fragments of a packet do
 * not carry. Shared memory of a chassis, split by bucket like its connections: run by the worker
 * that owns the fragments' flow, so that nothing is copied when the bucket moves.
 *
 *   place: [VNI << 8 | protocol, identification, source × 4, destination × 4, ports, remembered at,
 *           1 when it is used]
 *
 * A place is found by the key's hash among WAYS neighbours, the oldest of which gives way: what is
 * lost so is a packet whose fragments are 30 seconds or some hundred packets of its hosts apart.
 */
import { BUCKET_COUNT } from "@rhone/rings/buckets";

const SETS = 64; // Of each bucket.
const WAYS = 4;
const WORDS = 16;
/** Words of a key. */
export const KEY_WORDS = 10;
const PORTS = 10;
const REMEMBERED_AT = 11;
const IS_USED = 12;
/** RFC 791 and RFC 8200 §4.5 let a receiver wait longer; the rest comes at once or not at all. */
const LIFETIME_MS = 30_000;

/** Bytes of shared memory that the fragments of a chassis take. */
export const FRAGMENTS_SIZE = BUCKET_COUNT * SETS * WAYS * WORDS * 4;

export class Fragments {
  /** Key of the packet at hand, filled by the caller; of IPv4 addresses only the last word. */
  readonly key = new Int32Array(KEY_WORDS);
  /** Bucket of its flow as it is known without ports, filled by the caller, too. */
  bucket = 0;
  /** First fragments that were remembered by this view, as a count that wraps at 2³². */
  remembered = 0;
  readonly #words: Int32Array;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(FRAGMENTS_SIZE)) {
    this.#words = new Int32Array(buffer);
  }

  /** Remembers the ports (source << 16 | destination) of the fragments with this key. */
  remember(ports: number, nowMs: number): void {
    const words = this.#words;
    const first = this.#first();
    this.remembered = (this.remembered + 1) | 0;
    let place = this.#placeOf(first);
    if (place < 0) place = this.#oldest(first, nowMs);
    const at = place * WORDS;
    for (let i = 0; i < KEY_WORDS; i++) words[at + i] = this.key[i]!;
    words[at + PORTS] = ports;
    words[at + REMEMBERED_AT] = nowMs | 0;
    words[at + IS_USED] = 1;
  }

  /** Whether the first fragment with this key was seen; its ports are then `ports`. */
  recall(nowMs: number): boolean {
    const place = this.#placeOf(this.#first());
    if (place < 0) return false;
    const at = place * WORDS;
    if (ageOf(this.#words[at + REMEMBERED_AT]!, nowMs) > LIFETIME_MS) return false;
    this.ports = this.#words[at + PORTS]!;
    return true;
  }

  /** Of the last `recall` that was true. */
  ports = 0;

  #first(): number {
    let hash = 0;
    for (let i = 0; i < KEY_WORDS; i++) {
      hash = Math.imul(hash ^ this.key[i]!, 0x85ebca6b);
      hash ^= hash >>> 15;
    }
    return (this.bucket * SETS + (hash & (SETS - 1))) * WAYS;
  }

  #placeOf(first: number): number {
    const words = this.#words;
    for (let way = 0; way < WAYS; way++) {
      const at = (first + way) * WORDS;
      if (words[at + IS_USED] === 0) continue;
      let i = 0;
      while (i < KEY_WORDS && words[at + i] === this.key[i]) i++;
      if (i === KEY_WORDS) return first + way;
    }
    return -1;
  }

  #oldest(first: number, nowMs: number): number {
    let oldest = first;
    let oldestAge = -1;
    for (let way = 0; way < WAYS; way++) {
      const at = (first + way) * WORDS;
      if (this.#words[at + IS_USED] === 0) return first + way;
      const age = ageOf(this.#words[at + REMEMBERED_AT]!, nowMs);
      if (age > oldestAge) {
        oldest = first + way;
        oldestAge = age;
      }
    }
    return oldest;
  }
}

/** Unsigned: nobody sweeps, so that a place may have rested for more than 2³¹ milliseconds. */
function ageOf(rememberedAtMs: number, nowMs: number): number {
  return (nowMs - rememberedAtMs) >>> 0;
}
