/**
 * Keys for the stamps' tags, made from the cluster's key: for each direction between two tunnel
 * endpoints another one, and a new one each hour. Nobody hands them out, so both ends have them
 * before their first packet. HKDF with SHA-256 (RFC 5869).
 */
import { hkdfSync } from "node:crypto";
import type { EndpointKeys, KeyWords } from "@rhone/tables/endpoints";

/** Bytes of a cluster's key. */
export const CLUSTER_KEY_SIZE = 32;
export const EPOCH_MS = 3_600_000;
const KEY_SIZE = 16;
const MADE_MAX = 16_384; // Keys that are remembered; each is the same when it is made again.

/** The hour since 1970 that a wall clock shows. */
export function epochAt(timeMs: number): number {
  return Math.floor(timeMs / EPOCH_MS);
}

export class StampKeys {
  readonly #clusterKey: Uint8Array;
  readonly #made = new Map<string, KeyWords>();

  /** Of CLUSTER_KEY_SIZE bytes, the same at every chassis. */
  constructor(clusterKey: Uint8Array) {
    if (clusterKey.length !== CLUSTER_KEY_SIZE) {
      throw new RangeError(`expected a key of ${CLUSTER_KEY_SIZE} bytes, got ${clusterKey.length}`);
    }
    this.#clusterKey = clusterKey;
  }

  /** The keys of the endpoint `self` towards `peer`, both addresses in canonical text. */
  between(self: string, peer: string, epoch: number): EndpointKeys {
    return {
      send: this.#key(self, peer, epoch),
      receive: [
        this.#key(peer, self, epoch),
        this.#key(peer, self, epoch - 1),
        this.#key(peer, self, epoch + 1),
      ],
    };
  }

  #key(from: string, to: string, epoch: number): KeyWords {
    const info = `rhone stamp ${from} ${to} ${epoch}`;
    const known = this.#made.get(info);
    if (known !== undefined) return known;
    const bytes = Buffer.from(hkdfSync("sha256", this.#clusterKey, "", info, KEY_SIZE));
    const word = (index: number): number => bytes.readInt32LE(index * 4);
    const key: KeyWords = [word(0), word(1), word(2), word(3)];
    if (this.#made.size >= MADE_MAX) this.#made.clear();
    this.#made.set(info, key);
    return key;
  }
}
