/**
 * The desired state of the whole router at one revision: immutable, without tombstones, complete
 * (every default is filled in). Made by the store; read by compile, the API and the validation.
 */
import type { Access } from "./access.ts";
import type { Acl } from "./acl.ts";
import type { Audit } from "./audit.ts";
import type { Dataplane } from "./dataplane.ts";
import type { Gateway } from "./gateway.ts";
import type { LoadBalancer } from "./load-balancer.ts";
import { compareText, type Entry, isLive, type LiveEntry } from "./record.ts";
import type {
  Binding,
  Chassis,
  Kind,
  Port,
  Resource,
  ResourceOf,
  Router,
  Switch,
} from "./schema.ts";

export interface State {
  /** The highest clock seen: grows with every change, whoever made it. */
  readonly revision: number;
  // Each list is sorted by name.
  readonly switches: readonly LiveEntry<Switch>[];
  readonly routers: readonly LiveEntry<Router>[];
  readonly ports: readonly LiveEntry<Port>[];
  readonly acls: readonly LiveEntry<Acl>[];
  readonly loadBalancers: readonly LiveEntry<LoadBalancer>[];
  readonly gateways: readonly LiveEntry<Gateway>[];
  readonly dataplanes: readonly LiveEntry<Dataplane>[];
  readonly chassis: readonly LiveEntry<Chassis>[];
  readonly bindings: readonly LiveEntry<Binding>[];
  readonly access: readonly LiveEntry<Access>[];
  readonly audits: readonly LiveEntry<Audit>[];
}

export const EMPTY_STATE: State = {
  revision: 0,
  switches: [],
  routers: [],
  ports: [],
  acls: [],
  loadBalancers: [],
  gateways: [],
  dataplanes: [],
  chassis: [],
  bindings: [],
  access: [],
  audits: [],
};

const LISTS = {
  switch: "switches",
  router: "routers",
  port: "ports",
  acl: "acls",
  "load-balancer": "loadBalancers",
  gateway: "gateways",
  dataplane: "dataplanes",
  chassis: "chassis",
  binding: "bindings",
  access: "access",
  audit: "audits",
} as const satisfies Record<Kind, keyof State>;

/** All entries of one kind, sorted by name. */
export function list<K extends Kind>(state: State, kind: K): readonly LiveEntry<ResourceOf<K>>[] {
  return state[LISTS[kind]] as readonly LiveEntry<Resource>[] as readonly LiveEntry<
    ResourceOf<K>
  >[];
}

/** The entry of that name, undefined when there is none. */
export function get<K extends Kind>(
  state: State,
  kind: K,
  name: string,
): LiveEntry<ResourceOf<K>> | undefined {
  const entries = list(state, kind);
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareText(entries[middle]!.name, name) < 0) low = middle + 1;
    else high = middle;
  }
  return entries[low]?.name === name ? entries[low] : undefined;
}

/** `state` with `entries` in place of those of the same kind and name. At most one entry a name. */
export function withEntries(state: State, revision: number, entries: readonly Entry[]): State {
  const next: { -readonly [list in keyof State]: State[list] } = { ...state, revision };
  for (const [kind, changed] of Map.groupBy(entries, (entry) => entry.kind)) {
    const sorted = changed.toSorted((a, b) => compareText(a.name, b.name));
    Object.assign(next, { [LISTS[kind]]: mergeSorted(list(state, kind), sorted) });
  }
  return next;
}

function mergeSorted(old: readonly LiveEntry[], changed: readonly Entry[]): LiveEntry[] {
  const merged: LiveEntry[] = [];
  let at = 0;
  for (const entry of changed) {
    while (at < old.length && old[at]!.name < entry.name) merged.push(old[at++]!);
    if (old[at]?.name === entry.name) at++;
    if (isLive(entry)) merged.push(entry);
  }
  while (at < old.length) merged.push(old[at++]!);
  return merged;
}
