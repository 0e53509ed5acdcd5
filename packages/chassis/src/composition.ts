/**
 * The composition root: which parts a chassis consists of, and how they know each other. Nothing
 * else in the project knows the container.
 */
import "reflect-metadata"; // tsyringe asks for it, although we use no decorators.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Convergence } from "@rhone/gossip/convergence";
import { FallbackTransport } from "@rhone/gossip/fallback-transport";
import { clusterDirectory } from "@rhone/gossip/identity";
import { Membership } from "@rhone/gossip/membership";
import { MeteredTransport } from "@rhone/gossip/metered-transport";
import { NatsPlacement } from "@rhone/gossip/nats-placement";
import { NatsServer } from "@rhone/gossip/nats-server";
import { NatsTransport } from "@rhone/gossip/nats-transport";
import { PeerLinks } from "@rhone/gossip/peer-links";
import { Refusals } from "@rhone/gossip/refusals";
import { Replicator } from "@rhone/gossip/replicator";
import { Signers } from "@rhone/gossip/signers";
import { setRealTimer } from "@rhone/gossip/transport";
import { hasCarrier, hasDevice, receiveQueueCount } from "@rhone/netio/device";
import { steadyClock } from "@rhone/state/clock";
import { openSqliteStore } from "@rhone/state/sqlite-store";
import type { Store } from "@rhone/state/store";
import { parseAddress } from "@rhone/wire/address";
import { UDP_PORT } from "@rhone/wire/geneve";
import { destination, type Logger, pino } from "pino";
import { container, type DependencyContainer, instanceCachingFactory } from "tsyringe";
import { Cluster, identityOf } from "./cluster.ts";
import { compile } from "./compile.ts";
import { type Config, configuredClusterKey, tunnelMtu, workersMax } from "./config.ts";
import { ConnectionMoves } from "./connection-moves.ts";
import { Controller, workersOf } from "./controller.ts";
import { Dataplane, devicesMax } from "./dataplane.ts";
import { Devices } from "./devices.ts";
import { DirectTunnel } from "./direct-tunnel.ts";
import { EarlySenders } from "./early-senders.ts";
import { GatewayPorts } from "./gateway-ports.ts";
import { beginLife } from "./incarnation.ts";
import { Knowledge } from "./knowledge.ts";
import { makeNatsSilence } from "./nats-silence.ts";
import { ownDevices } from "./own-devices.ts";
import { PeerAddresses } from "./peer-addresses.ts";
import { RuleHits } from "./rule-hits.ts";
import { epochAt, StampKeys } from "./stamp-keys.ts";
import * as tokens from "./tokens.ts";

/** A container in which every part is made once, when it is first asked for. */
export function compose(config: Config): DependencyContainer {
  const parts = container.createChildContainer();
  const single = <T>(
    token: Parameters<typeof parts.resolve<T>>[0],
    make: (parts: DependencyContainer) => T,
  ): void => {
    parts.register<T>(token, { useFactory: instanceCachingFactory(make) });
  };
  parts.register(tokens.CONFIG, { useValue: config });
  single(tokens.LOG, () => makeLog(config));
  single(tokens.STORE, openStore);
  single(tokens.REFUSALS, makeRefusals);
  single(tokens.CLUSTER, makeCluster);
  single(tokens.SIGNERS, (parts) => {
    const identity = parts.resolve(tokens.CLUSTER)?.identity();
    const directory = clusterDirectory(config.dataDirectory);
    return identity === undefined ? null : new Signers(identity, directory);
  });
  single(tokens.NATS_PLACEMENT, makeNatsPlacement);
  single(tokens.NATS_SERVER, makeNatsServer);
  single(tokens.NATS_SILENCE, makeNatsSilence);
  single(tokens.PEER_LINKS, makePeerLinks);
  single(tokens.PATHS, makePaths);
  single(tokens.TRANSPORT, (parts) => {
    return new MeteredTransport(parts.resolve(tokens.PATHS) ?? makeNats(parts));
  });
  single(tokens.LIFE, (parts) => {
    return beginLife(config.dataDirectory, Date.now(), (error) => {
      parts.resolve(tokens.LOG).error({ err: error }, "the number of this life cannot be kept");
    });
  });
  single(tokens.REPLICATOR, makeReplicator);
  single(tokens.MEMBERSHIP, makeMembership);
  single(tokens.CONVERGENCE, makeConvergence);
  single(tokens.PEER_ADDRESSES, (parts) => {
    const identity = parts.resolve(tokens.CLUSTER)?.identity();
    return new PeerAddresses(config, identity?.peers ?? [], parts.resolve(tokens.STORE));
  });
  single(tokens.DATAPLANE, makeDataplane);
  single(tokens.DEVICES, (parts) => {
    const dataplane = parts.resolve(tokens.DATAPLANE);
    const most = devicesMax(dataplane.memory);
    const own = () => ownDevices(config.underlay);
    const machine = { queuesOf: receiveQueueCount, hasDevice, ownDevices: own };
    return new Devices(config.name, config.driver, dataplane, machine, most);
  });
  single(tokens.DIRECT_TUNNEL, makeDirectTunnel);
  single(tokens.EARLY_SENDERS, (parts) => {
    const hurry = () => parts.resolve(tokens.CONTROLLER).hurry();
    return new EarlySenders({
      ...{ store: parts.resolve(tokens.STORE), hurry },
      now: () => performance.now(),
    });
  });
  single(tokens.KNOWLEDGE, makeKnowledge);
  single(tokens.GATEWAY_PORTS, makeGatewayPorts);
  single(tokens.CONNECTION_MOVES, makeConnectionMoves);
  single(tokens.STAMP_KEYS, makeStampKeys);
  single(tokens.RULE_HITS, (parts) => {
    return new RuleHits(parts.resolve(tokens.DATAPLANE).memory.ruleCounters);
  });
  single(tokens.CONTROLLER, makeController);
  return parts;
}

function makeLog(config: Config): Logger {
  const options = { level: config.log.level, base: { chassis: config.name } };
  if (config.log.file === undefined) return pino(options);
  return pino(options, destination({ dest: config.log.file, mkdir: true, sync: true }));
}

function openStore(parts: DependencyContainer): Store {
  const { name, dataDirectory } = parts.resolve(tokens.CONFIG);
  mkdirSync(dataDirectory, { recursive: true });
  const opened = openSqliteStore({
    path: join(dataDirectory, "state.sqlite"),
    origin: name,
    signer: parts.resolve(tokens.SIGNERS),
    wallClock: steadyClock(Date.now, () => performance.now()),
    setTimer: setRealTimer,
  });
  if (!opened.ok) throw new Error(opened.error.message);
  const { repair } = opened.value;
  if (repair !== null) parts.resolve(tokens.LOG).error({ repair }, "the state file was damaged");
  return opened.value;
}

function makeRefusals(parts: DependencyContainer): Refusals {
  const log = parts.resolve(tokens.LOG);
  return new Refusals({
    now: () => performance.now(),
    onRefusal: (reason, peer, detail) => log.warn({ reason, peer, detail }, "refused"),
  });
}

function makeCluster(parts: DependencyContainer): Cluster | null {
  const [config, log] = [parts.resolve(tokens.CONFIG), parts.resolve(tokens.LOG)];
  const identity = identityOf(config);
  if (identity !== null) return new Cluster(config, identity, log, parts.resolve(tokens.REFUSALS));
  log.warn(
    "the chassis has joined no cluster: whoever reaches its nats-server can speak for others",
  );
  return null;
}

/** The key that the configuration has, or else that of the cluster. */
function makeStampKeys(parts: DependencyContainer): StampKeys | null {
  const identity = parts.resolve(tokens.CLUSTER)?.identity();
  const key = configuredClusterKey(parts.resolve(tokens.CONFIG)) ?? identity?.clusterKey;
  if (key !== undefined) return new StampKeys(key);
  parts
    .resolve(tokens.LOG)
    .warn(
      "no clusterKey is configured: whoever can send from a chassis's address can forge stamps",
    );
  return null;
}

function makeNatsPlacement(parts: DependencyContainer): NatsPlacement {
  const { name, nats } = parts.resolve(tokens.CONFIG);
  const addresses = parts.resolve(tokens.PEER_ADDRESSES);
  const store = parts.resolve(tokens.STORE);
  const membership = parts.resolve(tokens.MEMBERSHIP);
  return new NatsPlacement({
    name,
    // Whoever has no links would be deaf for seconds whenever a hub dies.
    rules: parts.resolve(tokens.CLUSTER) === null ? null : nats,
    look: () => {
      const documents = store.snapshot().chassis;
      const peers = addresses.servers();
      const members = new Map(membership.members().map((member) => [member.name, member]));
      return {
        // Documents are the same everywhere. Whoever has none yet has just joined.
        count: documents.some((document) => document.name !== name)
          ? documents.length
          : peers.length + 1,
        peers,
        routes: addresses.routes(),
        layouts: documents.map(({ value }) => value.natsLayout ?? "mesh"),
        memberOf: (peer) => members.get(peer),
      };
    },
    now: () => performance.now(),
    setTimer: setRealTimer,
  });
}

function makeNatsServer(parts: DependencyContainer): NatsServer {
  const { name, nats, underlay, dataDirectory } = parts.resolve(tokens.CONFIG);
  return new NatsServer({
    name,
    clientPort: nats.clientPort,
    underlay,
    clusterPort: nats.routePort,
    leafPort: nats.leafPort,
    place: parts.resolve(tokens.NATS_PLACEMENT).place,
    directory: dataDirectory,
    ...natsIdentity(parts),
  });
}

function makePeerLinks(parts: DependencyContainer): PeerLinks | null {
  const { underlay, cluster } = parts.resolve(tokens.CONFIG);
  const member = parts.resolve(tokens.CLUSTER);
  if (member === null) return null;
  return new PeerLinks({
    identity: member.identity,
    address: underlay,
    port: cluster.linkPort,
    wallClock: Date.now,
    random: Math.random,
    setTimer: setRealTimer,
    refusals: parts.resolve(tokens.REFUSALS),
  });
}

/** NATS and the links as one. */
function makePaths(parts: DependencyContainer): FallbackTransport | null {
  const links = parts.resolve(tokens.PEER_LINKS);
  if (links === null) return null;
  const nats = makeNats(parts);
  return new FallbackTransport({
    nats,
    links,
    now: () => performance.now(),
    setTimer: setRealTimer,
  });
}

function makeNats(parts: DependencyContainer): NatsTransport {
  const { name, nats } = parts.resolve(tokens.CONFIG);
  return new NatsTransport({ name, port: nats.clientPort, ...natsIdentity(parts) });
}

function natsIdentity(parts: DependencyContainer): { readonly identity?: Cluster["identity"] } {
  const cluster = parts.resolve(tokens.CLUSTER);
  return cluster === null ? {} : { identity: cluster.identity };
}

function makeReplicator(parts: DependencyContainer): Replicator {
  const config = parts.resolve(tokens.CONFIG);
  return new Replicator({
    store: parts.resolve(tokens.STORE),
    trust: parts.resolve(tokens.SIGNERS),
    onRefusal: (reason, who, detail) => parts.resolve(tokens.REFUSALS).add(reason, who, detail),
    transport: parts.resolve(tokens.TRANSPORT),
    self: {
      name: config.name,
      incarnation: parts.resolve(tokens.LIFE).incarnation,
      underlay: config.underlay,
    },
    now: () => performance.now(),
    random: Math.random,
    setTimer: setRealTimer,
  });
}

function makeConvergence(parts: DependencyContainer): Convergence {
  const replicator = parts.resolve(tokens.REPLICATOR);
  const membership = parts.resolve(tokens.MEMBERSHIP);
  return new Convergence({
    self: parts.resolve(tokens.CONFIG).name,
    store: parts.resolve(tokens.STORE),
    transport: parts.resolve(tokens.TRANSPORT),
    members: () => membership.members(),
    waitApplied: (timeoutMs) => parts.resolve(tokens.CONTROLLER).waitApplied(timeoutMs),
    want: (peer) => replicator.want(peer),
    now: () => performance.now(),
    setTimer: setRealTimer,
  });
}

function makeKnowledge(parts: DependencyContainer): Knowledge {
  const membership = parts.resolve(tokens.MEMBERSHIP);
  const replicator = parts.resolve(tokens.REPLICATOR);
  return new Knowledge({
    store: parts.resolve(tokens.STORE),
    members: () => membership.members(),
    peers: () => replicator.peers(),
    time: parts.resolve(tokens.DATAPLANE).memory.knowledge,
    now: () => performance.now(),
  });
}

function makeController(parts: DependencyContainer): Controller {
  const config = parts.resolve(tokens.CONFIG);
  return new Controller({
    chassis: config.name,
    workers: config.workers,
    tunnelMtu: tunnelMtu(config),
    stampKeys: parts.resolve(tokens.STAMP_KEYS),
    store: parts.resolve(tokens.STORE),
    dataplane: parts.resolve(tokens.DATAPLANE),
    devices: parts.resolve(tokens.DEVICES),
    ruleHits: parts.resolve(tokens.RULE_HITS),
    turnAt: (gateway) => parts.resolve(tokens.GATEWAY_PORTS).turnAt(gateway),
    log: parts.resolve(tokens.LOG),
  });
}

function makeGatewayPorts(parts: DependencyContainer): GatewayPorts {
  const devices = parts.resolve(tokens.DEVICES);
  const dataplane = parts.resolve(tokens.DATAPLANE);
  return new GatewayPorts({
    chassis: parts.resolve(tokens.CONFIG).name,
    store: parts.resolve(tokens.STORE),
    devices: () => devices.list(),
    hasCarrier,
    fences: dataplane.memory.fences,
    announce: (index) => dataplane.announceRouters(index),
    onTurn: () => parts.resolve(tokens.CONTROLLER).takeTurn(),
    onReason: () => parts.resolve(tokens.CONTROLLER).mark(),
    setTimer: setRealTimer,
    log: parts.resolve(tokens.LOG),
  });
}

function makeConnectionMoves(parts: DependencyContainer): ConnectionMoves {
  const devices = parts.resolve(tokens.DEVICES);
  const dataplane = parts.resolve(tokens.DATAPLANE);
  const membership = parts.resolve(tokens.MEMBERSHIP);
  return new ConnectionMoves({
    self: parts.resolve(tokens.CONFIG).name,
    store: parts.resolve(tokens.STORE),
    transport: parts.resolve(tokens.TRANSPORT),
    devices: () => devices.list(),
    isDead: (chassis) => {
      return membership.members().some(({ name, status }) => name === chassis && status === "dead");
    },
    zoneOf: (port) => parts.resolve(tokens.CONTROLLER).zoneOf(port),
    collect: (zone, after, limit) => dataplane.collectConnections(zone, after, limit),
    take: (zone, records) => dataplane.takeConnections(zone, records),
    forget: (zone) => dataplane.forgetConnections(zone),
    refusals: parts.resolve(tokens.REFUSALS),
    setTimer: setRealTimer,
    log: parts.resolve(tokens.LOG),
  });
}

function makeDirectTunnel(parts: DependencyContainer): DirectTunnel | null {
  const config = parts.resolve(tokens.CONFIG);
  const dataplane = parts.resolve(tokens.DATAPLANE);
  const store = parts.resolve(tokens.STORE);
  const program = dataplane.memory.tunnelProgram;
  if (program === null) return null;
  return new DirectTunnel({
    ...{ program, opener: dataplane, underlay: parseAddress(config.underlay)! },
    peers: () => {
      const others = store.snapshot().chassis.filter(({ name }) => name !== config.name);
      return others.map(({ value }) => value.underlay);
    },
    publish: (image) => dataplane.publishPaths(image),
    log: parts.resolve(tokens.LOG),
  });
}

function makeMembership(parts: DependencyContainer): Membership {
  const { name } = parts.resolve(tokens.CONFIG);
  const log = parts.resolve(tokens.LOG);
  const transport = parts.resolve(tokens.TRANSPORT);
  const membership = new Membership({
    name,
    incarnation: parts.resolve(tokens.LIFE).incarnation,
    transport,
    send: transport.sendTo.bind(transport),
    now: () => performance.now(),
    wallClock: Date.now,
    random: Math.random,
    setTimer: setRealTimer,
    refusals: parts.resolve(tokens.REFUSALS),
  });
  membership.onStatus((chassis, status) => {
    parts.resolve(tokens.CONTROLLER).onMember(chassis, status);
    if (status === "dead") log.warn({ chassis }, "a chassis is dead");
    else log.info({ chassis, status }, "another chassis");
  });
  return membership;
}

function makeDataplane(parts: DependencyContainer): Dataplane {
  const config = parts.resolve(tokens.CONFIG);
  const log = parts.resolve(tokens.LOG);
  const made = parts.resolve(tokens.STAMP_KEYS);
  const keys = made === null ? null : { made, epoch: epochAt(Date.now()) };
  const none = { devices: new Map(), workers: [], ruleCounters: new Map() };
  const self = { name: config.name, tunnelMtu: tunnelMtu(config), keys, ...none };
  const state = parts.resolve(tokens.STORE).snapshot();
  return new Dataplane({
    workers: Math.min(workersOf(state, config.name) ?? config.workers, workersMax(config)),
    workersMax: workersMax(config),
    connections: config.connections,
    underlay: config.underlay,
    underlayPort: UDP_PORT,
    sourcePorts: config.sourcePorts,
    tables: compile(state, self),
    isRestart: !parts.resolve(tokens.LIFE).isFirst,
    hasXdpTunnel: config.tunnelDriver === "af-xdp",
    onReport: (_worker, report) => {
      parts.resolve(tokens.CONTROLLER).onReport(report);
      parts.resolve(tokens.DIRECT_TUNNEL)?.report(report);
      parts.resolve(tokens.EARLY_SENDERS).report(report);
      if ("index" in report) parts.resolve(tokens.GATEWAY_PORTS).look();
    },
    onWorkerLost: (worker, error) => {
      log.error({ worker, err: error }, "a worker died");
      parts.resolve(tokens.CONTROLLER).onWorkerLost();
    },
    onWorkerStarted: (worker) => log.info({ worker }, "a worker runs"),
  });
}
