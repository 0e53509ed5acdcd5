/** Who is to have what next: a pure function of who has it now and who is there. */
import type { Allotment } from "@rhone/dataplane-worker/allotment";
import { assign, firstOwners, NOBODY } from "@rhone/rings/buckets";
import { DEVICES_MAX } from "@rhone/rings/counters";

export interface Wishes {
  /** Workers that are to own something, in ascending order; at least one. */
  readonly owners: readonly number[];
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

/** The allotment behind `current`, or `current` itself when it grants the wishes already. */
export function nextAllotment(current: Allotment, wishes: Wishes): Allotment {
  const next = {
    edition: current.edition + 1,
    workers: wishes.running,
    owners: assign(current.owners, wishes.owners),
    devices: nextDevices(current, wishes),
    sockets: assign(current.sockets, wishes.owners),
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
 * A device moves only when workers come or go: one that is opened or closed has nothing to do with
 * the others.
 */
function nextDevices(current: Allotment, { owners, devices }: Wishes): Uint8Array {
  const next = new Uint8Array(DEVICES_MAX).fill(NOBODY);
  const before = Uint8Array.from(devices, (index) => current.devices[index]!);
  const isSameCrew = isEqual(Uint8Array.from(new Set(current.owners)).toSorted(), owners);
  const after = isSameCrew ? withNewcomers(before, owners) : assign(before, owners);
  for (const [i, index] of devices.entries()) next[index] = after[i]!;
  return next;
}

/** Leaves all where they are, and gives those that nobody has to whoever has least. */
function withNewcomers(before: Uint8Array, workers: readonly number[]): Uint8Array {
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
