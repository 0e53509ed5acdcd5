/**
 * How the nats-servers of a cluster hang together, decided by each chassis for itself from what all
 * of them know. Pure; run by the control thread.
 *
 *   mesh   each server has a route to every other; a message takes one hop
 *   hubs   a few chassis do, and each other server is a leaf of one of them; at most three hops
 *
 * A mesh needs routes as the square of its size. Leaves cost nothing beside their own connection,
 * but the hubs have to be agreed on. So nothing here depends on the order of events: hubs are the
 * living chassis with the greatest hash, and a leaf goes to the hub with the greatest hash of both
 * (rendezvous hashing), so that a hub that goes away moves its own leaves and no others.
 *
 * Two things do depend on what was before, or the cluster would swing. Between two sizes the layout
 * stays as it is: as the chassis say in their documents, which also tells those that come. And one
 * that returns from the dead becomes a hub again only when it has lived for a while.
 */
import { hash } from "node:crypto";
import { compareText } from "@rhone/state/record";

export type Layout = "mesh" | "hubs";

/** The same at all chassis. */
export interface LayoutRules {
  /** A cluster of more chassis has hubs. */
  readonly meshMax: number;
  readonly hubCount: number;
}

export const DEFAULT_RULES: LayoutRules = { meshMax: 32, hubCount: 5 };

/** A cluster with hubs that shrinks below that part of `meshMax` becomes a mesh again. */
const MESH_AGAIN = 0.75;

/** With fewer of today's hubs to go to, a leaf begins anew with another list of them. */
const HUBS_LEFT_MIN = 2;

/** Where a server takes connections of other servers. */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** Where a server stands among the others, and whom it connects to: names, or endpoints. */
export type Place<T = Endpoint> =
  | { readonly role: "mesh" | "hub"; readonly routes: readonly T[] }
  | {
      readonly role: "leaf";
      /** One of them at a time: the first that it reaches. */
      readonly hubs: readonly T[];
      /** Those that become hubs when hubs die. They refuse leaves until then. */
      readonly standIns: readonly T[];
    };

export interface Chassis {
  /** Names of all, with our own. */
  readonly known: readonly string[];
  /** Those that are not dead. */
  readonly living: readonly string[];
  /** Those of them that have not just come back. */
  readonly steady: readonly string[];
}

/** The layout for so many chassis, of which some say which one they have. */
export function layoutOf(count: number, said: readonly Layout[], { meshMax }: LayoutRules): Layout {
  if (count > meshMax) return "hubs";
  if (count < meshMax * MESH_AGAIN) return "mesh";
  const hubsCount = said.filter((layout) => layout === "hubs").length;
  return hubsCount * 2 > said.length ? "hubs" : "mesh";
}

/** The hubs: `steady` ones, and others that live when those are too few. By name. */
export function hubsOf({ steady, living }: Omit<Chassis, "known">, count: number): string[] {
  const rest = living.filter((name) => !steady.includes(name));
  const chosen = [...ranked(steady, ""), ...ranked(rest, "")].slice(0, count);
  return chosen.sort(compareText);
}

/** Where the chassis `self` stands in a cluster that has hubs. */
export function placeAmongHubs(
  self: string,
  chassis: Chassis,
  { hubCount }: LayoutRules,
): Place<string> {
  const { known, living } = chassis;
  const hubs = hubsOf(chassis, hubCount);
  if (!hubs.includes(self)) {
    const others = known.filter((name) => name !== self && !hubs.includes(name));
    const standIns = ranked(others, "").slice(0, hubCount);
    return { role: "leaf", hubs: ranked(hubs, self), standIns };
  }
  // Those that come back are hubs already by their own account, and so is the other side when a
  // partition ends: without routes to them it would last until all agree.
  const all = new Set([...hubs, ...hubsOf({ steady: living, living }, hubCount)]);
  all.delete(self);
  return { role: "hub", routes: [...all].sort(compareText) };
}

/** The same place, of the endpoints that `toEndpoint` has; names without one are left out. */
export function mapPlace<T>(
  place: Place<string>,
  toEndpoint: (name: string) => T | undefined,
): Place<T> {
  const map = (names: readonly string[]): T[] => {
    return names.map(toEndpoint).filter((found) => found !== undefined);
  };
  if (place.role !== "leaf") return { role: place.role, routes: map(place.routes) };
  return { role: "leaf", hubs: map(place.hubs), standIns: map(place.standIns) };
}

/**
 * Whether a server has to start anew to get from one place to another. nats-server 2.9 takes routes
 * in while it runs, but neither another role nor another list of hubs; a list that still has enough
 * of the hubs in it will do.
 */
export function needsRestart(from: Place, to: Place): boolean {
  if (from.role !== "leaf" || to.role !== "leaf") return from.role !== to.role;
  const listed = new Set([...from.hubs, ...from.standIns].map(textOf));
  const leftCount = to.hubs.filter((hub) => listed.has(textOf(hub))).length;
  return leftCount < Math.min(HUBS_LEFT_MIN, to.hubs.length);
}

function textOf({ address, port }: Endpoint): string {
  return `${address} ${port}`;
}

/** By the hash of each with `key`, the greatest first. */
function ranked(names: readonly string[], key: string): string[] {
  return names
    .map((name) => ({ name, weight: hash("sha256", `${key}/${name}`) }))
    .sort((a, b) => compareText(b.weight, a.weight))
    .map(({ name }) => name);
}
