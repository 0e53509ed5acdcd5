/**
 * Stage 6, L2: answers ARP requests and neighbour solicitations for addresses that are known, so
 * that they need not cross the network (RFC 826, RFC 4861 §7.2), and finds the port or the group
 * that the destination MAC address belongs to.
 */
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import { IPV4_MAPPED, KIND_LOAD_BALANCER, KIND_ROUTER } from "@rhone/tables/ports";
import * as arp from "@rhone/wire/arp";
import * as ethernet from "@rhone/wire/ethernet";
import * as icmpv6 from "@rhone/wire/icmpv6";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import * as nd from "@rhone/wire/nd";
import type { Batch, Core } from "./core.ts";
import { isIcmpV6 } from "./is-icmp.ts";
import { answerSolicitation } from "./nd-reply.ts";
import { GOES_ON } from "./parse.ts";

const ND_HOP_LIMIT = 255; // RFC 4861 §7.1.1: anything less came through a router.

const view = poolViews().view;

export function l2(core: Core, batch: Batch): void {
  const { slots } = batch;
  let kept = 0;
  for (let i = 0; i < batch.count; i++) {
    const slot = slots[i]!;
    const reason = findOutPort(core, slot);
    if (reason === GOES_ON) slots[kept++] = slot;
    else core.drop(slot, reason);
  }
  batch.count = kept;
}

function findOutPort(core: Core, slot: number): number {
  if (answer(core, slot)) return GOES_ON;
  const at = packet.frameAt(slot);
  if (ethernet.isMulticast(view, at)) {
    packet.setOutPort(slot, packet.FLOOD);
    return GOES_ON;
  }
  const { key, tables } = core;
  key[0] = packet.datapath(slot);
  key[1] = ethernet.destinationHigh(view, at);
  key[2] = ethernet.destinationLow(view, at);
  const found = tables.portByMac.find(key);
  if (found < 0) return DROP["destination-unknown"];
  const isBalancer = tables.ports.kind(found) === KIND_LOAD_BALANCER;
  const port = isBalancer && isTranslated(slot) ? wayToBackend(core, slot, found) : found;
  if (port === packet.inPort(slot)) return DROP["destination-is-source"];
  packet.setOutPort(slot, port);
  packet.setFirstHop(slot, found);
  return GOES_ON;
}

function isTranslated(slot: number): boolean {
  return (packet.connection(slot) & packet.CONNECTION_DNAT) !== 0;
}

/**
 * The port of a packet that was sent to a load balancer's own MAC address and goes to a backend
 * now: in this switch, or behind a router of it. The frame is addressed to it.
 */
function wayToBackend(core: Core, slot: number, balancer: number): number {
  const { key, tables } = core;
  loadDestination(core, slot);
  const neighbour = tables.neighbours.find(key);
  const port = neighbour >= 0 ? neighbour : tables.datapaths.gateway(packet.datapath(slot));
  if (port < 0) return balancer;
  const { ports } = tables;
  ethernet.setDestination(view, packet.frameAt(slot), ports.macHigh(port), ports.macLow(port));
  return port;
}

/** The IP destination in the packet's switch, as a key of the neighbours. */
function loadDestination({ key }: Core, slot: number): void {
  const l3At = packet.l3At(slot);
  key[0] = packet.datapath(slot);
  if (packet.etherType(slot) !== ethernet.ETHERTYPE_IPV4) {
    for (let i = 0; i < 4; i++) key[1 + i] = ipv6.destinationWord(view, l3At, i);
    return;
  }
  key[1] = 0;
  key[2] = 0;
  key[3] = IPV4_MAPPED;
  key[4] = ipv4.destination(view, l3At);
}

/** Turns a request that can be answered here into its answer, back to where it came from. */
function answer(core: Core, slot: number): boolean {
  const l3At = packet.l3At(slot);
  if (packet.etherType(slot) === ethernet.ETHERTYPE_ARP) {
    if (arp.operation(view, l3At) !== arp.REQUEST) return false;
    const { key } = core;
    key[1] = 0;
    key[2] = 0;
    key[3] = IPV4_MAPPED;
    key[4] = arp.targetIp(view, l3At);
    const owner = findOwner(core, slot);
    if (owner < 0) return false;
    const { ports } = core.tables;
    const high = ports.macHigh(owner);
    const low = ports.macLow(owner);
    arp.turnIntoReply(view, l3At, high, low);
    returnToSender(slot, high, low);
    return true;
  }
  return isSolicitation(slot) && answerNd(core, slot, l3At);
}

function isSolicitation(slot: number): boolean {
  const l4At = packet.l4At(slot);
  if (!isIcmpV6(slot) || l4At === 0) return false;
  // Discovery in fragments is ignored (RFC 6980 §5).
  if ((packet.flags(slot) & packet.FLAG_FRAGMENT) !== 0) return false;
  if (icmpv6.type(view, l4At) !== nd.NEIGHBOR_SOLICITATION) return false;
  const l3At = packet.l3At(slot);
  const end = l3At + ipv6.HEADER_SIZE + ipv6.payloadLength(view, l3At);
  return nd.isValid(view, l4At, end) && ipv6.hopLimit(view, l3At) === ND_HOP_LIMIT;
}

function answerNd(core: Core, slot: number, l3At: number): boolean {
  // Duplicate address detection asks without an address of its own: only the owner answers it.
  if (isUnspecified(l3At)) return false;
  const l4At = packet.l4At(slot);
  const { key } = core;
  for (let i = 0; i < 4; i++) key[1 + i] = nd.targetWord(view, l4At, i);
  const owner = findOwner(core, slot);
  if (owner < 0) return false;
  const { ports } = core.tables;
  const isRouter = ports.kind(owner) === KIND_ROUTER;
  answerSolicitation(slot, ports.macHigh(owner), ports.macLow(owner), isRouter);
  returnToSender(slot, ports.macHigh(owner), ports.macLow(owner));
  return true;
}

/**
 * The port with the address in `core.key[1..5)`, if we may speak for it: it is not the asker
 * itself, and it is a router's or its chassis says that it is up.
 */
function findOwner(core: Core, slot: number): number {
  const { key, tables } = core;
  key[0] = packet.datapath(slot);
  const owner = tables.neighbours.find(key);
  if (owner < 0 || owner === packet.inPort(slot)) return -1;
  if (tables.ports.kind(owner) === KIND_ROUTER) return owner;
  return tables.ports.isUp(owner) ? owner : -1;
}

function returnToSender(slot: number, macHigh: number, macLow: number): void {
  const at = packet.frameAt(slot);
  ethernet.swapAddresses(view, at);
  ethernet.setSource(view, at, macHigh, macLow);
  packet.setOutPort(slot, packet.inPort(slot));
  packet.setFlags(slot, packet.flags(slot) | packet.FLAG_REPLY_TO_INGRESS);
}

function isUnspecified(at: number): boolean {
  const first = ipv6.sourceWord(view, at, 0) | ipv6.sourceWord(view, at, 1);
  return (first | ipv6.sourceWord(view, at, 2) | ipv6.sourceWord(view, at, 3)) === 0;
}
