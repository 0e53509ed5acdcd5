/**
 * Where the other chassis are, from all that is known: the configuration, what the authority said
 * at the join, and the chassis documents that peers have announced since. Runs on the control
 * thread.
 */
import type { Endpoint } from "@rhone/gossip/nats-layout";
import type { NatsPeer } from "@rhone/gossip/nats-placement";
import type { Store } from "@rhone/state/store";
import type { Config } from "./config.ts";

export interface PeerAddress {
  readonly name: string;
  readonly underlay: string;
}

export class PeerAddresses {
  readonly #config: Config;
  readonly #joined: readonly PeerAddress[];
  readonly #store: Store;

  /** `joined` are those that the authority named. */
  constructor(config: Config, joined: readonly PeerAddress[], store: Store) {
    this.#config = config;
    this.#joined = joined;
    this.#store = store;
  }

  /** Every other chassis whose name is known, by name; what it announced itself counts most. */
  named(): PeerAddress[] {
    const known = new Map(this.#joined.map((peer) => [peer.name, peer]));
    for (const { name, value } of this.#store.snapshot().chassis) {
      known.set(name, { name, underlay: value.underlay });
    }
    known.delete(this.#config.name);
    return [...known.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** The same, with where their nats-servers take connections. */
  servers(): NatsPeer[] {
    const { routePort, leafPort } = this.#config.nats;
    return this.named().map(({ name, underlay: address }) => {
      return { name, route: { address, port: routePort }, leaf: { address, port: leafPort } };
    });
  }

  /** Where the nats-servers of all other chassis take routes. */
  routes(): Endpoint[] {
    const { nats, underlay } = this.#config;
    const addresses = new Set([...nats.peers, ...this.named().map((peer) => peer.underlay)]);
    addresses.delete(underlay);
    return [...addresses].sort().map((address) => ({ address, port: nats.routePort }));
  }

  /** Calls `listener` when there are other addresses than before. Returns what ends that. */
  onChange(listener: () => void): () => void {
    const known = (): string => JSON.stringify([this.named(), this.routes()]);
    let before = known();
    return this.#store.onChange((entries) => {
      if (!entries.some(({ kind }) => kind === "chassis")) return;
      const after = known();
      if (after === before) return;
      before = after;
      listener();
    });
  }
}
