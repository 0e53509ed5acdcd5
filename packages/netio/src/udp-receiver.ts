/**
 * The receiving half of the tunnel: sockets at the port that all peers send to.
 *
 * The kernel hands over a run of datagrams of one sender at once (UDP_GRO, udp(7)), with the size
 * of each in a control message. Where they are segments of one TCP flow, they go on as one
 * super-frame; else each is copied into a small slot of its own.
 */
import { TUNNEL_DEVICE } from "@rhone/rings/counters";
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { SMALL_FRAME_MAX } from "@rhone/rings/pool";
import * as poolMemory from "@rhone/rings/pool-memory";
import * as resume from "@rhone/wire/resume";
import { Poller } from "./doorbell.ts";
import { countJoinable, join } from "./join.ts";
import { MessageVector } from "./message-vector.ts";
import { Overruns } from "./overruns.ts";
import type { PortContext } from "./port.ts";
import { ReceiveBuffers } from "./receive-buffers.ts";
import { setOption } from "./socket-option.ts";
import { type Endpoint, nameWord, SOL_UDP } from "./udp-socket.ts";

/** Messages of one system call, and packets of one call of `receive`. */
const BURST = 64;
const UDP_GRO = 104;
const CONTROL_SIZE = 24; // a cmsghdr of 16 and one 32-bit number, aligned
const CONTROL_END = 20;
const CONTROL_DATA = 16;
/** Room for Geneve header and stamp, so that the inner frame lands where frames belong. */
const HEADER_ROOM = resume.HEADER_SIZE;
const DATAGRAM_MAX = HEADER_ROOM + SMALL_FRAME_MAX;

/**
 * Whether a datagram's marks are right: what its reader checks and cannot check any more when it is
 * joined with others. `at` and `end` are byte offsets in the pool, the outer source address
 * four words.
 */
export type JoinCheck = (at: number, end: number, source: Int32Array) => boolean;

export class UdpReceiver {
  /** As UdpUnderlay.sources. */
  readonly sources = new Int32Array(BURST * 4);
  readonly #context: Pick<PortContext, "allocator" | "counters">;
  readonly #sockets: number[] = [];
  /** Has them at the same indices. */
  readonly #poller = new Poller();
  /** Which of them is asked next. */
  #turn = 0;
  readonly #isIpv4: boolean;
  readonly #mayJoin: JoinCheck | undefined;
  readonly #source = new Int32Array(4);
  readonly #messages = new MessageVector({
    count: BURST,
    buffersPerMessage: 2,
    hasNames: true,
    controlSize: CONTROL_SIZE,
  });
  readonly #buffers: ReceiveBuffers;
  readonly #overruns: Overruns[] = [];
  // Messages that were received: which is next, and how many there are.
  #next = 0;
  #count = 0;
  // The run that is being cut, of message `#next - 1`: its slot, -1 none, and what is left of it.
  #runSlot = -1;
  #runAt = 0;
  #runEnd = 0;
  #runSize = 0;

  /** Receives from the sockets at the tunnel's endpoint that it is told to `start`. */
  constructor(
    context: Pick<PortContext, "allocator" | "counters">,
    endpoint: Endpoint,
    mayJoin: JoinCheck | undefined,
  ) {
    this.#context = context;
    this.#isIpv4 = endpoint.isIpv4;
    this.#mayJoin = mayJoin;
    this.#buffers = new ReceiveBuffers(context.allocator, this.#messages, BURST, HEADER_ROOM);
  }

  start(socket: number): void {
    // Without a place for a whole run, the kernel had better cut it.
    if (this.#buffers.hasLarge) setOption(socket, SOL_UDP, UDP_GRO, 1, "UDP_GRO");
    this.#sockets.push(socket);
    this.#poller.add(socket);
    this.#overruns.push(new Overruns(socket, false, TUNNEL_DEVICE, this.#context.counters));
  }

  stop(socket: number): void {
    const at = this.#sockets.indexOf(socket);
    if (at < 0) return;
    this.#poller.remove(socket);
    // As the poller does it: the last one takes its place.
    const [last, overruns] = [this.#sockets.pop()!, this.#overruns.pop()!];
    if (last === socket) return;
    this.#sockets[at] = last;
    this.#overruns[at] = overruns;
  }

  get hasLeftovers(): boolean {
    return this.#next < this.#count || this.#runSlot >= 0;
  }

  get slotsWaiting(): number {
    return this.#buffers.count + (this.#runSlot < 0 ? 0 : 1);
  }

  /** As UdpUnderlay.receive. */
  receive(slots: Int32Array, limit: number): number {
    const most = Math.min(limit, BURST);
    let received = this.#takeAll(slots, 0, most);
    // One short call in place of a long one for each socket that has nothing.
    const mayPoll = received < most && this.#sockets.length > 1;
    if (mayPoll && this.#poller.poll(0) === 0) return received;
    // What one socket has brought is handed out before the next is asked: order stays within each.
    for (let asked = 0; asked < this.#sockets.length && received < most; asked++) {
      this.#turn = (this.#turn + 1) % this.#sockets.length;
      if (mayPoll && !this.#poller.isReady(this.#turn)) continue;
      if (!this.#ask(this.#sockets[this.#turn]!, most - received)) continue;
      received = this.#takeAll(slots, received, most);
    }
    return received;
  }

  /** Frees every slot. */
  close(): void {
    this.#buffers.close();
    if (this.#runSlot >= 0) this.#context.allocator.give(this.#runSlot);
    this.#runSlot = -1;
    this.#count = 0;
    this.#next = 0;
  }

  /** Receives up to `limit` messages, when the ones before are all taken; false when none came. */
  #ask(socket: number, limit: number): boolean {
    const asked = this.#buffers.arm(limit);
    // With no large slot, a run would be lost: until one comes home, all wait in the socket.
    if (asked === 0 || this.#buffers.hasRunOut) return false;
    this.#next = 0;
    this.#count = Math.max(0, this.#messages.receive(socket, asked));
    this.#overruns[this.#turn]!.observe(this.#count, asked);
    return this.#count > 0;
  }

  /** Fills `slots[received..limit)` from what was received before; returns how many there are. */
  #takeAll(slots: Int32Array, received: number, limit: number): number {
    let packets = received;
    while (packets < limit) {
      if (this.#runSlot < 0) {
        if (this.#next === this.#count) break;
        this.#take(this.#next++);
        if (this.#runSlot < 0) continue;
      }
      const slot = this.#cut();
      if (slot < 0) continue;
      this.#putSource(this.sources, packets * 4);
      slots[packets++] = slot;
    }
    return packets;
  }

  /** Makes message `i` the run to cut, unless it is dropped. A datagram alone is a run of one. */
  #take(i: number): void {
    const { counters } = this.#context;
    const length = this.#messages.length(i);
    if (this.#messages.isTruncated(i)) {
      counters.countPortDrop(TUNNEL_DEVICE, DROP["frame-too-long"]);
      return;
    }
    const size = this.#segmentSize(i);
    this.#runSlot = this.#buffers.take(i, length - HEADER_ROOM);
    this.#runAt = packet.defaultFrameAt(this.#runSlot) - HEADER_ROOM;
    this.#runEnd = this.#runAt + length;
    this.#runSize = size > 0 && size < length ? size : length;
    counters.countReceived(TUNNEL_DEVICE, Math.ceil(length / this.#runSize), length);
  }

  /** Takes the next packet off the run; -1 when it was dropped. */
  #cut(): number {
    const slot = this.#runSlot;
    const at = this.#runAt;
    const size = this.#runSize;
    const isFirst = at === packet.defaultFrameAt(slot) - HEADER_ROOM;
    const count = this.#countJoinable();
    const end = Math.min(at + count * size, this.#runEnd);
    const isLast = end === this.#runEnd;
    this.#runAt = end;
    if (isLast) this.#runSlot = -1;
    if (isFirst && isLast) {
      // All that the slot holds is one packet: nothing needs to move.
      this.#begin(slot, at, size, end);
      return slot;
    }
    const copy = this.#copy(at, end);
    if (copy >= 0) {
      const copyAt = packet.defaultFrameAt(copy) - HEADER_ROOM;
      this.#begin(copy, copyAt, size, copyAt + end - at);
    }
    if (isLast) this.#context.allocator.give(slot);
    return copy;
  }

  #begin(slot: number, at: number, size: number, end: number): void {
    if (end - at > size) join(slot, at, size, end);
    else packet.begin(slot, at, end - at, -1);
  }

  /** Bytes of each datagram of a run, 0 when there is only one. */
  #segmentSize(i: number): number {
    const { view } = this.#messages;
    const at = this.#messages.controlAt(i);
    if (this.#messages.receivedControlSize(i) < CONTROL_END) return 0;
    if (view.getInt32(at + 8, true) !== SOL_UDP || view.getInt32(at + 12, true) !== UDP_GRO) {
      return 0;
    }
    return view.getInt32(at + CONTROL_DATA, true);
  }

  /** How many datagrams at the run's start become one packet. */
  #countJoinable(): number {
    const size = this.#runSize;
    const at = this.#runAt;
    if (at + size >= this.#runEnd) return 1;
    const most = countJoinable(at, size, this.#runEnd);
    if (most === 1 || this.#mayJoin === undefined) return most;
    this.#putSource(this.#source, 0);
    for (let i = 0; i < most; i++) {
      const next = at + i * size;
      const end = Math.min(next + size, this.#runEnd);
      if (!this.#mayJoin(next, end, this.#source)) return Math.max(1, i);
    }
    return most;
  }

  /** A slot with the bytes `[at, end)`; -1 when there is none, and they are counted as lost. */
  #copy(at: number, end: number): number {
    const { allocator, counters } = this.#context;
    const isSmall = end - at <= DATAGRAM_MAX;
    const slot = isSmall ? allocator.takeSmall() : allocator.takeLarge();
    if (slot < 0) {
      const lost = Math.ceil((end - at) / this.#runSize);
      counters.countPortDrop(TUNNEL_DEVICE, DROP["pool-exhausted"], lost);
      return -1;
    }
    poolMemory.copy(packet.defaultFrameAt(slot) - HEADER_ROOM, at, end - at);
    return slot;
  }

  /** Writes the source address of the run's message. */
  #putSource(target: Int32Array, at: number): void {
    const { view } = this.#messages;
    const nameAt = this.#messages.nameAt(this.#next - 1);
    for (let k = 0; k < 4; k++) target[at + k] = nameWord(view, nameAt, this.#isIpv4, k);
  }
}
