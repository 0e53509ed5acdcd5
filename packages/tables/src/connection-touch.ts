/**
 * Brings the lines of memory near that a look-up of connections will read. A loop that does nothing
 * but such loads has many of them on their way at once, where look-ups one after the other wait for
 * each; with more connections than caches hold that is most of their time. Run by the workers.
 *
 * Nothing that is found here is certain: who looks up afterwards decides.
 */
import { ENTRY_WORDS, installedConnections } from "./connection-memory.ts";
import { zoneHash } from "./zone-hash.ts";

const { words, perBucket, places, indexAt, entriesAt } = installedConnections();
const placeMask = places - 1;
const BUCKET_SHIFT = 24;
const SECOND_LINE = ENTRY_WORDS / 2;
const NONE = -1;

/** Keeps the loads alive: what nobody uses is not compiled. */
const sink = new Int32Array(1);

/** Touches the index where a key's entry is noted; returns the place. */
export function touchIndex(flowHash: number, vniProtocol: number, portVersion: number): number {
  const hash = zoneHash(flowHash, vniProtocol, portVersion);
  const place = indexAt + (flowHash >>> BUCKET_SHIFT) * places + (hash & placeMask);
  sink[0]! ^= words[place]!;
  return place;
}

/** Touches the entry that is noted at a place; returns it, or -1. It can be another key's. */
export function touchEntry(flowHash: number, place: number): number {
  const noted = words[place]! & 0xffff;
  if (noted === 0) return NONE;
  const entry = (flowHash >>> BUCKET_SHIFT) * perBucket + noted - 1;
  const at = entriesAt + entry * ENTRY_WORDS;
  sink[0]! ^= words[at]! ^ words[at + SECOND_LINE]!;
  return entry;
}
