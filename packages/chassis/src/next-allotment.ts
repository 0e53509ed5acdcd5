/** Who is to have what next: a pure function of who has it now and who is there. */
import type { Allotment } from "@rhone/dataplane-worker/allotment";
import { assign, firstOwners, NOBODY } from "@rhone/rings/buckets";
import { DEVICES_MAX } from "@rhone/rings/counters";

/** Buckets of a worker that has just started, a thirty-second part of all. */
const NEWCOMER_BUCKETS = 8;

export interface Wishes {
  /** Workers that are to own something, in ascending order; at least one. */
  readonly owners: readonly number[];
  /** Of the owners, those that have just started: they get a few buckets, to become fast with. */
  readonly newcomers: readonly number[];
  /** Workers that run: the owners, and those that give something up. */
  readonly running: readonly number[];
  /** Indices of the devices in use, in ascending order. */
  readonly devices: readonly number[];
}

/** The first allotment; `socketCount` sockets of the tunnel. */
export function firstAllotment(workers: readonly number[], socketCount: number): Allotment {
  return {
    edition: 1,
    workers,
    owners: firstOwners(workers),
    devices: new Uint8Array(DEVICES_MAX).fill(NOBODY),
    sockets: assign(new Uint8Array(socketCount).fill(NOBODY), workers),
  };
}

/**
 * The allotment behind `current`, or `current` itself when it grants the wishes already. A worker's
 * code is compiled while it runs; as long as it is not, a whole share would be too much for it.
 */
export function nextAllotment(current: Allotment, wishes: Wishes): Allotment {
  const { owners, newcomers } = wishes;
  const settled = owners.filter((worker) => !newcomers.includes(worker));
  // Somebody has to do it.
  const crew = settled.length > 0 ? settled : owners;
  const few = settled.length > 0 ? newcomers : [];
  const next = {
    edition: current.edition + 1,
    workers: wishes.running,
    owners: assign(current.owners, owners, new Map(few.map((each) => [each, NEWCOMER_BUCKETS]))),
    devices: nextDevices(current, crew, wishes.devices),
    sockets: assign(current.sockets, crew),
  };
  const isSame =
    isEqual(current.owners, next.owners) &&
    isEqual(current.devices, next.devices) &&
    isEqual(current.sockets, next.sockets);
  return isSame ? current : next;
}

/** Whether the worker owns nothing in an allotment. */
export function isIdle({ owners, devices, sockets }: Allotment, worker: number): boolean {
  return !owners.includes(worker) && !devices.includes(worker) && !sockets.includes(worker);
}

/**
 * A device moves only when the crew changes: one that is opened or closed has nothing to do with
 * the others. Each of the crew has a socket, of which there are enough.
 */
function nextDevices(
  current: Allotment,
  crew: readonly number[],
  devices: readonly number[],
): Uint8Array {
  const next = new Uint8Array(DEVICES_MAX).fill(NOBODY);
  const before = Uint8Array.from(devices, (index) => current.devices[index]!);
  const isSameCrew = isEqual(Uint8Array.from(new Set(current.sockets)).toSorted(), crew);
  const after = isSameCrew ? withNewDevices(before, crew) : assign(before, crew);
  for (const [i, index] of devices.entries()) next[index] = after[i]!;
  return next;
}

/** Leaves all where they are, and gives those that nobody has to whoever has least. */
function withNewDevices(before: Uint8Array, workers: readonly number[]): Uint8Array {
  const loads = workers.map((worker) => before.filter((owner) => owner === worker).length);
  return before.map((owner) => {
    if (workers.includes(owner)) return owner;
    const least = loads.indexOf(Math.min(...loads));
    loads[least]!++;
    return workers[least]!;
  });
}

function isEqual(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  return a.length === b.length && Array.prototype.every.call(a, (value, i) => value === b[i]);
}
