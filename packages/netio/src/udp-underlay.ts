/**
 * The tunnel over plain UDP sockets: works over every network card and every routed or encrypted
 * underlay. Run by each worker for itself; the workers of a chassis share the port (SO_REUSEPORT).
 *
 * Packets come to one socket on the Geneve port (udp-receiver.ts) and leave by many
 * (udp-sender.ts).
 */
import type { Counters } from "@rhone/rings/counters";
import type { SlotAllocator } from "@rhone/rings/slot-allocator";
import { libc } from "./native.ts";
import type { Tunnel } from "./port.ts";
import { type JoinCheck, UdpReceiver } from "./udp-receiver.ts";
import { UdpSender } from "./udp-sender.ts";
import { openTunnelSocket, parseEndpoint } from "./udp-socket.ts";

/** Bytes that may wait in the socket. */
const RECEIVE_SIZE = 8 * 1024 * 1024;

export interface UdpUnderlayOptions {
  /** This chassis's tunnel address, IPv4 or IPv6. */
  readonly address: string;
  readonly port: number;
  readonly allocator: SlotAllocator;
  readonly counters: Counters;
  /** Asked about each datagram that would be joined with others; left out: all may be. */
  readonly mayJoin?: JoinCheck;
}

export class UdpUnderlay implements Tunnel {
  /** Polls readable when `receive` would find a packet. */
  readonly descriptor: number;
  /** After `receive`: the outer source address of `slots[i]`, four words from `i * 4`. */
  readonly sources: Int32Array;
  readonly #receiver: UdpReceiver;
  readonly #sender: UdpSender;

  /** Throws when this machine does not have the address or the port is taken. */
  constructor(options: UdpUnderlayOptions) {
    const { address, port, mayJoin } = options;
    const endpoint = parseEndpoint(address);
    this.descriptor = openTunnelSocket(endpoint, port, RECEIVE_SIZE);
    this.#receiver = new UdpReceiver(options, endpoint, this.descriptor, mayJoin);
    this.sources = this.#receiver.sources;
    this.#sender = new UdpSender(options, endpoint, port, this.descriptor);
  }

  /**
   * At most 64 packets in `slots`, each starting with its Geneve header; returns how many. One with
   * a gsoType is a super-frame of datagrams that were alike, under the first one's header; its
   * offload words count from the frame behind that.
   */
  receive(slots: Int32Array, limit: number): number {
    return this.#receiver.receive(slots, limit);
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
    this.#receiver.close();
  }
}
