/**
 * What the first fragments said that passed: their ports, which the later fragments of a packet do
 * not carry. One a worker; run by the worker that owns the fragments' flow.
 *
 *   entry: [VNI << 8 | protocol, identification, source × 4, destination × 4, ports, remembered at]
 *
 * A place is found by the key's hash among WAYS neighbours, the oldest of which gives way: what is
 * lost so is a packet whose fragments are 30 seconds or some thousand packets apart.
 */
const SETS = 256;
const WAYS = 4;
const WORDS = 12;
const KEY_WORDS = 10;
const PORTS = 10;
const REMEMBERED_AT = 11;
/** RFC 791 and RFC 8200 §4.5 let a receiver wait longer; the rest comes at once or not at all. */
const LIFETIME_MS = 30_000;

export class Fragments {
  /** Key of the packet at hand, filled by the caller; of IPv4 addresses only the last word. */
  readonly key = new Int32Array(KEY_WORDS);
  readonly #words = new Int32Array(SETS * WAYS * WORDS);
  readonly #isUsed = new Uint8Array(SETS * WAYS);

  /** Remembers the ports (source << 16 | destination) of the fragments with this key. */
  remember(ports: number, nowMs: number): void {
    const words = this.#words;
    const first = this.#first();
    let place = this.#placeOf(first);
    if (place < 0) place = this.#oldest(first, nowMs);
    const at = place * WORDS;
    for (let i = 0; i < KEY_WORDS; i++) words[at + i] = this.key[i]!;
    words[at + PORTS] = ports;
    words[at + REMEMBERED_AT] = nowMs | 0;
    this.#isUsed[place] = 1;
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
    return (hash & (SETS - 1)) * WAYS;
  }

  #placeOf(first: number): number {
    const words = this.#words;
    for (let way = 0; way < WAYS; way++) {
      if (this.#isUsed[first + way] === 0) continue;
      const at = (first + way) * WORDS;
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
      if (this.#isUsed[first + way] === 0) return first + way;
      const age = ageOf(this.#words[(first + way) * WORDS + REMEMBERED_AT]!, nowMs);
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
