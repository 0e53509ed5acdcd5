/** What is held about names, as the writes that it is made of: how the oracle sees a store. */
import type { DiskRecord } from "@rhone/state/disk";
import { settle } from "@rhone/state/settle";
import type { Store } from "@rhone/state/store";
import { compareWrites, readWrite, type Write } from "@rhone/state/write";

/** Writes about one name, in their order, each once. */
export type Held = readonly Write[];
/** By kind and name. */
export type Holdings = Map<string, Held>;

export function keyOfRecord({ kind, name }: Pick<DiskRecord, "kind" | "name">): string {
  return `${kind}/${name}`;
}

/** Everything that a store holds. */
export function holdingsOf(store: Store): Holdings {
  const { portions } = store.behind({}, null, Number.POSITIVE_INFINITY);
  const writes = portions.flatMap(({ seal, texts }) => texts.map((text) => readWrite(text, seal)!));
  const holdings: Holdings = new Map();
  for (const [key, some] of Map.groupBy(writes, keyOfRecord)) {
    holdings.set(key, some.sort(compareWrites));
  }
  return holdings;
}

/** What both together amount to. */
export function join(a: Held, b: Held): Held {
  const known = new Set(a.map(({ hash }) => hash));
  const news = b.filter(({ hash }) => !known.has(hash));
  return news.length === 0 ? a : settle([...a, ...news]).writes;
}

/** Whether `part` says nothing that `whole` does not know or has outlived. */
export function isWithin(part: Held, whole: Held | undefined): boolean {
  if (part.length === 0) return true;
  return whole !== undefined && areSame(join(whole, part), whole);
}

export function areSame(a: Held, b: Held | undefined): boolean {
  return (
    b !== undefined &&
    a.length === b.length &&
    a.every(({ hash }, index) => hash === b[index]!.hash)
  );
}

export function isDeleted(held: Held): boolean {
  return settle(held).put === null;
}

export function describe(held: Held | undefined): string {
  if (held === undefined || held.length === 0) return "nothing";
  return held.map(({ text }) => text.slice(0, 160)).join(" and ");
}
