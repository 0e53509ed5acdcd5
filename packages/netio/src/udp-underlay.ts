/**
 * The tunnel over plain UDP sockets: works over every network card and every routed or encrypted
 * underlay. Run by each worker for itself; the workers of a chassis share the port (SO_REUSEPORT).
 *
 * Packets come to one socket on the Geneve port. They leave by many, each bound to a source port of
 * its own, chosen by the flow's hash: so routers and cards on the way spread flows, never a flow's
 * packets (RFC 8926 §3.3). Packets of one size to one peer in a row leave as one super-datagram
 * that the kernel cuts (UDP_SEGMENT).
 */
import { type Counters, TUNNEL_DEVICE } from "@rhone/rings/counters";
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { FRAME_OFFSET, SLOT_SHIFT, SLOT_SIZE } from "@rhone/rings/pool";
import type { SlotAllocator } from "@rhone/rings/slot-allocator";
import { isIpv4, parseAddress } from "@rhone/wire/address";
import { MessageVector } from "./message-vector.ts";
import * as native from "./native.ts";
import { allocate } from "./native-memory.ts";
import type { Tunnel } from "./port.ts";
import { openSocket, setBufferSizes, setOption } from "./socket-option.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0x800;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_REUSEPORT = 15;
const BUFFER_SIZE = 8 * 1024 * 1024;
const IPPROTO_IP = 0;
const IP_MTU_DISCOVER = 10;
const IPPROTO_IPV6 = 41;
const IPV6_MTU_DISCOVER = 23;
const PMTUDISC_DO = 2; // Set DF, refuse what is larger.
const SOL_UDP = 17;
const UDP_SEGMENT = 103;
const NAME_SIZE = 28; // struct sockaddr_in6, the larger one
const CONTROL_SIZE = 24; // a cmsghdr of 16 and one 16-bit number, aligned

const RECEIVE_BURST = 64;
/** Of the kernel: UDP_MAX_SEGMENTS and the largest datagram. */
const RUN_MAX = 64;
const RUN_SIZE_MAX = 65000;
const SOURCE_PORT_FIRST = 49152; // RFC 6335: the dynamic ports
const SOURCE_PORTS = 1024;
/** Room for Geneve header and option, so that the inner frame lands where frames belong. */
const HEADER_ROOM = 40;

/** Bytes that may wait in a socket; one that only sends takes in next to nothing. */
const SENDER_RECEIVE_SIZE = 4096;

const { libc } = native;
const bindName = allocate(NAME_SIZE);

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
  readonly #isIpv4: boolean;
  readonly #words = new Int32Array(4);
  readonly #senders = new Int32Array(SOURCE_PORTS).fill(-1);
  readonly #slots = new Int32Array(RECEIVE_BURST).fill(-1);
  #runMax = RUN_MAX;
  readonly #incoming = new MessageVector({
    count: RECEIVE_BURST,
    buffersPerMessage: 1,
    hasNames: true,
    controlSize: 0,
  });
  readonly #outgoing = new MessageVector({
    count: 1,
    buffersPerMessage: RUN_MAX,
    hasNames: true,
    controlSize: CONTROL_SIZE,
  });

  /** Throws when this machine does not have the address or the port is taken. */
  constructor(options: UdpUnderlayOptions) {
    const address = parseAddress(options.address);
    if (address === null) throw new Error(`expected an IP address, got "${options.address}"`);
    this.#options = options;
    this.#isIpv4 = isIpv4(address);
    this.#words.set(address);
    this.descriptor = this.#openSocket(options.port, BUFFER_SIZE);
    this.#layOutControl();
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
    for (let first = 0; first < count; ) {
      const run = this.#runLength(slots, first, count, destinations);
      this.#send(slots, first, run, destinations);
      first += run;
    }
  }

  /** Whether the kernel holds packets of ours: never, it copies. */
  reclaim(): boolean {
    return false;
  }

  close(): void {
    libc.close(this.descriptor);
    for (const sender of this.#senders) {
      if (sender >= 0 && sender !== this.descriptor) libc.close(sender);
    }
    for (const slot of this.#slots) if (slot >= 0) this.#options.allocator.give(slot);
    this.#senders.fill(-1);
    this.#slots.fill(-1);
  }

  #openSocket(port: number, receiveSize: number): number {
    const family = this.#isIpv4 ? AF_INET : AF_INET6;
    const what = `the tunnel at ${this.#options.address}, UDP port ${port}`;
    const socket = openSocket(family, SOCK_DGRAM | SOCK_NONBLOCK, 0, what);
    try {
      setOption(socket, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
      setOption(socket, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT");
      setBufferSizes(socket, BUFFER_SIZE, receiveSize);
      const level = this.#isIpv4 ? IPPROTO_IP : IPPROTO_IPV6;
      const option = this.#isIpv4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER;
      setOption(socket, level, option, PMTUDISC_DO, "MTU_DISCOVER");
      const size = this.#writeName(bindName.view, 0, this.#words, 0, port);
      native.check(libc.bind(socket, bindName.address, size), `bind ${what}`);
      return socket;
    } catch (error) {
      libc.close(socket);
      throw error;
    }
  }

  /** A socket address (ip(7), ipv6(7)); returns its size. */
  #writeName(target: DataView, at: number, words: Int32Array, first: number, port: number): number {
    target.setUint16(at + 2, port);
    if (this.#isIpv4) {
      target.setUint16(at, AF_INET, true);
      target.setInt32(at + 4, words[first + 3]!);
      return 16;
    }
    target.setUint16(at, AF_INET6, true);
    target.setInt32(at + 4, 0); // flow label
    for (let i = 0; i < 4; i++) target.setInt32(at + 8 + i * 4, words[first + i]!);
    return NAME_SIZE;
  }

  #layOutControl(): void {
    const messages = this.#outgoing;
    const at = messages.controlAt(0);
    messages.view.setUint32(at, 18, true); // length of the control message
    messages.view.setInt32(at + 8, SOL_UDP, true);
    messages.view.setInt32(at + 12, UDP_SEGMENT, true);
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
      this.sources[received * 4 + k] = this.#isIpv4
        ? ipv4Word(view, nameAt, k)
        : view.getInt32(nameAt + 8 + k * 4);
    }
    counters.countReceived(TUNNEL_DEVICE, 1, length);
    return true;
  }

  /** How many packets from `first` on can leave as one super-datagram. */
  #runLength(slots: Int32Array, first: number, count: number, to: Int32Array): number {
    const size = packet.length(slots[first]!);
    const port = packet.flowHash(slots[first]!) & (SOURCE_PORTS - 1);
    let total = size;
    let run = 1;
    while (first + run < count && run < this.#runMax) {
      const slot = slots[first + run]!;
      const length = packet.length(slot);
      if ((packet.flowHash(slot) & (SOURCE_PORTS - 1)) !== port) break;
      if (length > size || total + length > RUN_SIZE_MAX) break;
      if (!isSameAddress(to, first * 4, (first + run) * 4)) break;
      total += length;
      run++;
      if (length < size) break; // Only the last one may be shorter.
    }
    return run;
  }

  #send(slots: Int32Array, first: number, run: number, destinations: Int32Array): void {
    const { port, allocator } = this.#options;
    const messages = this.#outgoing;
    const nameSize = this.#writeName(
      messages.view,
      messages.nameAt(0),
      destinations,
      first * 4,
      port,
    );
    messages.setNameSize(0, nameSize);
    const sender = this.#sender(packet.flowHash(slots[first]!) & (SOURCE_PORTS - 1));
    if (isMappedIpv4(destinations, first * 4) !== this.#isIpv4) {
      this.#drop(run, DROP["tunnel-send-failed"]);
    } else if (!this.#sendRun(sender, slots, first, run)) {
      this.#onRefused(sender, slots, first, run);
    }
    for (let i = 0; i < run; i++) allocator.give(slots[first + i]!);
  }

  /** Sends a run in one call, and counts it; false when the kernel refused it. */
  #sendRun(sender: number, slots: Int32Array, first: number, run: number): boolean {
    const messages = this.#outgoing;
    let total = 0;
    for (let i = 0; i < run; i++) {
      const slot = slots[first + i]!;
      const length = packet.length(slot);
      messages.setBuffer(0, i, packet.frameAt(slot), length);
      total += length;
    }
    messages.setBufferCount(0, run);
    messages.setControlSize(0, run === 1 ? 0 : CONTROL_SIZE);
    messages.view.setUint16(messages.controlAt(0) + 16, packet.length(slots[first]!), true);
    if (messages.sendFirst(sender) < 0) return false;
    this.#options.counters.countSent(TUNNEL_DEVICE, run, total);
    return true;
  }

  /** Counts what was refused; a run is tried again one by one, unless the socket is full. */
  #onRefused(sender: number, slots: Int32Array, first: number, run: number): void {
    const number = native.errno();
    if (run === 1 || number === native.EAGAIN) {
      this.#drop(run, refusal(number));
      return;
    }
    // A path that cannot cut super-datagrams (IPsec) is known by this error.
    if (number === native.EIO) this.#runMax = 1;
    for (let i = 0; i < run; i++) {
      if (!this.#sendRun(sender, slots, first + i, 1)) this.#drop(1, refusal(native.errno()));
    }
  }

  #drop(packets: number, reason: number): void {
    for (let i = 0; i < packets; i++) this.#options.counters.countPortDrop(TUNNEL_DEVICE, reason);
  }

  /** The socket of a source port, opened when it is first used; the common one if it cannot be. */
  #sender(number: number): number {
    if (this.#senders[number]! < 0) {
      try {
        const port = SOURCE_PORT_FIRST + number;
        this.#senders[number] = this.#openSocket(port, SENDER_RECEIVE_SIZE);
      } catch {
        // Taken by another program, or no descriptors left: the flow does without its own port.
        this.#senders[number] = this.descriptor;
      }
    }
    return this.#senders[number]!;
  }
}

function refusal(number: number): number {
  return number === native.EMSGSIZE ? DROP["too-big"] : DROP["tunnel-send-failed"];
}

/** Whether four words of an address are ::ffff:a.b.c.d. */
function isMappedIpv4(words: Int32Array, at: number): boolean {
  return words[at] === 0 && words[at + 1] === 0 && words[at + 2] === 0xffff;
}

/** Word `k` of an IPv4 source in its 128-bit form. */
function ipv4Word(name: DataView, at: number, k: number): number {
  if (k === 3) return name.getInt32(at + 4);
  return k === 2 ? 0xffff : 0;
}

function isSameAddress(words: Int32Array, a: number, b: number): boolean {
  for (let i = 0; i < 4; i++) if (words[a + i] !== words[b + i]) return false;
  return true;
}
