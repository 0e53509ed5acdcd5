/**
 * Numbers for names, the same at every chassis without an allocator.
 *
 * Every name wants the number that its hash says. When two want the same, the one that was created
 * first has it and the other takes the next free one; who was first is part of the replicated
 * state, so all chassis with the same state agree, and a later object never moves an earlier one.
 */
import { compareVersions, type Version } from "@rhone/state/record";

/** Numbers for switches and routers together: every VNI but 0. */
export const DATAPATH_KEYS = 2 ** 24 - 1;

export interface Claim {
  readonly name: string;
  readonly created: Version;
}

/**
 * A number from `first` to `first + count - 1` for each claim. Throws when there are not enough.
 */
export function assignKeys(
  claims: readonly Claim[],
  first: number,
  count: number,
): ReadonlyMap<string, number> {
  if (claims.length > count) {
    throw new RangeError(`expected at most ${count} names, got ${claims.length}`);
  }
  const inOrder = claims.toSorted(
    (a, b) => compareVersions(a.created, b.created) || (a.name < b.name ? -1 : 1),
  );
  const taken = new Set<number>();
  const keys = new Map<string, number>();
  for (const { name } of inOrder) {
    let offset = hashOf(name) % count;
    while (taken.has(offset)) offset = (offset + 1) % count;
    taken.add(offset);
    keys.set(name, first + offset);
  }
  return keys;
}

/** FNV-1a over the name's UTF-16 units, with a final mix for the low bits. */
function hashOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return (hash ^ (hash >>> 12)) >>> 0;
}
