/** The store's twin without a disk, for tests and tools. */
import { Replica, type ReplicaOptions } from "./replica.ts";
import type { Store } from "./store.ts";

/** An empty store. `origin` is the name of the chassis whose changes it makes. */
export function createMemoryStore(
  origin: string,
  options: Partial<Omit<ReplicaOptions, "origin">> = {},
): Store {
  return new Replica({ origin, disk: { write() {}, close() {} }, ...options });
}
