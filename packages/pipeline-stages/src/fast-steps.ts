/**
 * What the fast path asks of a packet and does to it, one step at a time: the parts that flows have
 * in common, balanced (fast-balanced.ts) or not (fast-path.ts).
 */
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import * as connections from "@rhone/tables/connections";
import { LOCATED_HERE } from "@rhone/tables/ports";
import * as tracker from "@rhone/tables/tcp-tracker";
import * as timeouts from "@rhone/tables/timeouts";
import * as ethernet from "@rhone/wire/ethernet";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import { readSegment } from "./connection-tracking.ts";
import { BATCH_MAX, type Core } from "./core.ts";
import * as decision from "./flow-decision.ts";
import { fits } from "./to-chassis.ts";

/** What became of a packet: nothing has changed, and it walks. */
export const WALKS = 0;
/** It passed. */
export const PASSED = 1;
/** It is at the outlet of another worker, which goes on with it. */
export const HANDED_ON = 2;

const view = poolViews().view;

/** Of a flow that is ours and of which nothing walks. */
export function isPlainFlow(core: Core, slot: number): boolean {
  if (!isWhole(slot) || core.ownerOf(slot) !== core.worker) return false;
  return !core.walkers.has(packet.flowHash(slot));
}

/** TCP or UDP in one piece. */
export function isWhole(slot: number): boolean {
  const unusual = packet.FLAG_FRAGMENT | packet.FLAG_REPLY_TO_INGRESS | packet.FLAG_TRACKED;
  if ((packet.flags(slot) & unusual) !== packet.FLAG_TRACKED) return false;
  const protocol = packet.protocol(slot);
  return protocol === ipv4.PROTOCOL_TCP || protocol === ipv4.PROTOCOL_UDP;
}

export function isSentTo(core: Core, at: number, port: number): boolean {
  const { ports } = core.tables;
  return (
    ethernet.destinationHigh(view, at) === ports.macHigh(port) &&
    ethernet.destinationLow(view, at) === ports.macLow(port)
  );
}

export function canBeRouted(slot: number, decrements: number): boolean {
  const l3At = packet.l3At(slot);
  if (packet.etherType(slot) === ethernet.ETHERTYPE_IPV4) return ipv4.ttl(view, l3At) > decrements;
  return ipv6.hopLimit(view, l3At) > decrements;
}

/** Whether the packet can go the way that stages 6 to 8 found for the flow of the entry. */
export function canGo(core: Core, slot: number, entry: number): boolean {
  const firstHop = connections.decision(entry, decision.FIRST_HOP);
  if (!isSentTo(core, packet.frameAt(slot), firstHop)) return false;
  if (!canBeRouted(slot, connections.decision(entry, decision.TTL_DECREMENTS))) return false;
  const outPort = connections.decision(entry, decision.OUT_PORT);
  if (core.tables.ports.location(outPort) === LOCATED_HERE) return true;
  return fits(core, slot) && core.outlets.chassis.count < BATCH_MAX;
}

/** Stages 6 and 7 for a packet that can go this way, of a balanced flow. */
export function go(core: Core, slot: number, entry: number): void {
  const { ports } = core.tables;
  const outPort = connections.decision(entry, decision.OUT_PORT);
  packet.setOutPort(slot, outPort);
  const decrements = connections.decision(entry, decision.TTL_DECREMENTS);
  if (decrements !== 0) rewrite(core, slot, entry, decrements);
  else if (connections.decision(entry, decision.FIRST_HOP) !== outPort) {
    // It was sent to a load balancer's own address.
    const at = packet.frameAt(slot);
    ethernet.setDestination(view, at, ports.macHigh(outPort), ports.macLow(outPort));
  }
}

/** Whether `refresh` will do it. */
export function isSteady(slot: number, entry: number, isReply: boolean): boolean {
  if (packet.protocol(slot) !== ipv4.PROTOCOL_TCP) return true;
  readSegment(slot);
  return tracker.isSteady(entry, isReply);
}

/**
 * What the commit would do; false, and nothing changed, when that is more than to refresh. A reply
 * need not be marked as seen: the first one walked.
 */
export function refresh(core: Core, slot: number, entry: number, isReply: boolean): boolean {
  if (packet.protocol(slot) === ipv4.PROTOCOL_TCP) {
    readSegment(slot);
    if (!tracker.trackSteady(entry, isReply)) return false;
    connections.setExpires(entry, (core.nowMs + timeouts.TCP_MS.established) | 0);
    return true;
  }
  const isReplied = connections.hasFlag(entry, connections.REPLY_SEEN);
  const lifetimeMs = isReplied ? timeouts.UDP_REPLIED_MS : timeouts.UDP_MS;
  connections.setExpires(entry, (core.nowMs + lifetimeMs) | 0);
  return true;
}

/** Stages 2 and 11: the same rule decides as about the packet that the decision was kept of. */
export function countRule(core: Core, slot: number, counter: number): void {
  packet.setRule(slot, counter);
  core.ruleCounters.count(counter);
}

/** Stage 7, for all routers on the way at once. */
export function rewrite(core: Core, slot: number, entry: number, decrements: number): void {
  const { ports } = core.tables;
  const l3At = packet.l3At(slot);
  const at = packet.frameAt(slot);
  if (packet.etherType(slot) === ethernet.ETHERTYPE_IPV4) {
    for (let i = 0; i < decrements; i++) ipv4.decrementTtl(view, l3At);
  } else {
    ipv6.setHopLimit(view, l3At, ipv6.hopLimit(view, l3At) - decrements);
  }
  const router = connections.decision(entry, decision.LAST_ROUTER_PORT);
  const outPort = packet.outPort(slot);
  ethernet.setSource(view, at, ports.macHigh(router), ports.macLow(router));
  ethernet.setDestination(view, at, ports.macHigh(outPort), ports.macLow(outPort));
  packet.setDatapath(slot, ports.datapath(router));
  packet.setInPort(slot, router);
  packet.setTtlDecrements(slot, packet.ttlDecrements(slot) + decrements);
  packet.setFlags(slot, packet.flags(slot) | packet.FLAG_ROUTED);
}
