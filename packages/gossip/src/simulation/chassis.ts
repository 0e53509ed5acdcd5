/**
 * One virtual chassis: the parts that the chassis package puts together, on simulated ground. All
 * that the simulation knows of how those parts are made stands in this file.
 */

import { steadyClock } from "@rhone/state/clock";
import type { Disk, DiskRecord, Stored } from "@rhone/state/disk";
import { Replica } from "@rhone/state/replica";
import type { Signer } from "@rhone/state/signer";
import type { Listener, Store } from "@rhone/state/store";
import { Barrier } from "../barrier/barrier.ts";
import type { Content } from "../barrier/edition-log.ts";
import { Gathering } from "../barrier/gathering.ts";
import { decode, type Message } from "../codec.ts";
import type { GatewaysOptions } from "../gateways/gateways.ts";
import { nextIncarnation } from "../membership/incarnation.ts";
import { Membership } from "../membership/membership.ts";
import { FallbackTransport, type Links } from "../peer-link/fallback-transport.ts";
import type { PortClaims } from "../ports/port-claims.ts";
import { Refusals } from "../refusals.ts";
import { Replicator, type Trust } from "../replicator.ts";
import type { Transport } from "../transport.ts";
import type { Holder } from "./claim-watch.ts";
import type { SimulatedDisk } from "./disk.ts";
import { Keyring } from "./keyring.ts";
import type { Machine, Process } from "./machine.ts";
import type { Passage } from "./passage.ts";
import { SimulatedPorts, type SimulatedPortsOptions } from "./simulated-ports.ts";
import { EDITIONS_HELD, SimulatedTables } from "./tables.ts";

type Said = ReturnType<Store["transact"]>;
type OpenStore = (stored: Stored) => Store;

/** What a mutant puts between the parts; each is the identity when it is left out. */
export interface Seams {
  readonly disk?: (disk: Disk, process: Process) => Disk;
  readonly store?: (open: OpenStore, stored: Stored, process: Process) => Store;
  readonly transport?: (transport: Transport, process: Process) => Transport;
  readonly keyring?: (keyring: Signer & Trust) => Signer & Trust;
  readonly barrier?: (barrier: Barrier) => Barrier;
  readonly claims?: (claims: PortClaims, store: Store, process: Process) => PortClaims;
  readonly gateways?: (options: GatewaysOptions) => GatewaysOptions;
  /** What chassis make of claims: who has a port. */
  readonly holder?: Holder;
}

export interface Chassis {
  readonly store: Store;
  readonly replicator: Replicator;
  readonly membership: Membership;
  readonly tables: SimulatedTables;
  readonly barrier: Barrier;
  readonly ports: SimulatedPorts;
}

export interface ChassisOptions {
  readonly process: Process;
  readonly disk: SimulatedDisk;
  readonly nats: Transport;
  /** null when the chassis belongs to no cluster: there is NATS alone. */
  readonly links: Links | null;
  /** Whether chassis sign what they write. */
  readonly isSigned: boolean;
  readonly names: readonly string[];
  readonly seams: Seams;
  /** Hears of all that the disk keeps. */
  readonly onKept: (records: readonly DiskRecord[]) => void;
  /** Hears of all that the replica wants to be kept, whether or not the disk can. */
  readonly onWrite: (records: readonly DiskRecord[]) => void;
  /** Hears of each change before the replicator does. */
  readonly onChange: Listener;
  readonly onStart: (store: Store) => void;
  /** Writes what the chassis itself has to say to its store. */
  readonly onSay: (store: Store, ...said: Parameters<Store["transact"]>) => Said;
  /** Tables are about to be compiled from what the store has. */
  readonly onCompile: () => void;
  /** Whether there are gateways. */
  readonly hasGateways: boolean;
  /** Looks at packets; null where nobody does. */
  readonly passage: Passage | null;
}

const decoded = new WeakMap<Uint8Array, Message | null>();

/** What many chassis hear is read once: it is the same bytes, and gives them the same. */
function decodeOnce(data: Uint8Array): Message | null {
  let message = decoded.get(data);
  if (message === undefined) {
    message = decode(data);
    decoded.set(data, message);
  }
  return message;
}

export function startChassis(options: ChassisOptions): Chassis {
  const { process, names, seams, isSigned } = options;
  const { machine, now } = process;
  const { name, wallClock, world } = machine;
  const { random } = world;
  const { setTimer } = process;
  const own = new Keyring(name, machine.knownKeys);
  const keyring = isSigned ? (seams.keyring?.(own) ?? own) : null;
  const store = openStore(options, keyring);
  options.onStart(store);
  store.onChange(options.onChange);
  const { nats, links } = options;
  const both = links === null ? null : new FallbackTransport({ nats, links, now, setTimer });
  const transport = seams.transport?.(both ?? nats, process) ?? both ?? nats;
  const incarnation = nextIncarnation(options.disk.incarnation, wallClock());
  options.disk.incarnation = incarnation;
  const replicator = new Replicator({
    ...{ store, transport, now, random, setTimer, trust: keyring, decode: decodeOnce },
    self: { name, incarnation, underlay: `10.0.${machine.index >> 8}.${machine.index & 255}` },
  });
  const membership = new Membership({
    ...{ name, incarnation, transport, now, wallClock, random, setTimer },
    ...(both === null ? {} : { send: both.sendTo.bind(both) }),
    refusals: new Refusals({ now }),
  });
  const send = both?.sendTo.bind(both);
  const gateways = options.hasGateways ? { transport, send, incarnation } : null;
  const { tables, barrier, ports } = startTables(options, store, membership, gateways);
  membership.setKnown(names);
  membership.onStatus((other, status) => world.log(`${name} holds ${other} for ${status}`));
  barrier.connect({ transport, want: (peer) => replicator.want(peer) });
  return { store, replicator, membership, tables, barrier, ports };
}

/** As the controller of the chassis package does, with workers that hold what is compiled. */
function startTables(
  { process, seams, passage, onSay, onCompile }: ChassisOptions,
  store: Store,
  membership: Membership,
  gateways: SimulatedPortsOptions["gateways"],
): Pick<Chassis, "tables" | "barrier" | "ports"> {
  const { machine, now, setTimer } = process;
  const { name, world } = machine;
  const tables = new SimulatedTables({
    process,
    first: contentOf(store),
    onHeld: (edition) => {
      passage?.held(machine);
      barrier.hold(edition);
    },
    onBegun: () => {
      world.log(`${name} begins ${tables.begun.root}`);
      passage?.begun(machine);
    },
  });
  const plain = new Barrier({
    ...{ self: name, editionsMax: EDITIONS_HELD, now, setTimer, vector: () => store.vector },
    begin: (edition) => {
      // Workers that hang are not waited for without end.
      if (!tables.begin(edition)) passage?.leftOut(machine, [name]);
      gathering.onBegin();
      world.settled();
    },
    hurry: () => gathering.follow(),
    onOverdue: (names) => passage?.leftOut(machine, names),
  });
  const barrier = seams.barrier?.(plain) ?? plain;
  const gathering = new Gathering({
    ...{ now, setTimer, waiting: () => barrier, editionsMax: EDITIONS_HELD },
    compile: (isUrgent) => {
      if (process.isDead) return; // Killed in the middle of what it did.
      ports.follow();
      onCompile();
      const content = contentOf(store);
      const edition = tables.publish(content);
      passage?.published(machine, edition, content.vector, isUrgent);
      barrier.publish(edition, content, isUrgent);
      ports.announce();
    },
  });
  const ports = new SimulatedPorts({
    ...{ process, store, membership, seam: seams.claims, gateways, gatewaySeam: seams.gateways },
    transact: (...said) => onSay(store, ...said),
    mark: () => {
      gathering.mark();
      world.settled();
    },
    compileAtOnce: () => {
      gathering.compile(true);
      world.settled();
    },
  });
  store.onChange((entries, source) => {
    const isAsked = entries.every(({ version }) => barrier.asks(version.origin));
    if (source === "local") gathering.markWritten();
    else if (isAsked) gathering.markAsked();
    else gathering.mark();
    barrier.onChange();
    world.settled(); // What is compiled at once is so in a microtask, before time goes on.
  });
  tellDeaths(machine, membership, passage);
  membership.onStatus((other, status) => {
    barrier.onMember(other, status);
    gathering.mark();
    world.settled();
  });
  gathering.mark();
  world.settled();
  return { tables, barrier, ports };
}

/** Who is held for dead is left out; so is who held another one for it. */
function tellDeaths(machine: Machine, membership: Membership, passage: Passage | null): void {
  const dead = new Set<string>();
  membership.onStatus((other, status) => {
    if (status === "dead") passage?.leftOut(machine, [other]);
    else if (dead.has(other)) passage?.leftOut(machine, [machine.name]);
    if (status === "dead") dead.add(other);
    else dead.delete(other);
  });
}

function contentOf({ vector, revision, root, hasGap }: Store): Content {
  return { vector, revision, root, hasGap };
}

function openStore(options: ChassisOptions, signer: Signer | null): Store {
  const { process, disk: simulated, seams, onKept, onWrite } = options;
  const { name, wallClock } = process.machine;
  const plain = simulated.open(process, onKept);
  const kept = seams.disk?.(plain, process) ?? plain;
  const disk: Disk = {
    write(records, vector) {
      onWrite(records);
      kept.write(records, vector);
    },
    expect: onWrite,
    close() {},
  };
  const clock = steadyClock(wallClock, process.now);
  const open: OpenStore = (stored) => {
    const { setTimer } = process;
    return new Replica({ origin: name, disk, stored, signer, wallClock: clock, setTimer });
  };
  const stored = simulated.read();
  return seams.store?.(open, stored, process) ?? open(stored);
}
