/** What a chassis answers to those who lack something. Runs on the control thread. */
import type { Page, Vector } from "@rhone/state/ledger";
import type { Store } from "@rhone/state/store";
import {
  type BucketsRequestMessage,
  type Message,
  PAGE_SIZE_MAX,
  type SumsRequestMessage,
  type SyncRequestMessage,
} from "./codec.ts";
import { covers } from "./convergence.ts";

/** Makes answers in the name of `self`; `certificatesOf` those that who asks may need. */
export function answerTo(
  request: SyncRequestMessage | SumsRequestMessage | BucketsRequestMessage,
  self: string,
  store: Store,
  certificatesOf: (ids: ReadonlySet<string>) => string[],
): Message {
  const { root: hash } = store;
  const pageOf = (page: Page) => {
    const signers = new Set(page.portions.map(({ seal }) => seal.signer));
    return { ...page, certificates: certificatesOf(signers) };
  };
  switch (request.type) {
    case "sums-request":
      return { type: "sums-reply", from: self, sums: store.sums() };
    case "buckets-request": {
      const buckets = new Set(request.buckets);
      const page = pageOf(store.inBuckets(buckets, request.after, PAGE_SIZE_MAX));
      return { type: "sync-reply", from: self, ...page, vector: {}, isBehind: false, hash };
    }
    case "sync-request": {
      const { isPartial, vector: theirs, after } = request;
      const { vector: ours } = store;
      // Of whom nothing is asked, nothing is lacking.
      const held = isPartial ? { ...ours, ...theirs } : theirs;
      const page = pageOf(store.behind(held, after, PAGE_SIZE_MAX));
      const vector = beyond(ours, held);
      const isBehind = !covers(ours, theirs);
      return { type: "sync-reply", from: self, ...page, vector, isBehind, hash };
    }
  }
}

/** What of `vector` is later than what `held` has. */
function beyond(vector: Vector, held: Vector): Vector {
  const later = Object.entries(vector).filter(([origin, clock]) => {
    return clock > (Object.hasOwn(held, origin) ? held[origin]! : 0);
  });
  return Object.fromEntries(later);
}
