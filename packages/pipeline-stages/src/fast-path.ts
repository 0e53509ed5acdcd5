/**
 * The fast path: packets of flows that the stages have decided on already. It changes exactly what
 * the stages would have changed and takes nothing that could be decided differently: what is left
 * in the arrivals walks the stages. Run by each worker on every batch, before the stages.
 *
 * Order within a flow is kept: when a packet has to walk, those of its flow behind it walk too.
 */
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import { OUTPUT, POST_ROUTING, PRE_ACL } from "@rhone/rings/stage";
import * as connections from "@rhone/tables/connections";
import * as near from "@rhone/tables/near-connections";
import { LOCATED_HERE } from "@rhone/tables/ports";
import * as tracker from "@rhone/tables/tcp-tracker";
import * as timeouts from "@rhone/tables/timeouts";
import * as ethernet from "@rhone/wire/ethernet";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import { loadKey, loadZone, readSegment } from "./connection-tracking.ts";
import { BATCH_MAX, type Batch, type Core } from "./core.ts";
import { fetchForEntering, fetchForLeaving } from "./fetch-connections.ts";
import * as decision from "./flow-decision.ts";
import { deliver } from "./output.ts";
import { GOES_ON, parse } from "./parse.ts";
import type { Arrivals } from "./pipeline.ts";
import { hasOwnSource } from "./port-security.ts";
import { addToChassis, fits } from "./to-chassis.ts";

const FIRST = 0;

const view = poolViews().view;
/** By place in the batch that is being passed. */
const isAdmitted = new Uint8Array(BATCH_MAX);

/** Takes what it can from the arrivals of one batch, which must belong to `core.tables`. */
export function fastPath(core: Core, arrivals: Arrivals): void {
  const crossing = arrivals.stages[POST_ROUTING]!;
  core.walkers.begin();
  if (crossing.count > 0) passCrossing(core, crossing);
  // Before those from devices: they were taken in before.
  const fromWorkers = arrivals.stages[PRE_ACL]!;
  if (fromWorkers.count > 0) passEntering(core, fromWorkers, crossing, PRE_ACL);
  const fromDevices = arrivals.stages[FIRST]!;
  if (fromDevices.count > 0) passEntering(core, fromDevices, crossing, FIRST);
}

/** Stages 0 to 8 and, for a destination on this chassis, on to 15. */
function passEntering(core: Core, batch: Batch, crossing: Batch, stage: number): void {
  const { slots, count } = batch;
  const { ports } = core.tables;
  let walking = 0;
  let entered = 0;
  let handedOver = 0;
  let left = 0;
  admitAll(core, slots, count, stage);
  for (let i = 0; i < count; i++) {
    const slot = slots[i]!;
    if (isAdmitted[i] === 0 || !enters(core, slot)) {
      if (isAdmitted[i] === 1 && stage === FIRST && handsOver(core, slot)) {
        handedOver++;
        continue;
      }
      core.walkers.add(packet.flowHash(slot));
      slots[walking++] = slot;
      continue;
    }
    entered++;
    const location = ports.location(packet.outPort(slot));
    if (location !== LOCATED_HERE) addToChassis(core, slot, location, POST_ROUTING);
    else if (leaves(core, slot, true)) left++;
    else walkOn(core, slot, crossing);
  }
  batch.count = walking;
  if (handedOver > 0) core.counters.countStage(FIRST, handedOver);
  if (entered > 0) for (let s = stage; s < POST_ROUTING; s++) core.counters.countStage(s, entered);
  countLeft(core, left);
}

/** Stages 8 to 15 for packets that came from another chassis. */
function passCrossing(core: Core, batch: Batch): void {
  const { slots, count } = batch;
  const { ports } = core.tables;
  if (near.areMany(packet.flowHash(slots[0]!))) fetchForLeaving(core, slots, count);
  let walking = 0;
  for (let i = 0; i < count; i++) {
    const slot = slots[i]!;
    const port = packet.outPort(slot);
    // One that has gone elsewhere is passed on at stage 8.
    const isHere = port >= 0 && ports.location(port) === LOCATED_HERE;
    const isPlain = isHere && isPlainFlow(core, slot);
    if (isPlain && leaves(core, slot, false)) continue;
    core.walkers.add(packet.flowHash(slot));
    slots[walking++] = slot;
  }
  batch.count = walking;
  countLeft(core, count - walking);
}

function countLeft(core: Core, left: number): void {
  if (left > 0) for (let s = POST_ROUTING; s <= OUTPUT; s++) core.counters.countStage(s, left);
}

/** The second half could not be passed: the packet goes on at stage 8 with those that walk. */
function walkOn(core: Core, slot: number, crossing: Batch): void {
  core.walkers.add(packet.flowHash(slot));
  core.stage = POST_ROUTING;
  packet.setStage(slot, POST_ROUTING);
  if (!crossing.add(slot)) core.drop(slot, DROP["batch-full"]);
}

/**
 * Stage 0 for the whole batch, where it is to run: only then is it known which connections will be
 * looked up, and when there are many, they are fetched together.
 */
function admitAll(core: Core, slots: Int32Array, count: number, stage: number): void {
  for (let i = 0; i < count; i++) {
    isAdmitted[i] = stage !== FIRST || admits(core, slots[i]!) ? 1 : 0;
  }
  if (near.areMany(packet.flowHash(slots[0]!))) fetchForEntering(core, slots, count);
}

/** Whether the packet, which is admitted, passed up to stage 8; if not, nothing has changed. */
function enters(core: Core, slot: number): boolean {
  if (!isPlainFlow(core, slot)) return false;
  const { tables } = core;
  const { ports } = tables;
  const port = packet.inPort(slot);
  loadKey(core, slot, port);
  const entry = connections.find(packet.flowHash(slot), core.nowMs);
  if (entry === connections.NONE) return false;
  const isReply = connections.isReply(entry);
  const edition = decision.editionOf(core, isReply);
  if (connections.decision(entry, decision.INGRESS_EDITION) !== edition) return false;
  if (connections.hasFlag(entry, connections.BLOCKED)) return false;
  const at = packet.frameAt(slot);
  if (!isSentTo(core, at, connections.decision(entry, decision.FIRST_HOP))) return false;
  const decrements = connections.decision(entry, decision.TTL_DECREMENTS);
  if (!canBeRouted(slot, decrements)) return false;
  const outPort = connections.decision(entry, decision.OUT_PORT);
  if (ports.location(outPort) !== LOCATED_HERE) {
    if (!fits(core, slot) || core.outlets.chassis.count === BATCH_MAX) return false;
  }
  if (!refresh(core, slot, entry, isReply)) return false;
  const isEstablished = isReply || connections.hasFlag(entry, connections.REPLY_SEEN);
  const bits = isEstablished ? packet.CONNECTION_ESTABLISHED : packet.CONNECTION_NEW;
  packet.setConnection(slot, isReply ? bits | packet.CONNECTION_REPLY : bits);
  packet.setOutPort(slot, outPort);
  countRule(core, slot, connections.decision(entry, decision.INGRESS_RULE));
  if (decrements !== 0) rewrite(core, slot, entry, decrements);
  return true;
}

/** Stage 0: finds the port, the headers and whether the frame's source is the port's. */
function admits(core: Core, slot: number): boolean {
  const { tables } = core;
  const port = tables.portOfDevice(packet.device(slot));
  if (port < 0 || parse(slot) !== GOES_ON) return false;
  packet.setFlags(slot, packet.flags(slot) | packet.FLAG_PARSED);
  const at = packet.frameAt(slot);
  if (ethernet.etherType(view, at) !== packet.etherType(slot)) return false;
  const { ports } = tables;
  if (ports.isStandby(port)) return false;
  if (ports.isSecured(port)) {
    // The IP source is part of the flow, so whoever made the decision has checked it.
    if (ethernet.sourceHigh(view, at) !== ports.macHigh(port)) return false;
    if (ethernet.sourceLow(view, at) !== ports.macLow(port)) return false;
  }
  packet.setInPort(slot, port);
  packet.setDatapath(slot, ports.datapath(port));
  packet.setGeneration(slot, tables.generation);
  packet.setOrigin(slot, tables.shortId);
  return true;
}

/** Of a flow that is ours and of which nothing walks. */
function isPlainFlow(core: Core, slot: number): boolean {
  if (!isWhole(slot) || core.ownerOf(slot) !== core.worker) return false;
  return !core.walkers.has(packet.flowHash(slot));
}

/** TCP or UDP in one piece. */
function isWhole(slot: number): boolean {
  const unusual = packet.FLAG_FRAGMENT | packet.FLAG_REPLY_TO_INGRESS | packet.FLAG_TRACKED;
  if ((packet.flags(slot) & unusual) !== packet.FLAG_TRACKED) return false;
  const protocol = packet.protocol(slot);
  return protocol === ipv4.PROTOCOL_TCP || protocol === ipv4.PROTOCOL_UDP;
}

/**
 * Stages 0 and 1 for a packet of a flow that another worker owns; if it is none, or not sure to be
 * handed over, nothing has changed.
 */
function handsOver(core: Core, slot: number): boolean {
  const owner = core.ownerOf(slot);
  if (owner === core.worker || !isWhole(slot) || core.walkers.has(packet.flowHash(slot))) {
    return false;
  }
  const port = packet.inPort(slot);
  if (!hasOwnSource(core, slot, port)) return false;
  if (core.workerOutlet(owner).count === BATCH_MAX) return false;
  packet.setEnteredBy(slot, port);
  core.handOver(slot, owner, PRE_ACL);
  return true;
}

function isSentTo(core: Core, at: number, port: number): boolean {
  const { ports } = core.tables;
  return (
    ethernet.destinationHigh(view, at) === ports.macHigh(port) &&
    ethernet.destinationLow(view, at) === ports.macLow(port)
  );
}

function canBeRouted(slot: number, decrements: number): boolean {
  const l3At = packet.l3At(slot);
  if (packet.etherType(slot) === ethernet.ETHERTYPE_IPV4) return ipv4.ttl(view, l3At) > decrements;
  return ipv6.hopLimit(view, l3At) > decrements;
}

/**
 * What the commit would do; false, and nothing changed, when that is more than to refresh. A reply
 * need not be marked as seen: the first one walked.
 */
function refresh(core: Core, slot: number, entry: number, isReply: boolean): boolean {
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
function countRule(core: Core, slot: number, counter: number): void {
  packet.setRule(slot, counter);
  core.ruleCounters.count(counter);
}

/** Stage 7, for all routers on the way at once. */
function rewrite(core: Core, slot: number, entry: number, decrements: number): void {
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

/**
 * Whether the packet passed stages 8 to 15; if not, nothing has changed. `isLoaded`: its key in the
 * zone that it came from is the one that was loaded last.
 */
function leaves(core: Core, slot: number, isLoaded: boolean): boolean {
  const { tables } = core;
  const { ports } = tables;
  const port = packet.outPort(slot);
  if (ports.device(port) < 0 || port === packet.inPort(slot)) return false;
  if (isLoaded) loadZone(core, port);
  else loadKey(core, slot, port);
  const entry = connections.find(packet.flowHash(slot), core.nowMs);
  if (entry === connections.NONE) return false;
  const isReply = connections.isReply(entry);
  const edition = decision.editionOf(core, isReply);
  if (connections.decision(entry, decision.EGRESS_EDITION) !== edition) return false;
  if (connections.hasFlag(entry, connections.BLOCKED)) return false;
  if (ports.isSecured(port) && !isSentTo(core, packet.frameAt(slot), port)) return false;
  if (!refresh(core, slot, entry, isReply)) return false;
  countRule(core, slot, connections.decision(entry, decision.EGRESS_RULE));
  deliver(core, slot, port);
  return true;
}
