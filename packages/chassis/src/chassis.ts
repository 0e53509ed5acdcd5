/**
 * A running chassis: starts its parts in order, says who it is, answers the API, and ends cleanly.
 */

import { createApi } from "@rhone/api/api";
import type { ApiContext, HealthView, PeerView } from "@rhone/api/context";
import { type ServedApi, serveApi } from "@rhone/api/serve";
import { loadPage } from "@rhone/ui/bundle";
import type { DependencyContainer } from "tsyringe";
import { clusterView } from "./cluster-view.ts";
import type { Config } from "./config.ts";
import type { Dataplane } from "./dataplane.ts";
import { assertSecure, listenAddress } from "./listen-address.ts";
import { countersView, pipelineView } from "./read-models.ts";
import * as tokens from "./tokens.ts";
import { documentsCheck, troubleWith } from "./trouble.ts";
import { underlayCheck } from "./underlay-check.ts";
import { workersView } from "./workers-view.ts";

/** The version that this chassis tells the others. */
export const VERSION = "0.1.0";

/** The part of the connection table from which on health warns. */
const CONNECTIONS_ALARM = 0.9;

export class Chassis {
  readonly #parts: DependencyContainer;
  readonly #config: Config;
  readonly #servers: ServedApi[] = [];

  constructor(parts: DependencyContainer) {
    this.#parts = parts;
    this.#config = parts.resolve(tokens.CONFIG);
  }

  /**
   * Starts everything; resolves when the API answers. The data plane comes first: forwarding does
   * not wait for peers.
   */
  async start(): Promise<void> {
    const parts = this.#parts;
    const cluster = parts.resolve(tokens.CLUSTER);
    const { listen, socket } = this.#config.api;
    if (listen !== undefined) assertSecure(listen, cluster !== null);
    await cluster?.listen(); // Who waits to be let in has its own start before it.
    parts.resolve(tokens.CONTROLLER);
    parts.resolve(tokens.DIRECT_TUNNEL);
    await Promise.all([
      parts.resolve(tokens.NATS_SERVER).start(),
      parts.resolve(tokens.PEER_LINKS)?.start(),
    ]);
    this.#followPeers();
    const replicator = parts.resolve(tokens.REPLICATOR);
    parts.resolve(tokens.EARLY_SENDERS).fetchBy((peer) => replicator.wantNow(peer));
    parts.resolve(tokens.KNOWLEDGE);
    parts.resolve(tokens.CONNECTION_MOVES);
    parts.resolve(tokens.CONVERGENCE);
    parts.resolve(tokens.CONTROLLER).barrier.connect({
      transport: parts.resolve(tokens.TRANSPORT),
      want: (peer) => replicator.want(peer),
    });
    this.#announce();
    this.#joinGateways();
    const app = createApi(this.#apiContext(await loadPage()));
    if (socket !== undefined) this.#servers.push(await serveApi(app, { path: socket }));
    if (listen !== undefined) await this.#serveTcp(app, listen);
    parts.resolve(tokens.LOG).info({ api: this.#servers.map(({ address }) => address) }, "ready");
  }

  /** Ends the parts in the reverse order of their start. */
  async stop(): Promise<void> {
    const parts = this.#parts;
    for (const server of this.#servers) await server.close();
    await parts.resolve(tokens.GATEWAY_PORTS).leave();
    parts.resolve(tokens.CONNECTION_MOVES).stop();
    parts.resolve(tokens.CONVERGENCE).stop();
    parts.resolve(tokens.KNOWLEDGE).stop();
    parts.resolve(tokens.REPLICATOR).stop();
    parts.resolve(tokens.MEMBERSHIP).stop();
    parts.resolve(tokens.NATS_SILENCE).stop();
    parts.resolve(tokens.NATS_PLACEMENT).stop();
    parts.resolve(tokens.CLUSTER)?.stop();
    await parts.resolve(tokens.TRANSPORT).close();
    await parts.resolve(tokens.NATS_SERVER).stop();
    parts.resolve(tokens.CONTROLLER).stop();
    parts.resolve(tokens.DIRECT_TUNNEL)?.stop();
    await parts.resolve(tokens.DATAPLANE).stop();
    parts.resolve(tokens.STORE).close();
  }

  #joinGateways(): void {
    const parts = this.#parts;
    const transport = parts.resolve(tokens.TRANSPORT);
    parts.resolve(tokens.GATEWAY_PORTS).connect({
      incarnation: parts.resolve(tokens.LIFE).incarnation,
      refusals: parts.resolve(tokens.REFUSALS),
      transport,
      send: transport.sendTo.bind(transport),
      now: () => performance.now(),
    });
  }

  /** Keeps what leads to other chassis up to date: with who there is, and with our certificates. */
  #followPeers(): void {
    const parts = this.#parts;
    const nats = parts.resolve(tokens.NATS_SERVER);
    const links = parts.resolve(tokens.PEER_LINKS);
    const cluster = parts.resolve(tokens.CLUSTER);
    const addresses = parts.resolve(tokens.PEER_ADDRESSES);
    const membership = parts.resolve(tokens.MEMBERSHIP);
    const follow = (): void => {
      const peers = addresses.named();
      links?.setPeers(peers);
      membership.setKnown(peers.map(({ name }) => name));
    };
    follow();
    addresses.onChange(follow);
    this.#followPlace();
    parts.resolve(tokens.NATS_SILENCE);
    cluster?.renewOver(parts.resolve(tokens.TRANSPORT));
    cluster?.onRenewed(() => {
      nats.reload();
      links?.replace().catch((error: Error) => {
        parts.resolve(tokens.LOG).error({ err: error }, "the listener for links did not come back");
      });
    });
  }

  /** Puts the nats-server where it belongs, in a cluster with hubs or without. */
  #followPlace(): void {
    const parts = this.#parts;
    const placement = parts.resolve(tokens.NATS_PLACEMENT);
    const server = parts.resolve(tokens.NATS_SERVER);
    const log = parts.resolve(tokens.LOG);
    let { layout } = placement.view;
    placement.onPlace((place) => {
      const { view } = placement;
      log.info(view, "the nats-server has another place");
      server.reload(place);
      if (view.layout === layout) return;
      layout = view.layout;
      try {
        this.#announce();
      } catch (error) {
        // The others go by how many chassis there are; it is said again at the next start.
        log.error({ err: error }, "the layout of NATS is not announced");
      }
    });
    parts.resolve(tokens.MEMBERSHIP).onStatus(() => placement.update());
    parts.resolve(tokens.STORE).onChange((entries) => {
      if (entries.some(({ kind }) => kind === "chassis")) placement.update();
    });
  }

  /** Whether a request over TCP needs a token. */
  get #isTokenRequired(): boolean {
    return this.#config.api.requireToken || this.#parts.resolve(tokens.CLUSTER) !== null;
  }

  /** Loopback is plain HTTP; elsewhere a chassis of a cluster shows its certificate. */
  async #serveTcp(app: ReturnType<typeof createApi>, listen: string): Promise<void> {
    const where = listenAddress(listen);
    const cluster = this.#parts.resolve(tokens.CLUSTER);
    if (where.isLoopback || cluster === null) {
      this.#servers.push(await serveApi(app, where));
      return;
    }
    let served = await serveApi(app, where, cluster.identity().chassis);
    cluster.onRenewed(() => {
      const replace = async (): Promise<void> => {
        await served.close();
        served = await serveApi(app, where, cluster.identity().chassis);
      };
      replace().catch((error: Error) => {
        this.#parts.resolve(tokens.LOG).error({ err: error }, "the API did not come back");
      });
    });
    this.#servers.push({ address: served.address, close: () => served.close() });
  }

  /** Makes this chassis known to the others: its name, tunnel endpoint and size. */
  #announce(): void {
    const { name, underlay } = this.#config;
    const { workersWanted: workers, memory } = this.#parts.resolve(tokens.DATAPLANE);
    const size = { workers, workersMax: memory.workersMax };
    const { layout } = this.#parts.resolve(tokens.NATS_PLACEMENT).view;
    const hubs = layout === "hubs" ? { natsLayout: layout } : {};
    const document = { kind: "chassis", name, underlay, ...size, ...hubs, version: VERSION };
    const result = this.#parts.resolve(tokens.STORE).transact([{ op: "put", document }], "chassis");
    if (!result.ok) throw new Error(`cannot announce the chassis: ${result.error.message}`);
  }

  #apiContext(page: { readonly html: string }): ApiContext {
    const parts = this.#parts;
    const dataplane = parts.resolve(tokens.DATAPLANE);
    const devices = parts.resolve(tokens.DEVICES);
    const tunnel = parts.resolve(tokens.DIRECT_TUNNEL);
    return {
      chassisName: this.#config.name,
      page,
      store: parts.resolve(tokens.STORE),
      access: {
        isTokenRequired: this.#isTokenRequired,
        wallClock: Date.now,
        onRefused: (reason, from, detail) => {
          parts.resolve(tokens.REFUSALS).add(`rest-${reason}`, from, detail);
        },
      },
      counters: () => {
        const { compilations, barrier } = parts.resolve(tokens.CONTROLLER);
        const { counts: moves } = parts.resolve(tokens.CONNECTION_MOVES);
        const changes = { compilations, beginnings: barrier.counts, moves };
        const { counts } = parts.resolve(tokens.TRANSPORT);
        const { latest } = parts.resolve(tokens.EARLY_SENDERS);
        return countersView(this.#config.name, dataplane, devices, changes, counts, latest);
      },
      workers: () => workersView(this.#config.name, dataplane, devices, tunnel),
      pipeline: pipelineView,
      troubleWith: (kind, name) => {
        return troubleWith(
          kind,
          name,
          parts.resolve(tokens.CONTROLLER),
          parts.resolve(tokens.STORE),
        );
      },
      ruleHits: (name) => parts.resolve(tokens.RULE_HITS).of(name),
      health: () => this.#health(),
      peers: () => this.#peers(),
      cluster: () => clusterView(parts),
      mayWrite: () => parts.resolve(tokens.CONTROLLER).mayWrite(),
      reach: async (vector, level, timeoutMs) => {
        const convergence = parts.resolve(tokens.CONVERGENCE);
        const { isReached, chassis } = await convergence.reach(vector, level, timeoutMs);
        return {
          ...{ level, reached: isReached, vector },
          chassis: chassis.map(({ name, status, isHeld, isApplied, revision }) => {
            return { name, status, held: isHeld, applied: isApplied, revision };
          }),
        };
      },
    };
  }

  #peers(): PeerView[] {
    return this.#parts
      .resolve(tokens.REPLICATOR)
      .peers()
      .map(({ name, underlay, isConnected, lastSeenMs, revision }) => ({
        name,
        address: underlay,
        connected: isConnected,
        lastSeenMs: Math.round(performance.now() - lastSeenMs),
        revision,
      }));
  }

  #health(): HealthView {
    const parts = this.#parts;
    const dataplane = parts.resolve(tokens.DATAPLANE);
    const nats = parts.resolve(tokens.NATS_SERVER).state;
    const { storageError, repair, partials } = parts.resolve(tokens.STORE);
    const { failure } = parts.resolve(tokens.CONTROLLER);
    const { homeless, most } = parts.resolve(tokens.DEVICES);
    const tunnel = parts.resolve(tokens.DIRECT_TUNNEL)?.check();
    const connections = dataplane.connections();
    const checks = [
      workersCheck(dataplane),
      { name: "tables", ok: failure === "", detail: failure || "the newest state is in force" },
      {
        name: "devices",
        ok: homeless.length === 0,
        detail:
          homeless.length === 0
            ? "every port has a place"
            : `no place for more than ${most} devices: ${homeless.join(", ")}`,
      },
      underlayCheck(this.#config),
      ...(tunnel === undefined ? [] : [{ name: "tunnel", ...tunnel }]),
      {
        name: "connections",
        ok: connections.inUse < connections.capacity * CONNECTIONS_ALARM,
        detail: `${connections.inUse} of ${connections.capacity} in use`,
      },
      {
        name: "storage",
        ok: storageError === null,
        detail: storageError ?? (repair === null ? "the state is on disk" : repair),
      },
      documentsCheck(partials),
      {
        name: "nats",
        ok: nats.status === "running",
        detail: nats.reason === "" ? nats.status : `${nats.status}: ${nats.reason}`,
      },
    ];
    checks.push(parts.resolve(tokens.KNOWLEDGE).check());
    const cluster = parts.resolve(tokens.CLUSTER);
    if (cluster !== null) checks.push(cluster.check());
    return { status: checks.every(({ ok }) => ok) ? "ok" : "degraded", checks };
  }
}

function workersCheck({ running, lost, workersWanted }: Dataplane): HealthView["checks"][number] {
  const ok = running.length === workersWanted;
  const died = [...lost].map(([worker, { message }]) => `worker ${worker} died: ${message}`);
  const detail = [`${running.length} of ${workersWanted} run`, ...died].join("; ");
  return { name: "workers", ok, detail };
}
