/**
 * The sending half of the tunnel. Packets leave by many sockets, each bound to a source port of its
 * own, chosen by the flow's hash: so routers and cards on the way spread flows, never a flow's
 * packets (RFC 8926 §3.3).
 *
 * Packets of one source port and one size to one peer leave as one super-datagram that the kernel
 * cuts (UDP_SEGMENT, udp(7)). The segments of a super-frame do so with their payload where it lies:
 * the kernel gathers headers and payload in turn.
 */
import { TUNNEL_DEVICE } from "@rhone/rings/counters";
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { MessageVector } from "./message-vector.ts";
import * as native from "./native.ts";
import type { PortContext } from "./port.ts";
import {
  type Endpoint,
  openTunnelSocket,
  SOL_UDP,
  SOURCE_PORT_FIRST,
  SOURCE_PORTS_DEFAULT,
  writeName,
} from "./udp-socket.ts";

const UDP_SEGMENT = 103;
const CONTROL_SIZE = 24; // a cmsghdr of 16 and one 16-bit number, aligned
/** Of the kernel: UDP_MAX_SEGMENTS and the largest datagram. */
const RUN_MAX = 64;
const RUN_SIZE_MAX = 65000;
/** Bytes that may wait in a socket that only sends: next to nothing. */
const RECEIVE_SIZE = 4096;
/** Packets that are put in order at once. */
const GROUPED_MAX = 256;
/** Behind the last packet of a chain. */
const END = -1;
/** As a size of headers: the packet is whole in its slot. */
const WHOLE = 0;

const { libc } = native;

export class UdpSender {
  readonly #context: Pick<PortContext, "allocator" | "counters">;
  readonly #endpoint: Endpoint;
  readonly #port: number;
  /** Sends what finds no socket of its own. */
  readonly #common: number;
  readonly #senders: Int32Array;
  #runMax = RUN_MAX;
  // Of the super-frame that is being sent: bytes of headers of each segment, and where its payload
  // lies in the pool.
  #headersSize = WHOLE;
  #payloadAt = 0;
  // Packets and their destinations, grouped, and how they are: see #group.
  readonly #slots = new Int32Array(GROUPED_MAX);
  readonly #destinations = new Int32Array(GROUPED_MAX * 4);
  readonly #isHead = new Uint8Array(GROUPED_MAX);
  readonly #nexts = new Int32Array(GROUPED_MAX);
  readonly #lasts: Int32Array;
  readonly #messages = new MessageVector({
    count: 1,
    buffersPerMessage: RUN_MAX * 2,
    hasNames: true,
    controlSize: CONTROL_SIZE,
  });

  /**
   * `common` is a socket at `port`, the port that all peers have; `senders` has those of the source
   * ports that are open, -1 for the others; a power of two of them.
   */
  constructor(
    context: Pick<PortContext, "allocator" | "counters">,
    endpoint: Endpoint,
    port: number,
    common: number,
    senders: Int32Array = new Int32Array(SOURCE_PORTS_DEFAULT).fill(-1),
  ) {
    this.#context = context;
    this.#endpoint = endpoint;
    this.#port = port;
    this.#common = common;
    this.#senders = senders;
    this.#lasts = new Int32Array(senders.length);
    const { view } = this.#messages;
    const at = this.#messages.controlAt(0);
    view.setUint32(at, 18, true); // length of the control message
    view.setInt32(at + 8, SOL_UDP, true);
    view.setInt32(at + 12, UDP_SEGMENT, true);
  }

  /** As UdpUnderlay.transmit. */
  transmit(slots: Int32Array, count: number, destinations: Int32Array): void {
    for (let from = 0; from < count; from += GROUPED_MAX) {
      const grouped = Math.min(GROUPED_MAX, count - from);
      this.#group(slots, from, grouped, destinations);
      for (let first = 0; first < grouped; ) {
        const run = this.#runLength(this.#slots, first, grouped, this.#destinations);
        this.#send(this.#slots, first, run, this.#destinations, first * 4);
        first += run;
      }
    }
  }

  /** As UdpUnderlay.transmitSegments. */
  transmitSegments(
    slots: Int32Array,
    count: number,
    headersSize: number,
    payloadAt: number,
    destination: Int32Array,
  ): void {
    const fitting = Math.floor(RUN_SIZE_MAX / packet.length(slots[0]!));
    const runs = Math.ceil(count / Math.min(this.#runMax, fitting));
    // Runs of one length: the receiver makes a super-frame of each, and likes none to be short.
    const length = Math.ceil(count / runs);
    this.#headersSize = headersSize;
    this.#payloadAt = payloadAt;
    for (let first = 0; first < count; first += length) {
      this.#send(slots, first, Math.min(length, count - first), destination, 0);
    }
    this.#headersSize = WHOLE;
  }

  close(): void {
    for (const sender of this.#senders) {
      if (sender >= 0 && sender !== this.#common) libc.close(sender);
    }
    this.#senders.fill(-1);
  }

  /**
   * Puts packets of one source port next to each other, those of a flow in their order, so that
   * there are fewer and longer runs.
   */
  #group(slots: Int32Array, from: number, count: number, destinations: Int32Array): void {
    const [lasts, nexts] = [this.#lasts, this.#nexts];
    for (let i = 0; i < count; i++) {
      nexts[i] = END;
      lasts[this.#sourcePort(slots[from + i]!)] = END;
    }
    // A chain for each port, from its first packet on; those that continue one are no heads.
    for (let i = 0; i < count; i++) {
      const port = this.#sourcePort(slots[from + i]!);
      const last = lasts[port]!;
      this.#isHead[i] = last === END ? 1 : 0;
      if (last !== END) nexts[last] = i;
      lasts[port] = i;
    }
    let put = 0;
    for (let head = 0; head < count; head++) {
      if (this.#isHead[head] === 0) continue;
      for (let i = head; i !== END; i = nexts[i]!) {
        this.#slots[put] = slots[from + i]!;
        for (let k = 0; k < 4; k++) {
          this.#destinations[put * 4 + k] = destinations[(from + i) * 4 + k]!;
        }
        put++;
      }
    }
  }

  /** How many packets from `first` on can leave as one super-datagram. */
  #runLength(slots: Int32Array, first: number, count: number, to: Int32Array): number {
    const size = packet.length(slots[first]!);
    const port = this.#sourcePort(slots[first]!);
    let total = size;
    let run = 1;
    while (first + run < count && run < this.#runMax) {
      const slot = slots[first + run]!;
      const length = packet.length(slot);
      if (this.#sourcePort(slot) !== port) break;
      if (length > size || total + length > RUN_SIZE_MAX) break;
      if (!isSameAddress(to, first * 4, (first + run) * 4)) break;
      total += length;
      run++;
      if (length < size) break; // Only the last one may be shorter.
    }
    return run;
  }

  #send(slots: Int32Array, first: number, run: number, to: Int32Array, toAt: number): void {
    const { allocator } = this.#context;
    const messages = this.#messages;
    const { isIpv4 } = this.#endpoint;
    const nameAt = messages.nameAt(0);
    messages.setNameSize(0, writeName(messages.view, nameAt, isIpv4, to, toAt, this.#port));
    const sender = this.#sender(this.#sourcePort(slots[first]!));
    if (isMappedIpv4(to, toAt) !== isIpv4) {
      this.#drop(run, DROP["tunnel-send-failed"]);
    } else if (!this.#sendRun(sender, slots, first, run)) {
      this.#onRefused(sender, slots, first, run);
    }
    for (let i = 0; i < run; i++) allocator.give(slots[first + i]!);
  }

  /** Sends a run in one call, and counts it; false when the kernel refused it. */
  #sendRun(sender: number, slots: Int32Array, first: number, run: number): boolean {
    const messages = this.#messages;
    const total =
      this.#headersSize === WHOLE
        ? this.#putWhole(slots, first, run)
        : this.#putSegments(slots, first, run);
    messages.setControlSize(0, run === 1 ? 0 : CONTROL_SIZE);
    messages.view.setUint16(messages.controlAt(0) + 16, packet.length(slots[first]!), true);
    if (messages.sendFirst(sender) < 0) return false;
    this.#context.counters.countSent(TUNNEL_DEVICE, run, total);
    return true;
  }

  /** Points the message's buffers to packets; returns their bytes. */
  #putWhole(slots: Int32Array, first: number, run: number): number {
    let total = 0;
    for (let i = 0; i < run; i++) {
      const slot = slots[first + i]!;
      const length = packet.length(slot);
      this.#messages.setBuffer(0, i, packet.frameAt(slot), length);
      total += length;
    }
    this.#messages.setBufferCount(0, run);
    return total;
  }

  /** Points the message's buffers to headers and payloads in turn; returns their bytes. */
  #putSegments(slots: Int32Array, first: number, run: number): number {
    const headersSize = this.#headersSize;
    // All segments but the last carry the same.
    const payloadSize = packet.length(slots[0]!) - headersSize;
    let payloadAt = this.#payloadAt + first * payloadSize;
    let total = 0;
    for (let i = 0; i < run; i++) {
      const slot = slots[first + i]!;
      const length = packet.length(slot);
      this.#messages.setBuffer(0, i * 2, packet.frameAt(slot), headersSize);
      this.#messages.setBuffer(0, i * 2 + 1, payloadAt, length - headersSize);
      payloadAt += payloadSize;
      total += length;
    }
    this.#messages.setBufferCount(0, run * 2);
    return total;
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
    this.#context.counters.countPortDrop(TUNNEL_DEVICE, reason, packets);
  }

  /** Number of the source port that a packet's flow leaves by. */
  #sourcePort(slot: number): number {
    return packet.flowHash(slot) & (this.#senders.length - 1);
  }

  /** The socket of a source port, opened when it is first used; the common one if it cannot be. */
  #sender(number: number): number {
    if (this.#senders[number]! < 0) {
      try {
        const port = SOURCE_PORT_FIRST + number;
        this.#senders[number] = openTunnelSocket(this.#endpoint, port, RECEIVE_SIZE);
      } catch {
        // Taken by another program, or no descriptors left: the flow does without its own port.
        this.#senders[number] = this.#common;
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

function isSameAddress(words: Int32Array, a: number, b: number): boolean {
  for (let i = 0; i < 4; i++) if (words[a + i] !== words[b + i]) return false;
  return true;
}
