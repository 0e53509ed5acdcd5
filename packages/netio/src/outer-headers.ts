/**
 * The outer headers of the tunnel, Ethernet, IP and UDP (RFC 8926 §3.2 f.), for a worker that reads
 * and writes frames itself: as the kernel's UDP socket writes them and checks them, since some
 * peers have the one and some the other.
 */
import * as packet from "@rhone/rings/packet";
import { METADATA_SIZE, poolViews, SLOT_SIZE } from "@rhone/rings/pool";
import * as poolMemory from "@rhone/rings/pool-memory";
import * as checksum from "@rhone/wire/checksum";
import * as ethernet from "@rhone/wire/ethernet";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import * as udp from "@rhone/wire/udp";
import type { TunnelPaths } from "./tunnel-paths.ts";
import { type Endpoint, SOURCE_PORT_FIRST } from "./udp-socket.ts";

const TTL = 64;
const IPV6_VERSION = 0x60000000;
const FLOW_LABEL_MASK = 0xfffff;

const { view } = poolViews();

/** Bytes of the headers of a tunnel between addresses of this kind. */
export function outerSizeOf({ isIpv4 }: Endpoint): number {
  const ipSize = isIpv4 ? ipv4.HEADER_SIZE : ipv6.HEADER_SIZE;
  return ethernet.HEADER_SIZE + ipSize + udp.HEADER_SIZE;
}

export class OuterHeaders {
  /** Bytes of all three headers. */
  readonly size: number;
  readonly #isIpv4: boolean;
  readonly #source: Int32Array;
  readonly #port: number;
  readonly #sourcePortMask: number;

  /** `port` is that of every tunnel endpoint; `sourcePorts` a power of two. */
  constructor(endpoint: Endpoint, port: number, sourcePorts: number) {
    this.#isIpv4 = endpoint.isIpv4;
    this.#source = endpoint.words;
    this.#port = port;
    this.#sourcePortMask = sourcePorts - 1;
    this.size = outerSizeOf(endpoint);
  }

  get #ipSize(): number {
    return this.#isIpv4 ? ipv4.HEADER_SIZE : ipv6.HEADER_SIZE;
  }

  /** Whether a small slot has room for the headers, and an outer MTU lets its packet pass. */
  fit(slot: number, mtu: number): boolean {
    const room = (packet.frameAt(slot) & (SLOT_SIZE - 1)) - METADATA_SIZE;
    return room >= this.size && packet.length(slot) + this.size - ethernet.HEADER_SIZE <= mtu;
  }

  /** Puts the headers in front of a packet that starts with its Geneve header, and `fit`s. */
  add(slot: number, paths: TunnelPaths, row: number, to: Int32Array, toAt: number): void {
    const at = packet.frameAt(slot) - this.size;
    const l3At = at + ethernet.HEADER_SIZE;
    const l4At = l3At + this.#ipSize;
    const size = packet.length(slot) + udp.HEADER_SIZE;
    const flowHash = packet.flowHash(slot);
    paths.writeHeader(row, view, at);
    if (this.#isIpv4) {
      const total = ipv4.HEADER_SIZE + size;
      ipv4.write(view, l3At, total, TTL, ipv4.PROTOCOL_UDP, this.#source[3]!, to[toAt + 3]!);
    } else {
      ipv6.write(view, l3At, size, ipv4.PROTOCOL_UDP, TTL);
      view.setInt32(l3At, IPV6_VERSION | (flowHash & FLOW_LABEL_MASK)); // RFC 6438
      for (let word = 0; word < 4; word++) {
        ipv6.setSourceWord(view, l3At, word, this.#source[word]!);
        ipv6.setDestinationWord(view, l3At, word, to[toAt + word]!);
      }
    }
    const sourcePort = SOURCE_PORT_FIRST + (flowHash & this.#sourcePortMask);
    udp.write(view, l4At, sourcePort, this.#port, size);
    const sum = checksum.fold(this.#pseudoHeader(l3At, size) + poolMemory.sum(l4At, l4At + size));
    udp.setChecksum(view, l4At, sum === 0 ? 0xffff : sum);
    packet.setFrameAt(slot, at);
    packet.setLength(slot, packet.length(slot) + this.size);
  }

  /**
   * Takes the headers off a frame that the tunnel's program let through, so that it starts with
   * Geneve, and writes its source address to `sources[at]`; false when the kernel would not have
   * taken it.
   */
  remove(slot: number, sources: Int32Array, at: number): boolean {
    const frameAt = packet.frameAt(slot);
    const end = frameAt + packet.length(slot);
    const l3At = frameAt + ethernet.HEADER_SIZE;
    if (!this.#isIpValid(l3At, end)) return false;
    const l4At = l3At + this.#ipSize;
    const ipEnd = this.#isIpv4
      ? l3At + ipv4.totalLength(view, l3At)
      : l4At + ipv6.payloadLength(view, l3At);
    if (!udp.isValid(view, l4At, ipEnd)) return false;
    const size = udp.length(view, l4At);
    if (size > ipEnd - l4At || !this.#isSumRight(l3At, l4At, size)) return false;
    packet.setFrameAt(slot, l4At + udp.HEADER_SIZE);
    packet.setLength(slot, size - udp.HEADER_SIZE);
    packet.setDevice(slot, -1);
    for (let word = 0; word < 4; word++) {
      sources[at + word] = this.#isIpv4
        ? mappedWord(l3At, word)
        : ipv6.sourceWord(view, l3At, word);
    }
    return true;
  }

  #isIpValid(l3At: number, end: number): boolean {
    if (!this.#isIpv4) return ipv6.isValid(view, l3At, end);
    if (!ipv4.isValid(view, l3At, end)) return false;
    // The program lets no options through.
    return (
      ipv4.headerSize(view, l3At) === ipv4.HEADER_SIZE && ipv4.headerChecksumIsValid(view, l3At)
    );
  }

  /**
   * A sender on this machine leaves the sum to a device that frames never come to (the other end of
   * a veth): the field has the pseudo header's sum then, and nothing can have damaged the frame.
   */
  #isSumRight(l3At: number, l4At: number, size: number): boolean {
    const field = udp.checksum(view, l4At);
    if (field === 0) return this.#isIpv4; // RFC 8200 §8.1 asks for one.
    const pseudoHeader = this.#pseudoHeader(l3At, size);
    if (field === (~checksum.fold(pseudoHeader) & 0xffff)) return true;
    return checksum.fold(pseudoHeader + poolMemory.sum(l4At, l4At + size)) === 0;
  }

  #pseudoHeader(l3At: number, size: number): number {
    return this.#isIpv4
      ? checksum.pseudoHeader4(view, l3At, ipv4.PROTOCOL_UDP, size)
      : checksum.pseudoHeader6(view, l3At, ipv4.PROTOCOL_UDP, size);
  }
}

/** Word `word` of the IPv4 source address in its 128-bit form. */
function mappedWord(l3At: number, word: number): number {
  if (word === 3) return ipv4.source(view, l3At);
  return word === 2 ? 0xffff : 0;
}
