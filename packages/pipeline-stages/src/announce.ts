/**
 * Tells the outside of a port where the routers of its switch are from now on: for each of their
 * addresses an ARP announcement (RFC 5227 §2.3) or an unsolicited neighbour advertisement
 * (RFC 4861 §7.2.6), from the router's own MAC address, so that switches learn it as well. Run by
 * the worker that has the device, when the control thread asks for it.
 */
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import { IPV4_MAPPED, KIND_ROUTER } from "@rhone/tables/ports";
import * as arp from "@rhone/wire/arp";
import * as ethernet from "@rhone/wire/ethernet";
import * as ipv6 from "@rhone/wire/ipv6";
import * as nd from "@rhone/wire/nd";
import type { Core } from "./core.ts";

/** ff:ff:ff:ff:ff:ff, and that of all IPv6 nodes of a link: 33:33:00:00:00:01 (RFC 2464 §7). */
const BROADCAST = { high: -1, low: 0xffff };
const ALL_NODES = { high: 0x33330000, low: 0x0001 };
/** ff02::1 */
const ALL_NODES_ADDRESS = [0xff020000 | 0, 0, 0, 1] as const;

const view = poolViews().view;

/** Puts the frames at the outlet of the device; those that no slot is left for are not sent. */
export function announceRouters(core: Core, device: number): void {
  const { tables } = core;
  const { ports } = tables;
  const own = tables.portOfDevice(device);
  if (own < 0) return;
  for (let port = 0; port < ports.count; port++) {
    if (ports.kind(port) !== KIND_ROUTER || ports.datapath(port) !== ports.datapath(own)) continue;
    const count = ports.addressCount(port);
    for (let index = 0; index < count; index++) announce(core, device, port, index);
  }
}

function announce(core: Core, device: number, port: number, index: number): void {
  const slot = core.allocator.takeSmall();
  if (slot < 0) return;
  const { ports } = core.tables;
  const isIpv4 =
    ports.addressWord(port, index, 2) === IPV4_MAPPED && ports.addressWord(port, index, 0) === 0;
  const at = packet.defaultFrameAt(slot);
  const body = isIpv4 ? writeArp(core, port, index, at) : writeNd(core, port, index, at);
  packet.begin(slot, at, ethernet.HEADER_SIZE + body, device);
  packet.setL3At(slot, at + ethernet.HEADER_SIZE);
  packet.setEtherType(slot, isIpv4 ? ethernet.ETHERTYPE_ARP : ethernet.ETHERTYPE_IPV6);
  if (!core.outlets.devices[device]!.add(slot)) core.allocator.give(slot);
}

function writeArp(core: Core, port: number, index: number, at: number): number {
  const { ports } = core.tables;
  const [high, low] = [ports.macHigh(port), ports.macLow(port)];
  const address = ports.addressWord(port, index, 3);
  ethernet.write(view, at, BROADCAST.high, BROADCAST.low, high, low, ethernet.ETHERTYPE_ARP);
  arp.write(view, at + ethernet.HEADER_SIZE, arp.REQUEST, high, low, address, 0, 0, address);
  return arp.SIZE;
}

function writeNd(core: Core, port: number, index: number, at: number): number {
  const { ports } = core.tables;
  const [high, low] = [ports.macHigh(port), ports.macLow(port)];
  ethernet.write(view, at, ALL_NODES.high, ALL_NODES.low, high, low, ethernet.ETHERTYPE_IPV6);
  const ipAt = at + ethernet.HEADER_SIZE;
  for (let word = 0; word < 4; word++) {
    ipv6.setSourceWord(view, ipAt, word, ports.addressWord(port, index, word));
    ipv6.setDestinationWord(view, ipAt, word, ALL_NODES_ADDRESS[word]!);
  }
  nd.writeUnsolicited(view, ipAt, high, low);
  return ipv6.HEADER_SIZE + nd.ADVERTISEMENT_SIZE;
}
