/**
 * For tests: chassis on this machine whose nats-servers have hubs, each with all that speaks to
 * others: server, links, membership, placement and replicator. They die and come back.
 */

import { rmSync } from "node:fs";
import { createMemoryStore } from "@rhone/state/memory-store";
import type { Store } from "@rhone/state/store";
import { IdentityFixture } from "./identity/identity-fixture.ts";
import type { MemberAddress } from "./identity/messages.ts";
import { Membership } from "./membership/membership.ts";
import { freePorts, INTERVAL_MS, makeDirectory, waitUntil } from "./nats-cluster-fixture.ts";
import type { LayoutRules } from "./nats-layout.ts";
import { type NatsPeer, NatsPlacement } from "./nats-placement.ts";
import { NatsServer } from "./nats-server.ts";
import { NatsTransport } from "./nats-transport.ts";
import { FallbackTransport } from "./peer-link/fallback-transport.ts";
import { PeerLinks } from "./peer-link/peer-links.ts";
import { Refusals } from "./refusals.ts";
import { Replicator } from "./replicator.ts";
import { setRealTimer } from "./transport.ts";

const STEADY_MS = 3000;
const SPEAK_INTERVAL_MS = 20;
const now = (): number => performance.now();

export interface HubChassis {
  readonly name: string;
  readonly store: Store;
  readonly server: NatsServer;
  readonly placement: NatsPlacement;
  readonly membership: Membership;
  readonly nats: NatsTransport;
  readonly transport: FallbackTransport;
  readonly replicator: Replicator;
}

export class HubCluster {
  readonly living = new Map<string, HubChassis>();
  readonly identities: IdentityFixture;
  /** How many chassis all of them say that there are. */
  #count: number;
  readonly #rules: LayoutRules;
  readonly #members: readonly MemberAddress[];
  readonly #directory = makeDirectory();
  #clientPorts = new Map<string, number>();
  #peers: NatsPeer[] = [];
  #linkPort = 0;

  constructor(count: number, rules: LayoutRules) {
    this.#count = count;
    this.#rules = rules;
    this.#members = Array.from({ length: count }, (_, index) => ({
      name: `c${index + 1}`,
      underlay: `127.0.0.${index + 1}`,
    }));
    this.identities = new IdentityFixture(this.#members, Date.now());
  }

  get names(): string[] {
    return this.#members.map(({ name }) => name);
  }

  addressOf(name: string): string {
    return this.#members.find((member) => member.name === name)!.underlay;
  }

  async start(): Promise<void> {
    const [linkPort, route, leaf, ...clientPorts] = await freePorts(3 + this.#members.length);
    this.#linkPort = linkPort!;
    this.#peers = this.#members.map(({ name, underlay: address }) => {
      return { name, route: { address, port: route! }, leaf: { address, port: leaf! } };
    });
    this.#clientPorts = new Map(this.names.map((name, index) => [name, clientPorts[index]!]));
    await Promise.all(this.names.map((name) => this.add(name)));
  }

  /** Starts a chassis, with nothing of what it knew when it lived before. */
  async add(name: string): Promise<HubChassis> {
    const underlay = this.addressOf(name);
    const identity = () => this.identities.identity(name);
    const refusals = new Refusals({ now });
    const timing = { now, wallClock: Date.now, random: Math.random, setTimer: setRealTimer };
    const links = new PeerLinks({
      ...{ identity, address: underlay, port: this.#linkPort, refusals },
      ...timing,
    });
    await links.start();
    const clientPort = this.#clientPorts.get(name)!;
    const nats = new NatsTransport({ name, port: clientPort, identity });
    const transport = new FallbackTransport({ nats, links, ...timing });
    const send = transport.sendTo.bind(transport);
    const incarnation = Date.now();
    const membership = new Membership({ name, incarnation, transport, send, refusals, ...timing });
    membership.setKnown(this.names);
    links.setPeers(this.#members);
    const peers = this.#peers.filter((peer) => peer.name !== name);
    const placement = new NatsPlacement({
      ...{ name, rules: this.#rules, steadyMs: STEADY_MS, ...timing },
      look: () => ({
        ...{
          count: this.#count,
          peers,
          routes: peers.map(({ route }) => route),
          layouts: [],
        },
        memberOf: (peer) => membership.members().find((member) => member.name === peer),
      }),
    });
    membership.onStatus(() => placement.update());
    const self = this.#peers.find((peer) => peer.name === name)!;
    const server = new NatsServer({
      ...{ name, clientPort, underlay, directory: this.#directory, identity },
      ...{ clusterPort: self.route.port, leafPort: self.leaf.port, place: placement.place },
    });
    placement.onPlace((place) => server.reload(place));
    const store = createMemoryStore(name);
    const replicator = new Replicator({
      ...{ store, transport, self: { name, incarnation, underlay }, intervalMs: INTERVAL_MS },
      ...timing,
    });
    const chassis = { name, store, server, placement, membership, nats, transport, replicator };
    this.living.set(name, chassis);
    await server.start();
    return chassis;
  }

  /** Lets all believe that there are so many chassis. */
  resize(count: number): void {
    this.#count = count;
    for (const { placement } of this.living.values()) placement.update();
  }

  /** Ends a chassis without a word to the others. */
  async die(name: string): Promise<void> {
    const { server, placement, membership, transport, replicator, store } = this.living.get(name)!;
    this.living.delete(name);
    const { pid } = server.state;
    placement.stop();
    membership.stop();
    replicator.stop();
    const stopped = server.stop();
    if (pid !== null) process.kill(pid, "SIGKILL");
    await Promise.all([transport.close(), stopped]);
    store.close();
  }

  put(name: string, what: string): void {
    const document = { kind: "switch", name: what };
    const { store } = this.living.get(name)!;
    const result = store.transact([{ op: "put", document }], "user");
    if (!result.ok) throw new Error(result.error.message);
  }

  /** The names of the hubs, if all who live have the same ones. */
  get hubs(): readonly string[] | null {
    const each = [...this.living.values()].map(({ placement }) => placement.view.hubs);
    const agree = each.every((hubs) => hubs.join() === each[0]!.join());
    return agree ? each[0]! : null;
  }

  /** Has all who live speak over NATS alone; what ends that tells the longest silence, ms. */
  listen(): () => number {
    const all = [...this.living.values()];
    const lastMs = new Map<string, number>();
    let longestMs = 0;
    const ends = all.map(({ name, nats }) =>
      nats.subscribe("spoken.*", (_data, _respond, subject) => {
        const pair = `${name} ${subject}`;
        longestMs = Math.max(longestMs, now() - (lastMs.get(pair) ?? now()));
        lastMs.set(pair, now());
      }),
    );
    const timer = setInterval(() => {
      for (const { name, nats } of all) nats.publish(`spoken.${name}`, Uint8Array.of(1));
    }, SPEAK_INTERVAL_MS).unref();
    return () => {
      clearInterval(timer);
      for (const end of ends) end();
      return Math.round(longestMs);
    };
  }

  /** Waits until those who live hear each other over NATS, both ways; milliseconds. */
  heard(withinMs: number): Promise<number> {
    const all = [...this.living.values()];
    return waitUntil("all hear each other over NATS", withinMs, () => {
      return all.every(({ name, transport: { paths } }) => {
        const heard = paths.filter(({ hearsUs, isHeard }) => hearsUs && isHeard);
        const names = heard.map((path) => path.name);
        return all.every((other) => other.name === name || names.includes(other.name));
      });
    });
  }

  /** Waits until those who live have so many switches, the same ones; milliseconds. */
  converged(switchCount: number, withinMs: number): Promise<number> {
    return waitUntil(`all have ${switchCount} switches`, withinMs, () => {
      const all = [...this.living.values()];
      const hashes = new Set(all.map(({ replicator }) => replicator.hash));
      const isFull = all.every(({ store }) => store.snapshot().switches.length === switchCount);
      return hashes.size === 1 && isFull;
    });
  }

  async stop(): Promise<void> {
    await Promise.all([...this.living.keys()].map((name) => this.die(name)));
    rmSync(this.#directory, { recursive: true });
    this.identities.remove();
  }
}
