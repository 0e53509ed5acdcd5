/**
 * Stage 7, routing: the whole way through every logical router between source and destination, at
 * the chassis where the packet started.
 *
 * Per router, in this order (RFC 1812 §5.2): is the source address sound, is it for the router
 * itself (echo is answered), TTL, longest prefix, next hop's MAC address, then TTL and MAC
 * addresses are rewritten and the packet stands in the next switch.
 */
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import { IPV4_MAPPED, KIND_ROUTER } from "@rhone/tables/ports";
import * as ethernet from "@rhone/wire/ethernet";
import * as icmp from "@rhone/wire/icmp";
import * as icmpv6 from "@rhone/wire/icmpv6";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import type { Batch, Core } from "./core.ts";
import {
  type ErrorKind,
  HOST_UNREACHABLE,
  isUnicastIpv4,
  isUnicastIpv6,
  NO_ROUTE,
  sourceFromPort,
  TIME_EXCEEDED,
  turnIntoError,
} from "./icmp-error.ts";
import { GOES_ON } from "./parse.ts";

/** Routers that a packet may pass in one go. */
const ROUTERS_MAX = 8;
const REPLY_TTL = 64;

const view = poolViews().view;
/** The address that is looked up: destination first, then the next hop. */
const target = new Int32Array(4);

export function routing(core: Core, batch: Batch): void {
  const { slots } = batch;
  let kept = 0;
  for (let i = 0; i < batch.count; i++) {
    const slot = slots[i]!;
    const reason = route(core, slot);
    if (reason === GOES_ON) slots[kept++] = slot;
    else core.drop(slot, reason);
  }
  batch.count = kept;
}

function route(core: Core, slot: number): number {
  const { ports } = core.tables;
  for (let passed = 0; passed <= ROUTERS_MAX; passed++) {
    const port = packet.outPort(slot);
    if (port < 0 || ports.kind(port) !== KIND_ROUTER) return GOES_ON;
    if (passed === ROUTERS_MAX) break;
    const reason = passRouter(core, slot, port);
    if (reason !== GOES_ON) return reason;
  }
  return DROP["router-loop"];
}

/** One router, entered by its port row `port`: the packet leaves by another, or turns back. */
function passRouter(core: Core, slot: number, port: number): number {
  const router = core.tables.ports.router(port);
  const l3At = packet.l3At(slot);
  const isIpv4 = packet.etherType(slot) === ethernet.ETHERTYPE_IPV4;
  if (!isIpv4 && packet.etherType(slot) !== ethernet.ETHERTYPE_IPV6) {
    return DROP["router-not-addressed"];
  }
  if (isIpv4 ? !isSoundIpv4(core, router, l3At) : !isSoundIpv6(core, router, l3At)) {
    return DROP["router-source-invalid"];
  }
  loadDestination(isIpv4, l3At);
  if (isIpv4 ? !isUnicastIpv4(target[3]!) : !isUnicastIpv6(target)) {
    return DROP["router-multicast"];
  }
  if (isOwn(core, router)) return answerEcho(core, slot, port, isIpv4);
  if (!isIpv4) {
    // What is link-local stays on its link, whichever end it is (RFC 4291 §2.5.6).
    if (isLinkLocal(ipv6.sourceWord(view, l3At, 0))) return DROP["router-source-invalid"];
    if (isLinkLocal(target[0]!)) return DROP["no-route"];
  }
  const ttl = isIpv4 ? ipv4.ttl(view, l3At) : ipv6.hopLimit(view, l3At);
  if (ttl <= 1) return reject(core, slot, port, TIME_EXCEEDED, DROP["ttl-exceeded"]);
  const found = core.tables.routes.find(router, target);
  if (found < 0) return reject(core, slot, port, NO_ROUTE, DROP["no-route"]);
  const outPort = core.tables.routes.outPort(found);
  core.tables.routes.applyNextHop(found, target);
  const nextHop = findNeighbour(core, core.tables.ports.datapath(outPort));
  if (nextHop < 0) {
    return reject(core, slot, port, HOST_UNREACHABLE, DROP["next-hop-unknown"]);
  }
  forward(core, slot, outPort, nextHop, isIpv4);
  return GOES_ON;
}

function forward(core: Core, slot: number, outPort: number, next: number, isIpv4: boolean): void {
  const { ports } = core.tables;
  const frameAt = packet.frameAt(slot);
  const l3At = packet.l3At(slot);
  if (isIpv4) ipv4.decrementTtl(view, l3At);
  else ipv6.setHopLimit(view, l3At, ipv6.hopLimit(view, l3At) - 1);
  ethernet.setSource(view, frameAt, ports.macHigh(outPort), ports.macLow(outPort));
  ethernet.setDestination(view, frameAt, ports.macHigh(next), ports.macLow(next));
  packet.setDatapath(slot, ports.datapath(outPort));
  packet.setInPort(slot, outPort);
  packet.setOutPort(slot, next);
  packet.setTtlDecrements(slot, packet.ttlDecrements(slot) + 1);
  const flags = packet.flags(slot) & ~packet.FLAG_REPLY_TO_INGRESS;
  packet.setFlags(slot, flags | packet.FLAG_ROUTED);
}

/** Answers with an ICMP error back through the port that the packet entered by, or drops. */
function reject(core: Core, slot: number, port: number, kind: ErrorKind, reason: number): number {
  if (!sourceFromPort(core, slot, port)) return reason;
  if (!turnIntoError(core, slot, kind, 0)) return reason;
  // The packet ends here, only its error goes on: both are counted.
  core.counters.countDrop(core.stage, reason);
  turnBack(core, slot, port);
  return GOES_ON;
}

function turnBack(core: Core, slot: number, port: number): void {
  const { ports } = core.tables;
  ethernet.setSource(view, packet.frameAt(slot), ports.macHigh(port), ports.macLow(port));
  packet.setOutPort(slot, packet.inPort(slot));
  packet.setInPort(slot, port);
  packet.setFlags(slot, packet.flags(slot) | packet.FLAG_REPLY_TO_INGRESS);
}

function answerEcho(core: Core, slot: number, port: number, isIpv4: boolean): number {
  const l3At = packet.l3At(slot);
  const l4At = packet.l4At(slot);
  const isWhole = l4At !== 0 && !isFragment(isIpv4, l3At);
  const isEcho = isWhole && (isIpv4 ? isEchoIpv4(slot, l4At) : isEchoIpv6(slot, l4At));
  if (!isEcho) return DROP["router-own-address"];
  if (!core.replyMeter.admits(core.nowMs)) return DROP["reply-rate-limited"];
  if (isIpv4) {
    icmp.turnEchoIntoReply(view, l4At);
    const source = ipv4.source(view, l3At);
    ipv4.setSource(view, l3At, ipv4.destination(view, l3At));
    ipv4.setDestination(view, l3At, source);
    ipv4.setTtl(view, l3At, REPLY_TTL);
    ipv4.updateChecksum(view, l3At);
  } else {
    icmpv6.turnEchoIntoReply(view, l4At);
    for (let i = 0; i < 4; i++) {
      const source = ipv6.sourceWord(view, l3At, i);
      ipv6.setSourceWord(view, l3At, i, ipv6.destinationWord(view, l3At, i));
      ipv6.setDestinationWord(view, l3At, i, source);
    }
    ipv6.setHopLimit(view, l3At, REPLY_TTL);
  }
  ethernet.swapAddresses(view, packet.frameAt(slot));
  turnBack(core, slot, port);
  return GOES_ON;
}

/** The parts of a fragmented packet are not put together here. */
function isFragment(isIpv4: boolean, l3At: number): boolean {
  if (isIpv4) return ipv4.isFragment(view, l3At);
  const end = l3At + ipv6.HEADER_SIZE + ipv6.payloadLength(view, l3At);
  return ipv6.isFragment(view, l3At, end);
}

function isEchoIpv4(slot: number, l4At: number): boolean {
  return (
    packet.protocol(slot) === ipv4.PROTOCOL_ICMP && icmp.type(view, l4At) === icmp.ECHO_REQUEST
  );
}

function isEchoIpv6(slot: number, l4At: number): boolean {
  return (
    packet.protocol(slot) === ipv4.PROTOCOL_ICMPV6 &&
    icmpv6.type(view, l4At) === icmpv6.ECHO_REQUEST
  );
}

function loadDestination(isIpv4: boolean, l3At: number): void {
  if (isIpv4) {
    target[0] = 0;
    target[1] = 0;
    target[2] = IPV4_MAPPED;
    target[3] = ipv4.destination(view, l3At);
  } else {
    for (let i = 0; i < 4; i++) target[i] = ipv6.destinationWord(view, l3At, i);
  }
}

/** RFC 1812 §5.3.7: no martian sources; and nobody else may speak as the router. */
function isSoundIpv4(core: Core, router: number, l3At: number): boolean {
  target[0] = 0;
  target[1] = 0;
  target[2] = IPV4_MAPPED;
  target[3] = ipv4.source(view, l3At);
  return isUnicastIpv4(target[3]!) && !isOwn(core, router);
}

function isSoundIpv6(core: Core, router: number, l3At: number): boolean {
  for (let i = 0; i < 4; i++) target[i] = ipv6.sourceWord(view, l3At, i);
  return isUnicastIpv6(target) && !isOwn(core, router);
}

function isOwn(core: Core, router: number): boolean {
  loadKey(core, router);
  return core.tables.ownAddresses.find(core.key) >= 0;
}

/** The port of the switch that has the address in `target`, or -1. */
function findNeighbour(core: Core, datapath: number): number {
  loadKey(core, datapath);
  return core.tables.neighbours.find(core.key);
}

function loadKey(core: Core, datapath: number): void {
  const { key } = core;
  key[0] = datapath;
  for (let i = 0; i < 4; i++) key[1 + i] = target[i]!;
}

/** fe80::/10, by the first word of the address. */
function isLinkLocal(first: number): boolean {
  return first >>> 22 === 0x3fa;
}
