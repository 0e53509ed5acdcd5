/**
 * Tunnel endpoints: the other chassis, by row.
 *
 *   row: [address word 0–3, short id, has keys, key to send with word 0–3,
 *         keys to receive with 0–2 × word 0–3]
 */
import type { AddressWords } from "./ports.ts";
import { buildRows, Rows } from "./row-table.ts";

/** Keys that a receiver accepts: of the epoch of now, the one before and the one behind. */
export const RECEIVE_KEYS = 3;
export const KEY_WORDS = 4;

const SHORT_ID = 4;
const HAS_KEYS = 5;
const SEND_KEY = 6;
const RECEIVE_KEY = SEND_KEY + KEY_WORDS;
const WIDTH = RECEIVE_KEY + RECEIVE_KEYS * KEY_WORDS;

/** 128 bits as four 32-bit words, the least significant first. */
export type KeyWords = readonly [number, number, number, number];

export interface EndpointKeys {
  readonly send: KeyWords;
  /** The one to try first is the first. */
  readonly receive: readonly [KeyWords, KeyWords, KeyWords];
}

export interface Endpoint {
  readonly address: AddressWords;
  /** 16-bit number of the chassis, as in the stamp. */
  readonly shortId: number;
  /** Of the stamps' tags; null when the cluster has no key, and stamps no tag. */
  readonly keys: EndpointKeys | null;
}

/** The table's words. */
export function buildEndpoints(endpoints: readonly Endpoint[]): Int32Array {
  return buildRows(
    WIDTH,
    endpoints.map(({ address, shortId, keys }) => {
      const words =
        keys === null
          ? Array.from({ length: WIDTH - SEND_KEY }, () => 0)
          : [...keys.send, ...keys.receive.flat()];
      return [...address, shortId, keys === null ? 0 : 1, ...words];
    }),
  );
}

export class Endpoints {
  readonly #rows: Rows;

  constructor(words: Int32Array) {
    this.#rows = new Rows(WIDTH, words);
  }

  get count(): number {
    return this.#rows.count;
  }

  /** Writes the address of `row` to `target[at..at+4)`. */
  copyAddress(row: number, target: Int32Array, at: number): void {
    const from = this.#rows.at(row);
    for (let i = 0; i < 4; i++) target[at + i] = this.#rows.words[from + i]!;
  }

  /** The row of the chassis with a short id, -1 when there is none; looks through all. */
  rowOf(shortId: number): number {
    for (let row = 0; row < this.count; row++) if (this.shortId(row) === shortId) return row;
    return -1;
  }

  shortId(row: number): number {
    return this.#word(row, SHORT_ID);
  }

  hasKeys(row: number): boolean {
    return this.#word(row, HAS_KEYS) !== 0;
  }

  /** Word 0–3 of the key for stamps to this endpoint. */
  sendKey(row: number, word: number): number {
    return this.#word(row, SEND_KEY + word);
  }

  /** Word 0–3 of key `number` for stamps from this endpoint. */
  receiveKey(row: number, number: number, word: number): number {
    return this.#word(row, RECEIVE_KEY + number * KEY_WORDS + word);
  }

  #word(row: number, word: number): number {
    return this.#rows.words[this.#rows.at(row) + word]!;
  }
}
