/** For tests: some chassis on this machine, each with a nats-server, a store and a replicator. */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { createMemoryStore } from "@rhone/state/memory-store";
import type { Store } from "@rhone/state/store";
import { NatsServer } from "./nats-server.ts";
import type { NatsIdentity } from "./nats-tls.ts";
import { NatsTransport } from "./nats-transport.ts";
import { assertPortIsFree } from "./port-holder.ts";
import { Replicator } from "./replicator.ts";
import { setRealTimer, type Transport } from "./transport.ts";

const LOOPBACK = "127.0.0.1";
/** Below the ports that the kernel gives to clients, which come and go. */
const PORT_MIN = 20_000;
const PORT_COUNT = 12_000;
/** Of the replicators: shorter than in earnest, so that tests are. */
export const INTERVAL_MS = 300;

export interface Chassis {
  readonly name: string;
  readonly server: NatsServer;
  readonly nats: NatsTransport;
  /** The same, or what it is a part of. */
  readonly transport: Transport;
  readonly store: Store;
  readonly replicator: Replicator;
}

/** Ports that nobody listens on, and that tests in other processes do not choose. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  for (let offset = (process.pid * 32) % PORT_COUNT; ports.length < count; offset++) {
    const port = PORT_MIN + (offset % PORT_COUNT);
    const isFree = await assertPortIsFree(LOOPBACK, port).then(
      () => true,
      () => false,
    );
    if (isFree) ports.push(port);
  }
  return ports;
}

/** A directory that the server's user can reach. */
export function makeDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), `rhone-gossip-${process.pid}-`));
  chmodSync(directory, 0o755);
  return directory;
}

export class NatsCluster {
  readonly chassis: Chassis[] = [];
  readonly directory = makeDirectory();
  readonly #identityOf: ((name: string) => NatsIdentity) | undefined;
  readonly #transportOf: (name: string, nats: NatsTransport) => Transport;
  #clientPorts: number[] = [];
  #clusterPorts: number[] = [];

  /**
   * With `identityOf`, servers and clients show certificates to each other; `transportOf` makes
   * what the replicators use.
   */
  constructor(
    identityOf?: (name: string) => NatsIdentity,
    transportOf: (name: string, nats: NatsTransport) => Transport = (_, nats) => nats,
  ) {
    this.#identityOf = identityOf;
    this.#transportOf = transportOf;
  }

  /** Gives `count` chassis their ports. The first `startedCount` of them start now. */
  async start(count: number, startedCount = count): Promise<void> {
    const ports = await freePorts(2 * count);
    this.#clientPorts = ports.slice(0, count);
    this.#clusterPorts = ports.slice(count);
    await Promise.all(Array.from({ length: startedCount }, (_, index) => this.add(index)));
  }

  async add(index: number): Promise<Chassis> {
    const name = `c${index + 1}`;
    const clientPort = this.#clientPorts[index]!;
    const clusterPorts = this.#clusterPorts;
    const identityOf = this.#identityOf;
    const tls = identityOf === undefined ? {} : { identity: () => identityOf(name) };
    const others = clusterPorts.filter((_, peer) => peer !== index);
    const routes = others.map((port) => ({ address: LOOPBACK, port }));
    const server = new NatsServer({
      name,
      ...tls,
      clientPort,
      underlay: LOOPBACK,
      clusterPort: clusterPorts[index]!,
      leafPort: 1, // There are no hubs.
      place: { role: "mesh", routes },
      directory: this.directory,
    });
    const nats = new NatsTransport({ name, port: clientPort, ...tls });
    const transport = this.#transportOf(name, nats);
    const store = createMemoryStore(name);
    const replicator = new Replicator({
      store,
      transport,
      self: { name, incarnation: Date.now(), underlay: LOOPBACK },
      intervalMs: INTERVAL_MS,
      now: () => performance.now(),
      random: Math.random,
      setTimer: setRealTimer,
    });
    const chassis = { name, server, nats, transport, store, replicator };
    this.chassis.push(chassis);
    await server.start();
    return chassis;
  }

  put(index: number, name: string): void {
    const document = { kind: "switch", name };
    const result = this.chassis[index]!.store.transact([{ op: "put", document }], "user");
    if (!result.ok) throw new Error(result.error.message);
  }

  /** Waits until each chassis hears each other one. */
  async connected(withinMs: number): Promise<number> {
    return waitUntil("everybody hears everybody", withinMs, () =>
      this.chassis.every(({ replicator }) => {
        const peers = replicator.peers().filter((peer) => peer.isConnected);
        return peers.length === this.chassis.length - 1;
      }),
    );
  }

  /** Waits until all stores hold `switchCount` switches, the same. Returns the milliseconds. */
  async converged(switchCount: number, withinMs: number): Promise<number> {
    return waitUntil(`all have ${switchCount} switches`, withinMs, () => {
      const hashes = new Set(this.chassis.map(({ replicator }) => replicator.hash));
      return (
        hashes.size === 1 &&
        this.chassis.every(({ store }) => store.snapshot().switches.length === switchCount)
      );
    });
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.chassis.map(async ({ replicator, transport, server, store }) => {
        replicator.stop();
        await transport.close();
        await server.stop();
        store.close();
      }),
    );
    rmSync(this.directory, { recursive: true });
  }
}

/** Milliseconds until `isTrue`; fails after `withinMs`. */
export async function waitUntil(
  what: string,
  withinMs: number,
  isTrue: () => boolean,
): Promise<number> {
  const startMs = performance.now();
  while (!isTrue()) {
    if (performance.now() - startMs > withinMs) {
      throw new Error(`expected that ${what} within ${withinMs} ms`);
    }
    await sleep(2);
  }
  return performance.now() - startMs;
}
