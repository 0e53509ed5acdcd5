/**
 * The answer to a packet that is rejected, by a rule or for want of a backend: a TCP reset, else
 * port unreachable, in the name of whom the packet was for. It takes the packet's slot and goes its
 * own way, back to the sender.
 */
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import { POST_ROUTING } from "@rhone/rings/stage";
import { NO_RULE } from "@rhone/tables/acls";
import * as connections from "@rhone/tables/connections";
import * as ethernet from "@rhone/wire/ethernet";
import * as ipv4 from "@rhone/wire/ipv4";
import * as tcp from "@rhone/wire/tcp";
import type { Core } from "./core.ts";
import { PORT_UNREACHABLE, sourceFromDestination, turnIntoError } from "./icmp-error.ts";
import { turnIntoReset } from "./tcp-reset.ts";

const L2 = 6; // Numbers of the stages where an answer goes on.

const view = poolViews().view;

/**
 * Answers a packet that was rejected on its way from the in-port: straight out of that port;
 * `reason` is what it is counted as. False, and the packet is as it was, when it may not be
 * answered.
 */
export function answerFromPort(core: Core, slot: number, reason: number): boolean {
  if (!turnIntoAnswer(core, slot, reason)) return false;
  packet.setOutPort(slot, packet.inPort(slot));
  // The zone that it passes may know nothing of the packet that it answers.
  packet.setFlags(slot, packet.flags(slot) | packet.FLAG_REPLY_TO_INGRESS | packet.FLAG_FROM_RULE);
  core.goAgain(slot, POST_ROUTING);
  return true;
}

/**
 * Answers a packet that was rejected on its way to the out-port: as a new packet from there, which
 * is switched, routed and tracked on its way like any answer of the port's own.
 */
export function answerToPort(core: Core, slot: number): boolean {
  if (!turnIntoAnswer(core, slot, DROP["acl-reject"])) return false;
  const port = packet.outPort(slot);
  const { tables } = core;
  packet.setDatapath(slot, tables.ports.datapath(port));
  packet.setInPort(slot, port);
  packet.setOutPort(slot, packet.NO_PORT);
  packet.setFlags(slot, packet.FLAG_TRACKED);
  packet.setIdentity(slot, 0);
  packet.setOrigin(slot, tables.shortId);
  packet.setTtlDecrements(slot, 0);
  packet.setHandOffsLeft(slot, packet.HAND_OFFS_MAX);
  packet.setRingHopsLeft(slot, packet.RING_HOPS_MAX);
  core.goAgain(slot, L2);
  return true;
}

function turnIntoAnswer(core: Core, slot: number, reason: number): boolean {
  if (!mayAnswer(slot)) return false;
  if (packet.protocol(slot) === ipv4.PROTOCOL_TCP) {
    if (isReset(slot) || !core.replyMeter.admits(core.nowMs)) return false;
    turnIntoReset(slot);
  } else {
    sourceFromDestination(slot);
    if (!turnIntoError(core, slot, PORT_UNREACHABLE, 0)) return false;
  }
  // The packet ends here, only its answer goes on: both are counted.
  core.counters.countDrop(core.stage, reason);
  packet.setConnection(slot, 0);
  packet.setEntry(slot, connections.NONE);
  packet.setEnteredBy(slot, packet.NO_PORT);
  packet.setRule(slot, NO_RULE);
  return true;
}

/** Only whole packets between two hosts, and none that was made here to answer one. */
function mayAnswer(slot: number): boolean {
  const unusual = packet.FLAG_FRAGMENT | packet.FLAG_REPLY_TO_INGRESS | packet.FLAG_FROM_RULE;
  if ((packet.flags(slot) & (unusual | packet.FLAG_TRACKED)) !== packet.FLAG_TRACKED) return false;
  // A group as the sender would make the answer go to many.
  return ((ethernet.sourceHigh(view, packet.frameAt(slot)) >>> 24) & 1) === 0;
}

function isReset(slot: number): boolean {
  return (tcp.flags(view, packet.l4At(slot)) & tcp.RST) !== 0;
}
