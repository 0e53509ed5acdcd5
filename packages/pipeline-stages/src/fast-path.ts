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
import { EGRESS_PRE_ACL, POST_ROUTING, PRE_ACL, STAGE_COUNT, STATEFUL } from "@rhone/rings/stage";
import * as connections from "@rhone/tables/connections";
import * as near from "@rhone/tables/near-connections";
import { LOCATED_HERE } from "@rhone/tables/ports";
import * as ethernet from "@rhone/wire/ethernet";
import { loadKey, loadZone } from "./connection-tracking.ts";
import { BATCH_MAX, type Batch, type Core } from "./core.ts";
import { entersBalanced, goesOnward, leavesBalanced } from "./fast-balanced.ts";
import {
  canBeRouted,
  countRule,
  HANDED_ON,
  isPlainFlow,
  isSentTo,
  isWhole,
  PASSED,
  refresh,
  rewrite,
  WALKS,
} from "./fast-steps.ts";
import { fetchForEntering, fetchForLeaving } from "./fetch-connections.ts";
import * as decision from "./flow-decision.ts";
import { deliver } from "./output.ts";
import { GOES_ON, parse } from "./parse.ts";
import type { Arrivals } from "./pipeline.ts";
import { hasOwnSource } from "./port-security.ts";
import { addToChassis, fits } from "./to-chassis.ts";

const FIRST = 0;
const NOT_PLAIN = connections.BLOCKED | connections.TRANSLATED | connections.REVERSE;

const view = poolViews().view;
/** By place in the batch that is being passed. */
const isAdmitted = new Uint8Array(BATCH_MAX);

/** Takes what it can from the arrivals of one batch, which must belong to `core.tables`. */
export function fastPath(core: Core, arrivals: Arrivals): void {
  // The further on its way, the earlier it was taken in.
  const returning = arrivals.stages[EGRESS_PRE_ACL]!;
  const crossing = arrivals.stages[POST_ROUTING]!;
  core.walkers.begin();
  if (returning.count > 0) passLeaving(core, returning, EGRESS_PRE_ACL);
  if (crossing.count > 0) passLeaving(core, crossing, POST_ROUTING);
  const onward = arrivals.stages[STATEFUL]!;
  if (onward.count > 0) passOnward(core, onward, crossing);
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
  let handedOn = 0;
  let left = 0;
  let sentBack = 0;
  admitAll(core, slots, count, stage);
  for (let i = 0; i < count; i++) {
    const slot = slots[i]!;
    const flowHash = packet.flowHash(slot);
    const entering = isAdmitted[i] === 0 ? WALKS : enters(core, slot);
    if (entering === WALKS) {
      if (isAdmitted[i] === 1 && stage === FIRST && handsOver(core, slot)) {
        handedOver++;
        continue;
      }
      core.walkers.add(flowHash);
      slots[walking++] = slot;
      continue;
    }
    if (entering === HANDED_ON) {
      handedOn++;
      continue;
    }
    entered++;
    const location = ports.location(packet.outPort(slot));
    if (location !== LOCATED_HERE) {
      addToChassis(core, slot, location, POST_ROUTING);
      continue;
    }
    const leaving = leaves(core, slot, true);
    if (leaving === PASSED) left++;
    else if (leaving === HANDED_ON) sentBack++;
    else walkOn(core, slot, crossing, flowHash);
  }
  batch.count = walking;
  countStages(core, FIRST, PRE_ACL, handedOver);
  countStages(core, stage, STATEFUL, handedOn);
  countStages(core, stage, POST_ROUTING, entered);
  countStages(core, POST_ROUTING, STAGE_COUNT, left);
  countStages(core, POST_ROUTING, EGRESS_PRE_ACL, sentBack);
}

/** Stages 5 to 15 for packets of balanced flows whose first owner is another worker. */
function passOnward(core: Core, batch: Batch, crossing: Batch): void {
  const { slots, count } = batch;
  let walking = 0;
  let left = 0;
  let sentBack = 0;
  for (let i = 0; i < count; i++) {
    const slot = slots[i]!;
    const flowHash = packet.flowHash(slot);
    if (!isPlainFlow(core, slot) || !goesOnward(core, slot)) {
      core.walkers.add(flowHash);
      slots[walking++] = slot;
      continue;
    }
    const leaving = cross(core, slot, crossing, flowHash);
    if (leaving === PASSED) left++;
    else if (leaving === HANDED_ON) sentBack++;
  }
  batch.count = walking;
  countStages(core, STATEFUL, POST_ROUTING, count - walking);
  countStages(core, POST_ROUTING, STAGE_COUNT, left);
  countStages(core, POST_ROUTING, EGRESS_PRE_ACL, sentBack);
}

/** Stages 8 or 10 to 15 for packets that came from another chassis or the owner of an answer. */
function passLeaving(core: Core, batch: Batch, stage: number): void {
  const { slots, count } = batch;
  const { ports } = core.tables;
  if (near.areMany(packet.flowHash(slots[0]!))) fetchForLeaving(core, slots, count);
  let walking = 0;
  let sentBack = 0;
  for (let i = 0; i < count; i++) {
    const slot = slots[i]!;
    const port = packet.outPort(slot);
    // One that has gone elsewhere is passed on at its stage.
    const isHere = port >= 0 && ports.location(port) === LOCATED_HERE;
    const leaving = isHere && isPlainFlow(core, slot) ? leaves(core, slot, false) : WALKS;
    if (leaving === WALKS) {
      core.walkers.add(packet.flowHash(slot));
      slots[walking++] = slot;
    } else if (leaving === HANDED_ON) sentBack++;
  }
  batch.count = walking;
  countStages(core, stage, STAGE_COUNT, count - walking - sentBack);
  countStages(core, stage, EGRESS_PRE_ACL, sentBack);
}

/** Stage `from` up to, but not, `to`. */
function countStages(core: Core, from: number, to: number, packets: number): void {
  if (packets > 0) for (let s = from; s < to; s++) core.counters.countStage(s, packets);
}

/**
 * Takes a packet, which came with `flowHash`, from stage 8 to the outlet of another chassis or
 * through the second half. What became of it there; WALKS when it was not passed.
 */
function cross(core: Core, slot: number, crossing: Batch, flowHash: number): number {
  const location = core.tables.ports.location(packet.outPort(slot));
  if (location !== LOCATED_HERE) {
    addToChassis(core, slot, location, POST_ROUTING);
    return WALKS;
  }
  const leaving = leaves(core, slot, true);
  if (leaving === WALKS) walkOn(core, slot, crossing, flowHash);
  return leaving;
}

/** The second half could not be passed: the packet goes on at stage 8, those behind it walk. */
function walkOn(core: Core, slot: number, crossing: Batch, flowHash: number): void {
  core.walkers.add(flowHash);
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

/** What became of the packet, which is admitted, on its way to stage 8. */
function enters(core: Core, slot: number): number {
  if (!isPlainFlow(core, slot)) return WALKS;
  loadKey(core, slot, packet.inPort(slot));
  const entry = connections.find(packet.flowHash(slot), core.nowMs);
  if (entry === connections.NONE) return WALKS;
  const isReply = connections.isReply(entry);
  const edition = decision.editionOf(core, isReply);
  if (connections.decision(entry, decision.INGRESS_EDITION) !== edition) return WALKS;
  if (connections.hasFlag(entry, NOT_PLAIN)) {
    return isReply ? WALKS : entersBalanced(core, slot, entry);
  }
  // `canGo` and `go` of fast-steps.ts, written out: as calls they take 5 % more of a packet's time.
  const at = packet.frameAt(slot);
  if (!isSentTo(core, at, connections.decision(entry, decision.FIRST_HOP))) return WALKS;
  const decrements = connections.decision(entry, decision.TTL_DECREMENTS);
  if (!canBeRouted(slot, decrements)) return WALKS;
  const outPort = connections.decision(entry, decision.OUT_PORT);
  if (core.tables.ports.location(outPort) !== LOCATED_HERE) {
    if (!fits(core, slot) || core.outlets.chassis.count === BATCH_MAX) return WALKS;
  }
  if (!refresh(core, slot, entry, isReply)) return WALKS;
  const isEstablished = isReply || connections.hasFlag(entry, connections.REPLY_SEEN);
  const bits = isEstablished ? packet.CONNECTION_ESTABLISHED : packet.CONNECTION_NEW;
  packet.setConnection(slot, isReply ? bits | packet.CONNECTION_REPLY : bits);
  countRule(core, slot, connections.decision(entry, decision.INGRESS_RULE));
  packet.setOutPort(slot, outPort);
  if (decrements !== 0) rewrite(core, slot, entry, decrements);
  return PASSED;
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

/**
 * What became of the packet on its way from stage 8 to 15. `isLoaded`: its key in the zone that it
 * came from is the one that was loaded last.
 */
function leaves(core: Core, slot: number, isLoaded: boolean): number {
  const { tables } = core;
  const { ports } = tables;
  const port = packet.outPort(slot);
  if (ports.device(port) < 0 || port === packet.inPort(slot)) return WALKS;
  if (isLoaded) loadZone(core, port);
  else loadKey(core, slot, port);
  const entry = connections.find(packet.flowHash(slot), core.nowMs);
  if (entry === connections.NONE) return WALKS;
  const isReply = connections.isReply(entry);
  const edition = decision.editionOf(core, isReply);
  if (connections.decision(entry, decision.EGRESS_EDITION) !== edition) return WALKS;
  if (connections.hasFlag(entry, connections.BLOCKED | connections.REVERSE)) {
    return isReply ? leavesBalanced(core, slot, entry) : WALKS;
  }
  if (ports.isSecured(port) && !isSentTo(core, packet.frameAt(slot), port)) return WALKS;
  if (!refresh(core, slot, entry, isReply)) return WALKS;
  countRule(core, slot, connections.decision(entry, decision.EGRESS_RULE));
  deliver(core, slot, port);
  return PASSED;
}
