/**
 * An underlay without a network: datagrams between chassis wait in one list until somebody lets
 * them arrive; they can be lost, doubled, delayed and, those of different flows, overtake another.
 */
import type { Tunnel } from "@rhone/netio/port";
import { type Counters, TUNNEL_DEVICE } from "@rhone/rings/counters";
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { FRAME_OFFSET, poolViews, SLOT_SHIFT } from "@rhone/rings/pool";
import type { SlotAllocator } from "@rhone/rings/slot-allocator";
import { type Address, formatAddress, parseAddress } from "@rhone/wire/address";
import * as resume from "@rhone/wire/resume";
import { hashOf, type Random } from "./random.ts";

/** Packets that one `receive` brings, as with a socket. */
const RECEIVE_MAX = 64;

const { bytes } = poolViews();

export interface Datagram {
  /** Names of chassis; a forged datagram may come from an address that none has. */
  readonly from: string;
  readonly to: string;
  /** Datagrams of one flow keep their order. */
  readonly flow: number;
  /** From the Geneve header on. */
  readonly bytes: Uint8Array;
}

/** How many times a frame arrives that one chassis sends another. */
export type Copies = (from: string, to: string, frame: Uint8Array) => number;

export class VirtualUnderlay {
  readonly addresses: ReadonlyMap<string, string>;
  readonly #sockets = new Map<string, VirtualTunnel[]>();
  readonly #random: Random;
  readonly #seed: number;
  /** May be changed at any time. */
  copies: Copies = () => 1;
  /** Sees each datagram that is sent; what it returns is sent instead. */
  tap: (datagram: Datagram) => Datagram = (datagram) => datagram;
  #inFlight: Datagram[] = [];

  /** `addresses` of the chassis by their names. */
  constructor(addresses: ReadonlyMap<string, string>, random: Random, seed: number) {
    this.addresses = addresses;
    this.#random = random;
    this.#seed = seed;
  }

  /** One worker's socket; the kernel spreads the flows over those of a chassis. */
  open(chassis: string, allocator: SlotAllocator, counters: Counters): VirtualTunnel {
    const tunnel = new VirtualTunnel(this, chassis, allocator, counters);
    this.#sockets.set(chassis, [...(this.#sockets.get(chassis) ?? []), tunnel]);
    return tunnel;
  }

  send(datagram: Datagram): void {
    const frame = datagram.bytes.subarray(resume.HEADER_SIZE);
    const count = this.copies(datagram.from, datagram.to, frame);
    for (let i = 0; i < count; i++) this.#inFlight.push(this.tap(datagram));
  }

  /** Lets datagrams arrive, or not yet; false when none is on its way. */
  deliverSome(): boolean {
    const waiting = this.#inFlight;
    this.#inFlight = [];
    const held = new Set<string>();
    for (const datagram of waiting) {
      const flow = `${datagram.from} ${datagram.to} ${datagram.flow}`;
      if (held.has(flow) || this.#random.once(3)) {
        held.add(flow);
        this.#inFlight.push(datagram);
      } else this.arrive(datagram);
    }
    return waiting.length > 0;
  }

  arrive(datagram: Datagram): void {
    const sockets = this.#sockets.get(datagram.to);
    if (sockets === undefined) return; // A chassis that is gone.
    const chosen = hashOf(this.#seed, datagram.from, String(datagram.flow)) % sockets.length;
    sockets[chosen]!.incoming.push(datagram);
  }

  nameOf(address: string): string {
    return [...this.addresses].find(([, each]) => each === address)?.[0] ?? address;
  }
}

export class VirtualTunnel implements Tunnel {
  readonly descriptor = -1;
  readonly sources = new Int32Array(RECEIVE_MAX * 4);
  readonly incoming: Datagram[] = [];
  readonly #underlay: VirtualUnderlay;
  readonly #chassis: string;
  readonly #allocator: SlotAllocator;
  readonly #counters: Counters;

  constructor(
    underlay: VirtualUnderlay,
    chassis: string,
    allocator: SlotAllocator,
    counters: Counters,
  ) {
    this.#underlay = underlay;
    this.#chassis = chassis;
    this.#allocator = allocator;
    this.#counters = counters;
  }

  receive(slots: Int32Array, limit: number): number {
    let received = 0;
    for (const { from, bytes: datagram } of this.incoming.splice(0, Math.min(RECEIVE_MAX, limit))) {
      const slot = this.#allocator.takeSmall();
      if (slot < 0) {
        this.#counters.countPortDrop(TUNNEL_DEVICE, DROP["pool-exhausted"]);
        continue;
      }
      // As a socket does it: the inner frame lands where frames belong.
      const at = (slot << SLOT_SHIFT) + FRAME_OFFSET - resume.HEADER_SIZE;
      bytes.set(datagram, at);
      packet.begin(slot, at, datagram.length, -1);
      const address = parseAddress(this.#underlay.addresses.get(from) ?? from)!;
      this.sources.set(address, received * 4);
      slots[received++] = slot;
    }
    return received;
  }

  transmit(slots: Int32Array, count: number, destinations: Int32Array): void {
    for (let i = 0; i < count; i++) {
      const slot = slots[i]!;
      const at = packet.frameAt(slot);
      const words = [...destinations.subarray(i * 4, i * 4 + 4)] as unknown as Address;
      this.#underlay.send({
        from: this.#chassis,
        to: this.#underlay.nameOf(formatAddress(words)),
        flow: packet.flowHash(slot) & 0x3ff, // As many source ports as the socket version uses.
        bytes: bytes.slice(at, at + packet.length(slot)),
      });
      this.#allocator.give(slot);
    }
  }

  transmitSegments(): void {
    throw new Error("expected no super-frames from ports without offloads");
  }

  reclaim(): boolean {
    return false;
  }

  close(): void {}
}
