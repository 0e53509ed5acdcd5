/**
 * The tunnel over plain UDP sockets: works over every network card and every routed or encrypted
 * underlay. Run by each worker for itself; the workers of a chassis share the port (SO_REUSEPORT).
 *
 * Packets come to one socket on the Geneve port. They leave by many: see udp-sender.ts.
 */
import { type Counters, TUNNEL_DEVICE } from "@rhone/rings/counters";
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { FRAME_OFFSET, SLOT_SHIFT, SLOT_SIZE } from "@rhone/rings/pool";
import type { SlotAllocator } from "@rhone/rings/slot-allocator";
import { MessageVector } from "./message-vector.ts";
import { libc } from "./native.ts";
import type { Tunnel } from "./port.ts";
import { UdpSender } from "./udp-sender.ts";
import { type Endpoint, nameWord, openTunnelSocket, parseEndpoint } from "./udp-socket.ts";

const RECEIVE_BURST = 64;
/** Room for Geneve header and option, so that the inner frame lands where frames belong. */
const HEADER_ROOM = 40;
/** Bytes that may wait in the socket. */
const RECEIVE_SIZE = 8 * 1024 * 1024;

export interface UdpUnderlayOptions {
  /** This chassis's tunnel address, IPv4 or IPv6. */
  readonly address: string;
  readonly port: number;
  readonly allocator: SlotAllocator;
  readonly counters: Counters;
}

export class UdpUnderlay implements Tunnel {
  /** Polls readable when `receive` would find a packet. */
  readonly descriptor: number;
  /** After `receive`: the outer source address of `slots[i]`, four words from `i * 4`. */
  readonly sources = new Int32Array(RECEIVE_BURST * 4);
  readonly #options: UdpUnderlayOptions;
  readonly #endpoint: Endpoint;
  readonly #sender: UdpSender;
  readonly #slots = new Int32Array(RECEIVE_BURST).fill(-1);
  readonly #incoming = new MessageVector({
    count: RECEIVE_BURST,
    buffersPerMessage: 1,
    hasNames: true,
    controlSize: 0,
  });

  /** Throws when this machine does not have the address or the port is taken. */
  constructor(options: UdpUnderlayOptions) {
    this.#options = options;
    this.#endpoint = parseEndpoint(options.address);
    this.descriptor = openTunnelSocket(this.#endpoint, options.port, RECEIVE_SIZE);
    this.#sender = new UdpSender(options, this.#endpoint, options.port, this.descriptor);
  }

  /** At most 64 packets in `slots`, each starting with its Geneve header; returns how many. */
  receive(slots: Int32Array, limit: number): number {
    const wanted = this.#arm(Math.min(RECEIVE_BURST, limit));
    if (wanted === 0) return 0;
    const count = this.#incoming.receive(this.descriptor, wanted);
    let received = 0;
    for (let i = 0; i < count; i++) {
      if (!this.#take(i, received)) continue;
      slots[received++] = this.#slots[i]!;
      this.#slots[i] = -1;
    }
    return received;
  }

  /**
   * Sends `slots[0..count)`, each starting with its Geneve header, to the addresses at
   * `destinations[i * 4]`, and frees them.
   */
  transmit(slots: Int32Array, count: number, destinations: Int32Array): void {
    this.#sender.transmit(slots, count, destinations);
  }

  transmitSegments(
    slots: Int32Array,
    count: number,
    headersSize: number,
    payloadAt: number,
    destination: Int32Array,
  ): void {
    this.#sender.transmitSegments(slots, count, headersSize, payloadAt, destination);
  }

  /** Whether the kernel holds packets of ours: never, it copies. */
  reclaim(): boolean {
    return false;
  }

  close(): void {
    this.#sender.close();
    libc.close(this.descriptor);
    for (const slot of this.#slots) if (slot >= 0) this.#options.allocator.give(slot);
    this.#slots.fill(-1);
  }

  #arm(count: number): number {
    for (let i = 0; i < count; i++) {
      if (this.#slots[i]! < 0) {
        const slot = this.#options.allocator.takeSmall();
        if (slot < 0) return i;
        this.#slots[i] = slot;
        const at = (slot << SLOT_SHIFT) + FRAME_OFFSET - HEADER_ROOM;
        const room = SLOT_SIZE - FRAME_OFFSET + HEADER_ROOM;
        this.#incoming.setBuffer(i, 0, at, room);
      }
    }
    return count;
  }

  /** Begins the packet of message `i`; false when it was dropped and its slot stays armed. */
  #take(i: number, received: number): boolean {
    const { counters } = this.#options;
    const length = this.#incoming.length(i);
    if (this.#incoming.isTruncated(i)) {
      counters.countPortDrop(TUNNEL_DEVICE, DROP["frame-too-long"]);
      return false;
    }
    const slot = this.#slots[i]!;
    const at = (slot << SLOT_SHIFT) + FRAME_OFFSET - HEADER_ROOM;
    packet.begin(slot, at, length, -1);
    const nameAt = this.#incoming.nameAt(i);
    const { view } = this.#incoming;
    for (let k = 0; k < 4; k++) {
      this.sources[received * 4 + k] = nameWord(view, nameAt, this.#endpoint.isIpv4, k);
    }
    counters.countReceived(TUNNEL_DEVICE, 1, length);
    return true;
  }
}
