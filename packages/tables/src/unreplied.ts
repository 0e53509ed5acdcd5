/**
 * The connections of each bucket that have no reply yet, in the order they were made: the first is
 * what a full bucket gives up. So of a flood of first packets each takes one step to find what it
 * pushes out. Part of connections.ts, which alone calls it.
 *
 * A list goes through word 30 of the entries: number + 1 of the one before << 16 | of the one
 * behind, 0 none.
 */
import * as memory from "./connection-memory.ts";

const LINKS = 30;

const { words, perBucket, headsAt, entriesAt } = memory.installedConnections();

/** Entry number `number` of the bucket is the newest. */
export function append(bucket: number, number: number): void {
  const head = headsAt + bucket * memory.HEAD_WORDS;
  const newest = words[head + memory.HEAD_NEWEST]!;
  words[linksAt(bucket, number)] = newest << 16;
  linkBehind(bucket, newest, number + 1);
  words[head + memory.HEAD_NEWEST] = number + 1;
}

/** The entry is in the list no longer, in which it must be. */
export function remove(bucket: number, number: number): void {
  const links = words[linksAt(bucket, number)]!;
  const before = links >>> 16;
  const behind = links & 0xffff;
  linkBehind(bucket, before, behind);
  if (behind === 0) {
    words[headsAt + bucket * memory.HEAD_WORDS + memory.HEAD_NEWEST] = before;
    return;
  }
  const at = linksAt(bucket, behind - 1);
  words[at] = (words[at]! & 0xffff) | (before << 16);
}

/** Number of the oldest entry of the bucket, -1 when every one has a reply. */
export function oldest(bucket: number): number {
  return words[headsAt + bucket * memory.HEAD_WORDS + memory.HEAD_OLDEST]! - 1;
}

/** Makes `behind` follow `before`; both are numbers + 1. */
function linkBehind(bucket: number, before: number, behind: number): void {
  if (before === 0) {
    words[headsAt + bucket * memory.HEAD_WORDS + memory.HEAD_OLDEST] = behind;
    return;
  }
  const at = linksAt(bucket, before - 1);
  words[at] = (words[at]! & 0xffff0000) | behind;
}

function linksAt(bucket: number, number: number): number {
  return entriesAt + (bucket * perBucket + number) * memory.ENTRY_WORDS + LINKS;
}
