/**
 * One virtual chassis: the parts that the chassis package puts together, on simulated ground. All
 * that the simulation knows of how those parts are made and what an entry is stands in this file.
 */
import { parseEntry } from "@rhone/state/document";
import { compareText, compareVersions, type Entry, keyOf } from "@rhone/state/record";
import { type Disk, Replica } from "@rhone/state/replica";
import type { Store } from "@rhone/state/store";
import { Membership } from "../membership/membership.ts";
import { Refusals } from "../refusals.ts";
import { Replicator } from "../replicator.ts";
import type { SetTimer, Transport } from "../transport.ts";
import type { SimulatedDisk } from "./disk.ts";
import type { Process } from "./machine.ts";

/** What a mutant puts between the parts; each is the identity when it is left out. */
export interface Seams {
  readonly disk?: (disk: Disk, process: Process) => Disk;
  readonly store?: (
    open: (rows: readonly Entry[]) => Store,
    rows: Entry[],
    process: Process,
  ) => Store;
  readonly transport?: (transport: Transport, process: Process) => Transport;
  readonly setTimer?: (setTimer: SetTimer, process: Process) => SetTimer;
}

export interface Chassis {
  readonly store: Store;
  readonly transport: Transport;
  readonly replicator: Replicator;
  readonly membership: Membership;
}

export interface ChassisOptions {
  readonly process: Process;
  readonly disk: SimulatedDisk;
  readonly transport: Transport;
  readonly names: readonly string[];
  readonly seams: Seams;
  /** Hears of every entry that the disk keeps. */
  readonly onKept: (entries: readonly Entry[]) => void;
  /** Hears of what the store holds before anybody else does. */
  readonly onChange: (entries: readonly Entry[], source: "disk" | "local" | "peer") => void;
}

/** Null when what is on the disk cannot be used: the chassis refuses to start. */
export function startChassis(options: ChassisOptions): Chassis | null {
  const { process, names, seams, onChange } = options;
  const store = openStore(options);
  if (store === null) return null;
  onChange(store.entries(), "disk");
  store.onChange(onChange);
  const { machine, now } = process;
  const { name, wallClock, world } = machine;
  const setTimer = seams.setTimer?.(process.setTimer, process) ?? process.setTimer;
  const transport = seams.transport?.(options.transport, process) ?? options.transport;
  const incarnation = wallClock();
  const { random } = world;
  const replicator = new Replicator({
    ...{ store, transport, now, random, setTimer },
    self: { name, incarnation, underlay: `10.0.${machine.index >> 8}.${machine.index & 255}` },
  });
  const membership = new Membership({
    ...{ name, incarnation, transport, now, wallClock, random, setTimer },
    refusals: new Refusals({ now }),
  });
  membership.setKnown(names);
  membership.onStatus((other, status) => world.log(`${name} holds ${other} for ${status}`));
  return { store, transport, replicator, membership };
}

function openStore({ process, disk, seams, onKept }: ChassisOptions): Store | null {
  const rows: Entry[] = [];
  for (const row of disk.rows()) {
    const entry = parseEntry(parseJson(row));
    if (entry === null) return null;
    rows.push(entry);
  }
  const plain = disk.open(process, onKept);
  const kept = seams.disk?.(plain, process) ?? plain;
  const open = (known: readonly Entry[]): Store => new Replica(process.machine.name, kept, known);
  return seams.store?.(open, rows, process) ?? open(rows);
}

/** undefined when it is no JSON. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What a store says about one thing that has a version of its own. */
export interface Fact {
  readonly id: string;
  readonly clock: number;
  readonly origin: string;
  /** Of the value. */
  readonly text: string;
  readonly isGone: boolean;
  /** What is merged beside the value. */
  readonly created: string;
}

export function factsOf(entry: Entry): Fact[] {
  const { version, created, value } = entry;
  return [
    {
      id: keyOf(entry),
      ...version,
      text: JSON.stringify(value),
      isGone: value === null,
      created: `${created.clock}@${created.origin}`,
    },
  ];
}

/** Negative when `a` is the earlier one. */
export function compareFacts(a: Fact, b: Fact): number {
  return compareVersions(a, b) || compareText(a.text, b.text);
}
