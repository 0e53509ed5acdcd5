/**
 * Keeps the place of a chassis' nats-server among the others (nats-layout.ts) up to date with who
 * there is and who lives. Runs on the control thread.
 */
import type { Member } from "./membership/claim.ts";
import {
  type Endpoint,
  hubsOf,
  type Layout,
  type LayoutRules,
  layoutOf,
  mapPlace,
  type Place,
  placeAmongHubs,
} from "./nats-layout.ts";
import type { SetTimer } from "./transport.ts";

/** Chassis that die or come at the same time are one reason to move. */
const GATHER_MS = 200;
/** How long one has to live again before it becomes a hub again. */
const STEADY_MS = 30_000;

/** Another chassis, and where its nats-server takes connections. */
export interface NatsPeer {
  readonly name: string;
  readonly route: Endpoint;
  readonly leaf: Endpoint;
}

/** What there is to know of the cluster now. */
export interface NatsSurroundings {
  /** Of all chassis, ourselves included, as nearly the same everywhere as can be. */
  readonly count: number;
  readonly peers: readonly NatsPeer[];
  /** Where a mesh takes routes: of the peers, and of chassis whose names are not known yet. */
  readonly routes: readonly Endpoint[];
  /** What each chassis, ourselves included, says that the cluster's layout is. */
  readonly layouts: readonly Layout[];
  /** Undefined of a peer of which nothing is known: it is taken to live. */
  readonly memberOf: (name: string) => Pick<Member, "status" | "heardMs"> | undefined;
}

export interface NatsPlacementOptions {
  readonly name: string;
  /** Without them there is a mesh, however large. */
  readonly rules: LayoutRules | null;
  readonly look: () => NatsSurroundings;
  /** Milliseconds of a clock that never steps. */
  readonly now: () => number;
  readonly setTimer: SetTimer;
  readonly steadyMs?: number;
}

export interface NatsPlacementView {
  readonly layout: Layout;
  readonly role: Place["role"];
  /** By name; none in a mesh. */
  readonly hubs: readonly string[];
}

interface Decision extends NatsPlacementView {
  readonly place: Place;
}

export class NatsPlacement {
  readonly #options: NatsPlacementOptions;
  readonly #listeners = new Set<(place: Place) => void>();
  /** Since when each peer has lived; of those that were never seen dead, for ever. */
  readonly #livesSinceMs = new Map<string, number>();
  /** Those that were heard while they lived. */
  readonly #heard = new Set<string>();
  #decision: Decision;
  #cancelGathering: (() => void) | null = null;
  #cancelWaiting: () => void = () => {};
  #isStopped = false;

  constructor(options: NatsPlacementOptions) {
    this.#options = options;
    this.#decision = this.#decide();
  }

  get place(): Place {
    return this.#decision.place;
  }

  get view(): NatsPlacementView {
    const { layout, role, hubs } = this.#decision;
    return { layout, role, hubs };
  }

  /** Calls `listener` with each new place; returns what ends that. */
  onPlace(listener: (place: Place) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Something may be other than it was: it is looked at in a moment. */
  update(): void {
    if (this.#isStopped) return;
    this.#cancelGathering ??= this.#options.setTimer(() => {
      this.#cancelGathering = null;
      this.#move();
    }, GATHER_MS);
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelGathering?.();
    this.#cancelWaiting();
  }

  #move(): void {
    const before = JSON.stringify(this.#decision);
    this.#decision = this.#decide();
    this.#waitForSteady();
    if (JSON.stringify(this.#decision) === before) return;
    for (const listener of this.#listeners) listener(this.place);
  }

  #decide(): Decision {
    const { name: self, rules, look } = this.#options;
    const { count, peers, routes, layouts, memberOf } = look();
    const living = peers
      .map(({ name }) => name)
      .filter((name) => this.#lives(name, memberOf(name)));
    const layout = rules === null ? "mesh" : layoutOf(count, layouts, rules);
    if (rules === null || layout === "mesh") {
      return { layout, role: "mesh", hubs: [], place: { role: "mesh", routes } };
    }
    const steady = living.filter((name) => this.#isSteady(name));
    const chassis = {
      known: [self, ...peers.map(({ name }) => name)],
      living: [self, ...living],
      steady: [self, ...steady],
    };
    const named = placeAmongHubs(self, chassis, rules);
    const byName = new Map(peers.map((peer) => [peer.name, peer]));
    const place = mapPlace(
      named,
      (name) => byName.get(name)?.[named.role === "leaf" ? "leaf" : "route"],
    );
    return { layout, role: named.role, hubs: hubsOf(chassis, rules.hubCount), place };
  }

  /** Remembers what it finds. Who comes for the first time, as all do at first, does not return. */
  #lives(name: string, member: ReturnType<NatsSurroundings["memberOf"]>): boolean {
    if (member?.status === "dead") {
      this.#livesSinceMs.delete(name);
      return false;
    }
    if (!this.#livesSinceMs.has(name)) {
      const isBack = this.#heard.has(name);
      this.#livesSinceMs.set(name, isBack ? this.#options.now() : Number.NEGATIVE_INFINITY);
    }
    if (member !== undefined && member.heardMs !== null) this.#heard.add(name);
    return true;
  }

  #steadyAtMs(name: string): number {
    const { steadyMs = STEADY_MS } = this.#options;
    return this.#livesSinceMs.get(name)! + steadyMs;
  }

  #isSteady(name: string): boolean {
    return this.#options.now() >= this.#steadyAtMs(name);
  }

  /** Looks again when the next one has lived for long enough. */
  #waitForSteady(): void {
    this.#cancelWaiting();
    const nowMs = this.#options.now();
    const times = [...this.#livesSinceMs.keys()].map((name) => this.#steadyAtMs(name));
    const nextMs = Math.min(...times.filter((atMs) => atMs > nowMs));
    if (nextMs === Number.POSITIVE_INFINITY) return;
    this.#cancelWaiting = this.#options.setTimer(() => this.update(), nextMs - nowMs);
  }
}
