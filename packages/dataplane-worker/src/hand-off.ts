/**
 * The hand-off: what a packet must carry so that another worker, here or on another chassis, goes
 * on where this one stopped. Run by the workers on both sides.
 *
 * The stamp (a Geneve header with the resume option) stands in the slot's headroom right in front
 * of the frame, and goes to another chassis with it. The checks come in this order, each failure
 * with a reason of its own: endpoint, header and option, tag, hand-offs left, stage, datapath,
 * ports.
 *
 * To a worker next door only the slot's number travels. What a stamp says stands in the slot's
 * metadata already, with rows of tables in place of keys; they mean the same to every worker that
 * holds these tables. To one that does not a stamp goes along. Which tables they are is said by
 * their edition: the number of a generation comes again, with other rows, when a peer tells of a
 * change that it made before our latest.
 */

import type { Core } from "@rhone/pipeline-stages/core";
import { GOES_ON, parse } from "@rhone/pipeline-stages/parse";
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import { POST_ROUTING, PRE_ACL, STATEFUL } from "@rhone/rings/stage";
import { NOT_FOUND } from "@rhone/tables/exact-table";
import type { Tables } from "@rhone/tables/generation";
import { PLACEABLE_STAGES } from "@rhone/tables/placement";
import { LOCATED_HERE } from "@rhone/tables/ports";
import * as geneve from "@rhone/wire/geneve";
import * as resume from "@rhone/wire/resume";
import { hasTag } from "./stamp-tag.ts";
import type { TableHistory } from "./table-history.ts";

/** The key of the multicast group that means every port of a switch. */
const FLOOD_KEY = 32768;

/** After a generation, as far as numbers of generations can be apart. */
const FAR_AHEAD = 2 ** 31 - 1;

/** In place of an edition: a packet whose tables the stamp alone says, from here and from afar. */
const NO_EDITION = 2 ** 31 - 1;
const FROM_AFAR = 2 ** 31 - 2;

const view = poolViews().view;

/**
 * Readies a packet of `tables` for the ring of a worker; `isHeld` says whether that one holds them,
 * and will when it takes the packet out. GOES_ON, or the reason to drop for.
 */
export function readyForRing(tables: Tables, slot: number, isHeld: boolean): number {
  const left = packet.ringHopsLeft(slot);
  if (left === 0) return DROP["stamp-hand-offs"];
  packet.setRingHopsLeft(slot, left - 1);
  if (isHeld) readyToWait(tables, slot);
  else {
    put(tables, slot, resume.REASON_OWNER);
    packet.setGeneration(slot, tables.edition); // Until it is read.
  }
  return GOES_ON;
}

/** Readies a packet so that `readRingPacket` goes on with it at its stage, under these tables. */
export function readyToWait(tables: Tables, slot: number): void {
  packet.setFlags(slot, packet.flags(slot) | packet.FLAG_UNSTAMPED);
  packet.setGeneration(slot, tables.edition); // Until it is read.
}

/**
 * Writes a stamp in front of a packet of `tables` that waits here for others: `readRingPacket` goes
 * on with it at its stage, under the newest.
 */
export function stampToWait(tables: Tables, slot: number): void {
  packet.setGeneration(slot, (tables.generation + FAR_AHEAD) | 0);
  put(tables, slot, resume.REASON_OWNER);
  packet.setGeneration(slot, NO_EDITION);
}

/**
 * Writes the stamp for another chassis in front of the frame. GOES_ON, or the reason to drop for.
 * The packet's frameAt still names the frame; the stamp starts resume.HEADER_SIZE bytes before it.
 */
export function writeStamp(tables: Tables, slot: number, reason: number): number {
  const left = packet.handOffsLeft(slot);
  if (left === 0) return DROP["stamp-hand-offs"];
  packet.setHandOffsLeft(slot, left - 1);
  put(tables, slot, reason);
  return GOES_ON;
}

function put(tables: Tables, slot: number, reason: number): void {
  const { ports, datapaths } = tables;
  const inPort = packet.inPort(slot);
  const outPort = packet.outPort(slot);
  resume.write(
    view,
    packet.frameAt(slot) - resume.HEADER_SIZE,
    datapaths.key(packet.datapath(slot)),
    packet.stage(slot),
    packet.flags(slot) & packet.FLAGS_ON_THE_WIRE,
    packet.handOffsLeft(slot),
    reason,
    inPort < 0 ? 0 : ports.key(inPort),
    outPort === packet.FLOOD ? FLOOD_KEY : outPort < 0 ? backendKey(slot) : ports.key(outPort),
    packet.identity(slot),
    packet.generation(slot),
    packet.origin(slot),
    packet.flowHash(slot) & 0xffff,
    packet.connection(slot),
    packet.ttlDecrements(slot),
  );
}

/**
 * Until stage 6 no packet has an out-port, and one that is balanced has its backend in that field:
 * 1 and up.
 */
function backendKey(slot: number): number {
  return (packet.flags(slot) & packet.FLAG_LOAD_BALANCED) === 0 ? 0 : packet.backend(slot) + 1;
}

/** Puts the stamp in front of the frame into the packet: the frame now starts with it. */
export function includeStamp(slot: number): void {
  packet.setFrameAt(slot, packet.frameAt(slot) - resume.HEADER_SIZE);
  packet.setLength(slot, packet.length(slot) + resume.HEADER_SIZE);
}

/** Copies the stamp in front of one packet's frame to another's. */
export function copyStamp(from: number, to: number): void {
  const source = packet.frameAt(from) - resume.HEADER_SIZE;
  const target = packet.frameAt(to) - resume.HEADER_SIZE;
  for (let i = 0; i < resume.HEADER_SIZE; i += 4) {
    view.setInt32(target + i, view.getInt32(source + i));
  }
}

/**
 * Reads a packet that came through the tunnel from the outer address in `core.key[0..4)`: it starts
 * with the Geneve header. GOES_ON with the stamp taken off, the metadata set and the frame parsed;
 * or the reason to drop for.
 */
export function readTunnelPacket(history: TableHistory, core: Core, slot: number): number {
  let known = history.newest;
  let endpoint = known.endpointByAddress.find(core.key);
  if (endpoint === NOT_FOUND) {
    // Until all hold that it is gone, it may send.
    known = history.begun;
    endpoint = known.endpointByAddress.find(core.key);
  }
  if (endpoint === NOT_FOUND) return DROP["tunnel-source-unknown"];
  const at = packet.frameAt(slot);
  const length = packet.length(slot);
  const option = findOption(at, at + length);
  if (option < 0) return -option;
  // A super-frame's segments were each checked before they were joined.
  const isChecked = packet.gsoType(slot) !== 0;
  if (!isChecked && !hasTag(known, at, at + length, endpoint)) return DROP["stamp-tag"];
  // Who sent it has counted its own crossing; between workers the count may still be whole.
  if (resume.handOffsLeft(view, option) >= packet.HAND_OFFS_MAX) return DROP["stamp-hand-offs"];
  const reason = readStamp(history, core, slot, at, option, FROM_AFAR);
  if (reason !== GOES_ON) return reason;
  const headerSize = geneve.headerSize(view, at);
  packet.setFrameAt(slot, at + headerSize);
  packet.setLength(slot, length - headerSize);
  const wasPlaced = packet.stage(slot) === POST_ROUTING ? 0 : packet.FLAG_PLACED;
  const isAhead = history.isAhead(resume.generation(view, option));
  const ahead = isAhead ? packet.FLAG_AHEAD : 0;
  const flags = packet.FLAG_FROM_TUNNEL | wasPlaced | ahead | flagsOf(resume.reason(view, option));
  packet.setFlags(slot, packet.flags(slot) | flags);
  const flowHash = packet.flowHash(slot);
  const malformed = parse(slot);
  if (malformed === GOES_ON && packet.flowHash(slot) === 0) packet.setFlowHash(slot, flowHash);
  return malformed;
}

/**
 * Whether a packet that was just read, to be dropped for `reason`, names what its sender knows and
 * we do not: the stamp's tag is right, and it was made under tables newer than all that we hold.
 */
export function isEarly(history: TableHistory, slot: number, reason: number): boolean {
  const isUnknown =
    reason === DROP["stamp-datapath"] ||
    reason === DROP["stamp-port"] ||
    reason === DROP["stamp-not-here"];
  if (!isUnknown) return false;
  return history.isAhead(resume.generation(view, optionOf(slot)));
}

/** A number of the flow of a packet that is as it came through the tunnel; others may have it. */
export function flowOf(slot: number): number {
  const option = optionOf(slot);
  const ports = (resume.ingressPort(view, option) << 16) | resume.egressPort(view, option);
  const datapath = geneve.vni(view, packet.frameAt(slot));
  return Math.imul(ports, 31) ^ Math.imul(datapath, 8191) ^ (resume.flowHash(view, option) << 8);
}

/** Of a packet whose headers were found to be valid. */
function optionOf(slot: number): number {
  const at = packet.frameAt(slot);
  return geneve.findOption(view, at, resume.OPTION_CLASS, resume.OPTION_TYPE);
}

/**
 * Whether the datagram in `[at, end)` of the pool may become part of a super-frame: what is said
 * here of each of them cannot be asked any more when they are joined.
 */
export function mayJoin(tables: Tables, at: number, end: number, source: Int32Array): boolean {
  const endpoint = tables.endpointByAddress.find(source);
  return endpoint !== NOT_FOUND && hasTag(tables, at, end, endpoint);
}

/** Reads a packet that a worker of this chassis handed over, with or without a stamp. */
export function readRingPacket(history: TableHistory, core: Core, slot: number): number {
  if ((packet.flags(slot) & packet.FLAG_UNSTAMPED) !== 0) return readUnstamped(history, slot);
  const at = packet.frameAt(slot) - resume.HEADER_SIZE;
  const flowHash = packet.flowHash(slot);
  const keptFlags = packet.flags(slot) & ~packet.FLAGS_ON_THE_WIRE;
  const edition = packet.generation(slot) | 0;
  const reason = readStamp(history, core, slot, at, at + geneve.BASE_SIZE, edition);
  // What the stamp has no room for is still in the slot's words.
  packet.setFlags(slot, packet.flags(slot) | keptFlags);
  packet.setFlowHash(slot, flowHash);
  return reason;
}

function readUnstamped(history: TableHistory, slot: number): number {
  packet.setFlags(slot, packet.flags(slot) & ~packet.FLAG_UNSTAMPED);
  const stage = packet.stage(slot);
  if (!resume.mayResume(stage)) return DROP["stamp-stage"];
  const tables = history.findEdition(packet.generation(slot) | 0);
  if (tables === null) return DROP["stamp-generation"];
  packet.setGeneration(slot, tables.generation | 0);
  packet.setEntry(slot, -1);
  packet.setEnteredBy(slot, stage === PRE_ACL ? packet.inPort(slot) : packet.NO_PORT);
  return GOES_ON;
}

/** Offset of the resume option; or, negated, the reason to drop for (none of them is 0). */
function findOption(at: number, end: number): number {
  if (end - at >= geneve.BASE_SIZE && geneve.version(view, at) !== 0) {
    return -DROP["tunnel-version"];
  }
  if (!geneve.isValid(view, at, end)) return -DROP["tunnel-malformed"];
  if (geneve.isControl(view, at)) return -DROP["tunnel-control"];
  if (geneve.protocol(view, at) !== geneve.PROTOCOL_ETHERNET) return -DROP["tunnel-protocol"];
  const option = geneve.findOption(view, at, resume.OPTION_CLASS, resume.OPTION_TYPE);
  if (option < 0) return -DROP["tunnel-malformed"];
  if (geneve.hasUnknownCritical(view, at, resume.OPTION_CLASS, resume.OPTION_TYPE)) {
    return -DROP["tunnel-unknown-critical"];
  }
  if (option === 0) return -DROP["tunnel-no-stamp"];
  // A critical option without the header's C bit is the sender's violation (RFC 8926 §3.4).
  if (!geneve.hasCriticalOptions(view, at)) return -DROP["tunnel-malformed"];
  return resume.isValid(view, option) ? option : -DROP["stamp-malformed"];
}

function readStamp(
  history: TableHistory,
  core: Core,
  slot: number,
  at: number,
  option: number,
  edition: number,
): number {
  const stage = resume.stage(view, option);
  if (!resume.mayResume(stage)) return DROP["stamp-stage"];
  const { key } = core;
  key[0] = geneve.vni(view, at);
  const isOld = stage === POST_ROUTING && hasGone(history.newest, key, option);
  const generation = resume.generation(view, option);
  const tables = isOld ? history.findNewest() : findTables(history, generation, edition);
  key[0] = geneve.vni(view, at);
  const datapath = tables.datapathByKey.find(key);
  if (datapath === NOT_FOUND) return DROP["stamp-datapath"];
  packet.setDatapath(slot, datapath);
  packet.setStage(slot, stage);
  packet.setFlags(slot, resume.flags(view, option));
  packet.setHandOffsLeft(slot, resume.handOffsLeft(view, option));
  packet.setIdentity(slot, resume.identity(view, option) | 0);
  packet.setGeneration(slot, tables.generation | 0);
  packet.setOrigin(slot, resume.origin(view, option));
  packet.setFlowHash(slot, resume.flowHash(view, option));
  packet.setConnection(slot, resume.connection(view, option));
  packet.setTtlDecrements(slot, resume.ttlDecrements(view, option));
  packet.setEntry(slot, -1);
  const reason = readPorts(tables, core, slot, option);
  // A row of the tables that the packet goes on under, not of those that it came by.
  packet.setEnteredBy(slot, stage === PRE_ACL ? packet.inPort(slot) : packet.NO_PORT);
  return reason;
}

/**
 * Next door packets of a flow come in the order of their editions, with a stamp or without one, and
 * those of an older edition run first: it is the edition that says where they belong, also when
 * this worker does not hold it yet, or any more. Their numbers may be the same.
 */
function findTables(history: TableHistory, generation: number, edition: number): Tables {
  if (edition === FROM_AFAR) return history.find(generation);
  return edition === NO_EDITION ? history.findHere(generation) : history.findNear(edition);
}

/**
 * Whether the out-port, of the datapath whose key is in `key[0]`, has a device here and is now
 * elsewhere: under the tables that its sender had, the packet would still leave by that device.
 */
function hasGone(newest: Tables, key: Int32Array, option: number): boolean {
  if (!newest.hasStandby) return false;
  key[0] = newest.datapathByKey.find(key);
  key[1] = resume.egressPort(view, option);
  const port = key[0] < 0 ? NOT_FOUND : newest.portByKey.find(key);
  return port !== NOT_FOUND && newest.ports.isStandby(port);
}

/** What the sender's reason says of the packet, beside the flags that travel. */
function flagsOf(reason: number): number {
  if (reason === resume.REASON_DENIED) return packet.FLAG_DENIED;
  if (reason === resume.REASON_ANSWER) return packet.FLAG_REPLY_TO_INGRESS;
  const isOfRule = reason === resume.REASON_RULE_ANSWER;
  return isOfRule ? packet.FLAG_REPLY_TO_INGRESS | packet.FLAG_FROM_RULE : 0;
}

/** Whether a stage runs at the chassis of the out-port only, and cannot be placed elsewhere. */
function needsOutPort(stage: number): boolean {
  return stage >= POST_ROUTING && !PLACEABLE_STAGES.includes(stage);
}

function readPorts(tables: Tables, core: Core, slot: number, option: number): number {
  const { key } = core;
  key[0] = packet.datapath(slot);
  packet.setInPort(slot, packet.NO_PORT);
  packet.setOutPort(slot, packet.NO_PORT);
  key[1] = resume.ingressPort(view, option);
  if (key[1] !== 0) {
    const inPort = tables.portByKey.find(key);
    if (inPort === NOT_FOUND) return DROP["stamp-port"];
    packet.setInPort(slot, inPort);
  }
  key[1] = resume.egressPort(view, option);
  if (key[1] === FLOOD_KEY) {
    packet.setOutPort(slot, packet.FLOOD);
    return GOES_ON;
  }
  const stage = packet.stage(slot);
  if (stage <= STATEFUL && (packet.flags(slot) & packet.FLAG_LOAD_BALANCED) !== 0) {
    packet.setBackend(slot, key[1] - 1);
    return GOES_ON;
  }
  if (key[1] === 0 && stage < POST_ROUTING) return GOES_ON; // Found out at stage 6.
  const outPort = tables.portByKey.find(key);
  if (outPort === NOT_FOUND) return DROP["stamp-port"];
  const isHere = tables.ports.location(outPort) === LOCATED_HERE;
  // Of a port that was here until a moment ago, or will be, packets are passed on at that stage.
  const isPassedOn = stage === POST_ROUTING && tables.ports.isStandby(outPort);
  if (!isHere && !isPassedOn && needsOutPort(stage)) return DROP["stamp-not-here"];
  packet.setOutPort(slot, outPort);
  return GOES_ON;
}
