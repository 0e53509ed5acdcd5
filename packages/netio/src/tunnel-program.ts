/**
 * The XDP program of the tunnel on an underlay device: takes what the tunnel is for and leaves the
 * rest to the kernel. Attached by the control thread; the workers put their sockets into its map.
 *
 * It takes a frame that is a whole UDP datagram to the tunnel's port at the chassis's own address,
 * without VLAN tag, IP options or extension headers, not a fragment, and not longer than a packet
 * slot; the rest of the checks are the receiver's (outer-headers.ts). Without a socket for the
 * queue such a frame goes to the kernel, too, and so to the tunnel's UDP sockets.
 */
import { SMALL_FRAME_MAX } from "@rhone/rings/pool";
import { type Address, isIpv4, parseAddress } from "@rhone/wire/address";
import * as ethernet from "@rhone/wire/ethernet";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import * as udp from "@rhone/wire/udp";
import * as bpf from "./bpf.ts";
import { servedQueueCount } from "./device.ts";
import { libc } from "./native.ts";
import { type Link, RouteTable } from "./rtnetlink.ts";
import { attachProgram, createSocketMap, redirectTo } from "./xdp-program.ts";

/** What the workers need to serve the queues of the underlay device. */
export interface TunnelQueues {
  readonly device: string;
  readonly count: number;
  /** Where the program finds the sockets. */
  readonly socketMap: number;
}

export interface TunnelProgram extends TunnelQueues {
  readonly link: Link;
  /** Whether the driver runs it. */
  readonly isNative: boolean;
  close(): void;
}

const DATA = 0; // byte offsets in struct xdp_md
const DATA_END = 4;
const RX_QUEUE_INDEX = 16;
const XDP_PASS = 2;

const PACKET = 2; // registers
const PACKET_END = 3;
const VALUE = 5;

/**
 * Attaches the program to the device that has the address, for as long as it is not closed. Throws
 * when there is no such device, or no program can be on it.
 */
export function openTunnelProgram(underlay: string, port: number): TunnelProgram {
  const address = parseAddress(underlay)!;
  const link = findLink(address, underlay);
  const count = servedQueueCount(link.name) || 1;
  const socketMap = createSocketMap(count);
  try {
    const attached = attachProgram(link.index, instructionsFor(address, port, socketMap));
    const close = (): void => {
      libc.close(attached.descriptor);
      libc.close(socketMap);
    };
    const { isNative } = attached;
    return { device: link.name, count, socketMap, link, isNative, close };
  } catch (error) {
    libc.close(socketMap);
    throw error;
  }
}

function findLink(address: Address, text: string): Link {
  const table = new RouteTable();
  try {
    const index = table.deviceOf(address);
    const link = index === null ? null : table.link(index);
    if (link === null) throw new Error(`expected a device with the underlay address ${text}`);
    if (link.mac !== null) return link;
    const got = `"${link.name}", whose frames are not Ethernet's`;
    throw new Error(`expected an Ethernet device with the underlay address ${text}, got ${got}`);
  } finally {
    table.close();
  }
}

function instructionsFor(address: Address, port: number, map: number): bpf.Instruction[] {
  const l3At = ethernet.HEADER_SIZE;
  const l4At = l3At + (isIpv4(address) ? ipv4.HEADER_SIZE : ipv6.HEADER_SIZE);
  const end = l4At + udp.HEADER_SIZE;
  const unless = isIpv4(address) ? unlessIpv4(l3At, address[3]) : unlessIpv6(l3At, address);
  const body: readonly Step[] = [
    bpf.loadWord(PACKET, 1, DATA),
    bpf.loadWord(PACKET_END, 1, DATA_END),
    bpf.moveRegister(4, PACKET),
    bpf.addImmediate(4, end),
    (pass) => bpf.jumpIfGreater(4, PACKET_END, pass),
    bpf.moveRegister(4, PACKET),
    bpf.addImmediate(4, SMALL_FRAME_MAX),
    (pass) => bpf.jumpIfGreater(PACKET_END, 4, pass),
    ...unless,
    ...unlessHalf(l4At + 2, port),
    bpf.loadWord(2, 1, RX_QUEUE_INDEX),
    ...redirectTo(map),
  ];
  return link([...body, bpf.exit], [bpf.moveImmediate(0, XDP_PASS), bpf.exit]);
}

/** An instruction, or what makes one when it is known how far it is to where frames pass. */
type Step = bpf.Instruction | ((pass: number) => bpf.Instruction);

/** Puts `tail` behind the steps, which jump to its beginning. */
function link(steps: readonly Step[], tail: readonly bpf.Instruction[]): bpf.Instruction[] {
  const sizes = steps.map((step) => (typeof step === "function" ? 1 : step.length / 2));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  let at = 0;
  const linked = steps.map((step, i) => {
    at += sizes[i]!;
    return typeof step === "function" ? step(total - at) : step;
  });
  return [...linked, ...tail];
}

function unlessIpv4(l3At: number, address: number): Step[] {
  return [
    ...unlessHalf(12, ethernet.ETHERTYPE_IPV4),
    ...unlessByte(l3At, 0xff, 0x45), // Version 4, and no options.
    bpf.loadHalf(VALUE, PACKET, l3At + 6),
    bpf.andImmediate(VALUE, swapHalf(0x3fff)), // More fragments, or an offset.
    (pass) => bpf.jumpUnlessEqual(VALUE, 0, pass),
    ...unlessByte(l3At + 9, 0xff, ipv4.PROTOCOL_UDP),
    ...unlessWord(l3At + 16, address),
  ];
}

function unlessIpv6(l3At: number, address: Address): Step[] {
  return [
    ...unlessHalf(12, ethernet.ETHERTYPE_IPV6),
    ...unlessByte(l3At, 0xf0, 0x60),
    ...unlessByte(l3At + 6, 0xff, ipv4.PROTOCOL_UDP),
    ...address.flatMap((word, i) => unlessWord(l3At + ipv6.DESTINATION + i * 4, word)),
  ];
}

function unlessByte(at: number, mask: number, value: number): Step[] {
  return [
    bpf.loadByte(VALUE, PACKET, at),
    bpf.andImmediate(VALUE, mask),
    (pass) => bpf.jumpUnlessEqual(VALUE, value, pass),
  ];
}

/** `value` as the protocol means it; loads are in the machine's order, which is the other one. */
function unlessHalf(at: number, value: number): Step[] {
  return [
    bpf.loadHalf(VALUE, PACKET, at),
    (pass) => bpf.jumpUnlessEqual(VALUE, swapHalf(value), pass),
  ];
}

function unlessWord(at: number, value: number): Step[] {
  const swapped = (swapHalf(value & 0xffff) << 16) | swapHalf(value >>> 16);
  return [bpf.loadWord(VALUE, PACKET, at), (pass) => bpf.jumpUnlessEqual(VALUE, swapped, pass)];
}

function swapHalf(value: number): number {
  return ((value & 0xff) << 8) | (value >>> 8);
}
