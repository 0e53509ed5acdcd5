/**
 * The tunnel over plain UDP sockets: works over every network card and every routed or encrypted
 * underlay. Run by each worker for itself; the workers of a chassis share the port (SO_REUSEPORT)
 * and the sockets at it.
 *
 * Packets come to sockets on the Geneve port (udp-receiver.ts) and leave by many
 * (udp-sender.ts).
 */
import type { Counters } from "@rhone/rings/counters";
import type { SlotAllocator } from "@rhone/rings/slot-allocator";
import { libc } from "./native.ts";
import type { Tunnel } from "./port.ts";
import { type JoinCheck, UdpReceiver } from "./udp-receiver.ts";
import { UdpSender } from "./udp-sender.ts";
import { openTunnelSocket, parseEndpoint, RECEIVE_SIZE } from "./udp-socket.ts";

export interface UdpUnderlayOptions {
  /** This chassis's tunnel address, IPv4 or IPv6. */
  readonly address: string;
  readonly port: number;
  readonly allocator: SlotAllocator;
  readonly counters: Counters;
  /** Asked about each datagram that would be joined with others; left out: all may be. */
  readonly mayJoin?: JoinCheck;
  /**
   * A socket of the chassis, to send by what has no other; then `startSocket` says where to receive
   * from. Left out: one is opened, received from, and closed at the end.
   */
  readonly socket?: number;
  /** Sockets to send by, -1 where none is open yet; they outlive a thread that dies. */
  readonly senders?: Int32Array;
}

export class UdpUnderlay implements Tunnel {
  /** The socket that was opened here, -1 when it is the chassis's. */
  readonly descriptor: number;
  /** After `receive`: the outer source address of `slots[i]`, four words from `i * 4`. */
  readonly sources: Int32Array;
  readonly #receiver: UdpReceiver;
  readonly #sender: UdpSender;

  /** Throws when this machine does not have the address or the port is taken. */
  constructor(options: UdpUnderlayOptions) {
    const { address, port, mayJoin, socket = -1, senders } = options;
    const endpoint = parseEndpoint(address);
    this.descriptor = socket < 0 ? openTunnelSocket(endpoint, port, RECEIVE_SIZE) : -1;
    this.#receiver = new UdpReceiver(options, endpoint, mayJoin);
    this.sources = this.#receiver.sources;
    const common = socket < 0 ? this.descriptor : socket;
    this.#sender = new UdpSender(options, endpoint, port, common, senders);
    if (socket < 0) this.startSocket(this.descriptor);
  }

  /** Receives from this socket too. */
  startSocket(socket: number): void {
    this.#receiver.start(socket);
  }

  /** Takes nothing more from this socket; what it has taken, `receive` still hands out. */
  stopSocket(socket: number): void {
    this.#receiver.stop(socket);
  }

  /** Whether `receive` has something to hand out that was taken from a socket before. */
  get hasLeftovers(): boolean {
    return this.#receiver.hasLeftovers;
  }

  /** Slots that wait for packets. */
  get slotsWaiting(): number {
    return this.#receiver.slotsWaiting;
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
    if (this.descriptor >= 0) libc.close(this.descriptor);
    this.#receiver.close();
  }
}
