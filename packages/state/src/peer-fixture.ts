/** For tests: what a peer passes on. */
import type { Version } from "./record.ts";
import type { Fields } from "./registers.ts";
import type { Kind } from "./schema.ts";
import { seal } from "./seal.ts";
import type { Signer } from "./signer.ts";
import type { Store } from "./store.ts";
import { type Portion, putText } from "./write.ts";

/** All that `store` holds, in one page. */
export function everythingOf(store: Store): readonly Portion[] {
  return store.behind({}, null, Number.POSITIVE_INFINITY).portions;
}

/** A peer's transaction that puts one document, which may be of any shape. */
export function put(version: Version, document: Fields, signer: Signer | null = null): Portion[] {
  const { kind, name } = document;
  const text = putText(version, kind as Kind, String(name), document);
  return seal(version, 0, [text], signer);
}
