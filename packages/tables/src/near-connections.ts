/**
 * Brings the connections of a batch near before anybody works on it. A look-up that misses the
 * cache waits for memory, one packet after the other; reads that depend on nothing overlap. What is
 * read here are guesses that change nothing: `connections.find` looks itself. Run by the workers.
 */
import { bucketOf } from "@rhone/rings/buckets";
import * as memory from "./connection-memory.ts";

/** Connections of a bucket from which on they are too many for the cache. */
const MANY = 32;
const ENTRY_SHIFT = 5;
const NOTHING_AT = 0; // A word that is always there.

const { words, perBucket, places, headsAt, indexAt, entriesAt } = memory.installedConnections();
const placeMask = places - 1;
const placesShift = 31 - Math.clz32(places);
/** Where the sums go: reads whose result nobody keeps are left out by the compiler. */
const sink = new Int32Array(1);

/** Whether so many connections are in use, as the bucket of one flow tells, that it is worth it. */
export function areMany(flowHash: number): boolean {
  const head = headsAt + bucketOf(flowHash) * memory.HEAD_WORDS;
  return words[head + memory.HEAD_IN_USE]! > MANY;
}

/** The word of the index where a flow is looked up first; the key's words as in connections.ts. */
export function placeOf(flowHash: number, vniProtocol: number, portVersion: number): number {
  const hash = memory.zoneHash(flowHash, vniProtocol, portVersion);
  return indexAt + bucketOf(flowHash) * places + (hash & placeMask);
}

/** The first word of the entry that a place of the index names. */
export function entryAt(place: number): number {
  const number = words[place]! & 0xffff;
  if (number === 0) return NOTHING_AT;
  const bucket = (place - indexAt) >> placesShift;
  return entriesAt + ((bucket * perBucket + number - 1) << ENTRY_SHIFT);
}

/** Decision word 0–7 of the entry at a word of the table. */
export function decisionAt(entry: number, word: number): number {
  return words[entry + memory.DECISIONS + word]!;
}

/** Reads the words, each in a cache line of its own. */
export function fetch(ats: Int32Array, count: number): void {
  sink[0] = sumOf(ats, count);
}

/** A loop of its own, with its sum in a register: it is as fast as the memory only so. */
function sumOf(ats: Int32Array, count: number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum ^= words[ats[i]!]!;
  return sum;
}
