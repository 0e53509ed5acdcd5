/**
 * How buckets of flows, devices and sockets of the tunnel change owner while packets flow: nothing
 * is lost, nothing overtakes, and two workers never touch the same bucket. Run by each worker,
 * between two batches; the map in force comes from the control thread as a numbered allotment.
 *
 * What moves from X to Y goes like this:
 *
 *   1  Every worker adopts the allotment, says so (`seen`), and from then on sends to Y. Y holds
 *      what comes, in order. X goes on with what still reaches it.
 *   2  When all have seen it, nothing new comes to X. X empties the rings to it as they stand then.
 *   3  X lets go: from here on it sends to Y as well. It takes its ports out of service.
 *   4  When all that X had sent to others is taken out of the rings, nothing of Y's can overtake
 *      it any more: X says `released`, and its ports travel to Y.
 *   5  When all that give to Y have released, and the ports are there, Y owns. What it held goes
 *      first.
 *
 * A worker that died is waited for until the others have taken what it had sent them.
 */
import { HELD, NOBODY, WORKERS_MAX } from "@rhone/rings/buckets";
import type { RingConsumer, RingProducer } from "@rhone/rings/ring";
import type { WorkerStatus } from "@rhone/rings/worker-status";
import type { Allotment } from "./allotment.ts";

/** What is more than a number in a map, and must be handled when its owner changes. */
export interface Luggage {
  /** A bucket comes from nobody, or from a worker that died in the middle of something. */
  inheritBucket(bucket: number): void;
  /** No more packets are taken in from the socket. */
  stopSocket(socket: number): void;
  /** Whether packets wait that were already taken from a stopped socket. */
  hasLeftovers(): boolean;
  startSocket(socket: number): void;
  /** Takes the device's port out of service. */
  detachPort(device: number): void;
  /** The device is to be nobody's. */
  closePort(device: number): void;
  /** Sends the ports that were detached on their way to their new owners. */
  passPortsOn(): void;
}

export interface HandOverParts {
  readonly worker: number;
  /** This worker's own maps: it acts by them and nobody else sees them. */
  readonly owners: Uint8Array;
  readonly devices: Uint8Array;
  readonly sockets: Uint8Array;
  /** By worker. */
  readonly statuses: readonly WorkerStatus[];
  /** From each other worker. */
  readonly incoming: readonly RingConsumer[];
  /** By worker, null for ourselves. */
  readonly outgoing: readonly (RingProducer | null)[];
  readonly luggage: Luggage;
}

// How far a worker is with what it loses.
const WAITS_FOR_ALL = 0;
const EMPTIES_RINGS = 1;
const LET_GO = 2;
const RELEASED = 3;

export class HandOver {
  readonly #parts: HandOverParts;
  readonly #status: WorkerStatus;
  readonly #marks: Int32Array;
  /** By worker: whether it runs, and whether it has to release something to us. */
  readonly #isRunning = new Uint8Array(WORKERS_MAX);
  readonly #isGiver = new Uint8Array(WORKERS_MAX);
  /** By device: the worker that its port is to come from. */
  readonly #portFrom: Uint8Array;
  #portsAwaited = 0;
  #allotment: Allotment | null = null;
  #losing = RELEASED;
  #isGaining = false;
  #hasLostGiver = false;

  constructor(parts: HandOverParts) {
    this.#parts = parts;
    this.#status = parts.statuses[parts.worker]!;
    this.#marks = new Int32Array(Math.max(parts.incoming.length, parts.outgoing.length));
    this.#portFrom = new Uint8Array(parts.devices.length).fill(NOBODY);
  }

  /** Whether something is on its way from or to this worker. */
  get isBusy(): boolean {
    return this.#losing !== RELEASED || this.#isGaining;
  }

  /** Begins to follow an allotment. The one before must be settled by every worker. */
  adopt(allotment: Allotment): void {
    if (this.isBusy) {
      const { edition } = this.#allotment!;
      throw new Error(`expected allotment ${edition} to be settled, got ${allotment.edition}`);
    }
    const { owners, devices, sockets, luggage } = this.#parts;
    this.#allotment = allotment;
    this.#isRunning.fill(0);
    for (const worker of allotment.workers) this.#isRunning[worker] = 1;
    this.#isGiver.fill(0);
    this.#hasLostGiver = false;
    const hasLost = [
      this.#turnTo(owners, allotment.owners, (bucket) => luggage.inheritBucket(bucket)),
      this.#turnTo(devices, allotment.devices, () => {}),
      this.#turnTo(sockets, allotment.sockets, (socket) => luggage.startSocket(socket)),
    ];
    for (let device = 0; device < devices.length; device++) {
      if (devices[device] === HELD) this.#portsAwaited++;
    }
    this.#isGaining = this.#isGiver.includes(1);
    this.#status.setSeen(allotment.edition);
    if (hasLost.includes(true)) this.#losing = WAITS_FOR_ALL;
    else this.#status.setReleased(allotment.edition);
    this.#settle();
  }

  /** A worker died, and what it had sent is taken: from now on nobody waits for it. */
  forget(worker: number): void {
    this.#isRunning[worker] = 0;
    if (this.#isGiver[worker] === 1) this.#hasLostGiver = true;
    this.#isGiver[worker] = 0;
    for (let device = 0; device < this.#portFrom.length; device++) {
      if (this.#portFrom[device] === worker) this.portArrived(device);
    }
  }

  /** The port of a device that moves here is in service, or there is none. */
  portArrived(device: number): void {
    if (this.#portFrom[device] === NOBODY) return;
    this.#portFrom[device] = NOBODY;
    this.#portsAwaited--;
  }

  /**
   * One step, once a loop before anything is taken in. True when this worker has come to own what
   * it held packets for: they go before all others.
   */
  step(): boolean {
    if (this.#losing !== RELEASED) this.#lose();
    if (!this.#isGaining || !this.#mayTake()) return false;
    const { owners, devices, sockets, luggage } = this.#parts;
    // Who gave which bucket is forgotten by now: making a whole one whole does no harm.
    const wasLost = this.#hasLostGiver;
    this.#takeHeld(owners, (bucket) => wasLost && luggage.inheritBucket(bucket));
    this.#takeHeld(devices, () => {});
    this.#takeHeld(sockets, (socket) => luggage.startSocket(socket));
    this.#isGaining = false;
    this.#settle();
    return true;
  }

  /** Turns a map to the next one, except for what we lose; says whether there is such. */
  #turnTo(map: Uint8Array, next: Uint8Array, begin: (index: number) => void): boolean {
    const { worker } = this.#parts;
    let hasLost = false;
    for (let i = 0; i < map.length; i++) {
      const before = map[i]!;
      const after = next[i]!;
      if (before === after) continue;
      if (before === worker) {
        hasLost = true;
        continue;
      }
      map[i] = after;
      if (after !== worker) continue;
      if (before === NOBODY || this.#isRunning[before] !== 1) {
        begin(i);
        continue;
      }
      map[i] = HELD;
      this.#isGiver[before] = 1;
      if (map === this.#parts.devices) this.#portFrom[i] = before;
    }
    return hasLost;
  }

  #lose(): void {
    const { incoming, outgoing, sockets, luggage } = this.#parts;
    const allotment = this.#allotment!;
    if (this.#losing === WAITS_FOR_ALL) {
      if (!this.#haveAllSeen(allotment.edition)) return;
      for (let i = 0; i < incoming.length; i++) this.#marks[i] = incoming[i]!.pushed();
      this.#forEachLost(sockets, allotment.sockets, (socket) => luggage.stopSocket(socket));
      this.#losing = EMPTIES_RINGS;
    }
    if (this.#losing === EMPTIES_RINGS) {
      for (let i = 0; i < incoming.length; i++) {
        if (!incoming[i]!.hasPoppedTo(this.#marks[i]!)) return;
      }
      if (luggage.hasLeftovers()) return;
      this.#letGo(allotment);
      for (let to = 0; to < outgoing.length; to++) this.#marks[to] = outgoing[to]?.pushed ?? 0;
      this.#losing = LET_GO;
    }
    for (let to = 0; to < outgoing.length; to++) {
      if (this.#isRunning[to] !== 1) continue;
      if (outgoing[to]?.isPoppedTo(this.#marks[to]!) === false) return;
    }
    this.#losing = RELEASED;
    this.#status.setReleased(allotment.edition);
    luggage.passPortsOn();
    this.#settle();
  }

  #letGo({ owners, devices, sockets }: Allotment): void {
    const { luggage, ...mine } = this.#parts;
    this.#forEachLost(mine.devices, devices, (device) => {
      if (devices[device] === NOBODY) luggage.closePort(device);
      else luggage.detachPort(device);
    });
    for (const [map, next] of [
      [mine.owners, owners],
      [mine.devices, devices],
      [mine.sockets, sockets],
    ] as const) {
      this.#forEachLost(map, next, (i) => {
        map[i] = next[i]!;
      });
    }
  }

  #forEachLost(map: Uint8Array, next: Uint8Array, visit: (index: number) => void): void {
    const { worker } = this.#parts;
    for (let i = 0; i < map.length; i++) {
      if (map[i] === worker && next[i] !== worker) visit(i);
    }
  }

  #takeHeld(map: Uint8Array, begin: (index: number) => void): void {
    for (let i = 0; i < map.length; i++) {
      if (map[i] !== HELD) continue;
      map[i] = this.#parts.worker;
      begin(i);
    }
  }

  #haveAllSeen(edition: number): boolean {
    const { statuses } = this.#parts;
    for (let i = 0; i < statuses.length; i++) {
      if (this.#isRunning[i] === 1 && statuses[i]!.seen() !== edition) return false;
    }
    return true;
  }

  #mayTake(): boolean {
    const { statuses } = this.#parts;
    if (this.#portsAwaited > 0) return false;
    for (let i = 0; i < statuses.length; i++) {
      if (this.#isGiver[i] === 1 && statuses[i]!.released() !== this.#allotment!.edition) {
        return false;
      }
    }
    return true;
  }

  #settle(): void {
    if (!this.isBusy) this.#status.setSettled(this.#allotment!.edition);
  }
}
