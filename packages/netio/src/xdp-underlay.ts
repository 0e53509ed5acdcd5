/**
 * The tunnel over AF_XDP, beside the kernel's UDP sockets. Run by each worker for itself, with
 * those queues of the underlay device that it owns; one without a queue has the sockets alone.
 *
 *   what                                                   goes by
 *   a datagram to us, whole, of the device's queue         the queue (tunnel-program.ts)
 *   fragments, IP options, VLAN tags, jumbo frames, ARP    the kernel, and its sockets
 *   a packet to an endpoint whose next hop is known        the worker's first queue
 *   super-frames and other frames in large slots; what     the sockets
 *   the path's MTU or the headroom refuses; next hops
 *   that the kernel must find first
 *
 * A flow has one worker, and an endpoint one path at a time, so a flow's packets of ordinary size
 * go one way.
 */
import { TUNNEL_DEVICE } from "@rhone/rings/counters";
import { DROP } from "@rhone/rings/drop-reason";
import { OuterHeaders } from "./outer-headers.ts";
import type { Port, PortContext, Tunnel } from "./port.ts";
import type { TunnelPaths } from "./tunnel-paths.ts";
import { type Endpoint, SOURCE_PORTS_DEFAULT } from "./udp-socket.ts";

const BURST = 64;
/** Packets that are sorted at once. */
const SORTED_MAX = 256;
/** Of so many calls of `receive` that find something in the queues, one asks the sockets, too. */
const UDP_TURNS = 8;
const NO_PATH = -1;

export interface XdpUnderlayOptions extends Pick<PortContext, "allocator" | "counters"> {
  readonly endpoint: Endpoint;
  readonly port: number;
  readonly sourcePorts?: number;
  /** Has all the rest. */
  readonly udp: Tunnel;
  /** Ports of the worker's queues; they come and go. */
  readonly queues: readonly Port[];
}

export class XdpUnderlay implements Tunnel {
  /** The queues' are their ports', and the sockets' are the UDP tunnel's. */
  readonly descriptor = -1;
  readonly sources = new Int32Array(BURST * 4);
  readonly #context: Pick<PortContext, "allocator" | "counters">;
  readonly #udp: Tunnel;
  readonly #queues: readonly Port[];
  readonly #headers: OuterHeaders;
  #paths: TunnelPaths | null = null;
  /** Which queue is asked next, and calls without asking the sockets. */
  #turn = 0;
  #udpPause = 0;
  readonly #received = new Int32Array(BURST);
  readonly #direct = new Int32Array(SORTED_MAX);
  readonly #indirect = new Int32Array(SORTED_MAX);
  readonly #destinations = new Int32Array(SORTED_MAX * 4);

  constructor(options: XdpUnderlayOptions) {
    const { endpoint, port, sourcePorts = SOURCE_PORTS_DEFAULT, udp, queues } = options;
    this.#context = options;
    this.#udp = udp;
    this.#queues = queues;
    this.#headers = new OuterHeaders(endpoint, port, sourcePorts);
  }

  /** From now on packets go these ways. */
  adoptPaths(paths: TunnelPaths): void {
    this.#paths = paths;
  }

  receive(slots: Int32Array, limit: number): number {
    const most = Math.min(limit, BURST);
    const isUdpTurn = ++this.#udpPause >= UDP_TURNS;
    // However much the queues have, the sockets get a part of their turn.
    const received = this.#receiveDirect(slots, isUdpTurn ? most >>> 1 : most);
    if (received > 0 && !isUdpTurn) return received;
    this.#udpPause = 0;
    const count = this.#udp.receive(this.#received, most - received);
    for (let i = 0; i < count; i++) {
      slots[received + i] = this.#received[i]!;
      const to = (received + i) * 4;
      for (let word = 0; word < 4; word++) {
        this.sources[to + word] = this.#udp.sources[i * 4 + word]!;
      }
    }
    return received + count;
  }

  transmit(slots: Int32Array, count: number, destinations: Int32Array): void {
    const paths = this.#paths;
    const queue = this.#queues[0];
    if (paths === null || queue === undefined || !queue.isUp) {
      this.#udp.transmit(slots, count, destinations);
      return;
    }
    for (let from = 0; from < count; from += SORTED_MAX) {
      const end = Math.min(count, from + SORTED_MAX);
      this.#transmitSorted(paths, queue, slots, from, end, destinations);
    }
  }

  transmitSegments(
    slots: Int32Array,
    count: number,
    headersSize: number,
    payloadAt: number,
    destination: Int32Array,
  ): void {
    this.#udp.transmitSegments(slots, count, headersSize, payloadAt, destination);
  }

  /** The queues' frames are their ports' to reclaim. */
  reclaim(): boolean {
    return this.#udp.reclaim();
  }

  close(): void {
    this.#udp.close();
  }

  /** What came by the queues, without its outer headers. */
  #receiveDirect(slots: Int32Array, limit: number): number {
    const { allocator, counters } = this.#context;
    const queues = this.#queues;
    let received = 0;
    for (let asked = 0; asked < queues.length && received < limit; asked++) {
      this.#turn = this.#turn + 1 < queues.length ? this.#turn + 1 : 0;
      const count = queues[this.#turn]!.receive(this.#received, limit - received);
      for (let i = 0; i < count; i++) {
        const slot = this.#received[i]!;
        if (this.#headers.remove(slot, this.sources, received * 4)) {
          slots[received++] = slot;
        } else {
          counters.countPortDrop(TUNNEL_DEVICE, DROP["tunnel-outer-malformed"]);
          allocator.give(slot);
        }
      }
    }
    return received;
  }

  #transmitSorted(
    paths: TunnelPaths,
    queue: Port,
    slots: Int32Array,
    from: number,
    end: number,
    destinations: Int32Array,
  ): void {
    const { allocator } = this.#context;
    let direct = 0;
    let indirect = 0;
    let row = NO_PATH;
    for (let i = from; i < end; i++) {
      const slot = slots[i]!;
      if (i === from || !isSame(destinations, i * 4, (i - 1) * 4)) {
        row = paths.find(destinations, i * 4);
      }
      if (row !== NO_PATH && !allocator.isLarge(slot) && this.#headers.fit(slot, paths.mtu(row))) {
        this.#headers.add(slot, paths, row, destinations, i * 4);
        this.#direct[direct++] = slot;
        continue;
      }
      for (let word = 0; word < 4; word++) {
        this.#destinations[indirect * 4 + word] = destinations[i * 4 + word]!;
      }
      this.#indirect[indirect++] = slot;
    }
    if (direct > 0) queue.transmit(this.#direct, direct);
    if (indirect > 0) this.#udp.transmit(this.#indirect, indirect, this.#destinations);
  }
}

/** Whether two addresses of four words are the same. */
function isSame(words: Int32Array, a: number, b: number): boolean {
  for (let i = 0; i < 4; i++) if (words[a + i] !== words[b + i]) return false;
  return true;
}
