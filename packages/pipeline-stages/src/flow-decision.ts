/**
 * What the stages decided for a flow, kept in its connection entry for the fast path: the from-port
 * half (stages 0–8) in the zone of the port that the packets enter by, the to-port half (8–15) in
 * the zone of the one that they leave by. Run by the worker that owns the flow.
 *
 * A decision holds for one edition of the tables, whose rows its numbers are, and for one direction
 * of the flow: who is free to forge addresses can send both by one port.
 */
import * as packet from "@rhone/rings/packet";
import * as connections from "@rhone/tables/connections";
import { findConnection } from "./connection-tracking.ts";
import type { Core } from "./core.ts";

// Decision words of an entry.
export const INGRESS_EDITION = 0;
/** Port whose MAC address the frame is sent to: the first router's, or the destination's. */
export const FIRST_HOP = 1;
export const OUT_PORT = 2;
/** The last router's port on the way, -1 when the packet stays in its switch. */
export const LAST_ROUTER_PORT = 3;
export const TTL_DECREMENTS = 4;
export const INGRESS_RULE = 5;
export const EGRESS_EDITION = 6;
export const EGRESS_RULE = 7;
// A balanced flow has two entries in the zone of its sender (translation.ts), and each has the part
// of a decision that its owner can see. That of sender → VIP, TRANSLATED, has stages 0–5 and 10–15;
// that of sender → backend, REVERSE, has stages 5–8, and 8–10 for the answers.
/** Flow hash of what becomes of a packet from the sender; in the entry of sender → VIP. */
export const ONWARD_HASH = FIRST_HOP;
/** Flow hash of what becomes of an answer; in the entry of sender → backend. */
export const BACK_HASH = EGRESS_RULE;

/** What the edition words say of a decision that holds now for this direction of a flow. */
export function editionOf(core: Core, isReply: boolean): number {
  return (core.tables.edition << 1) | (isReply ? 1 : 0);
}

const COMMITTED = packet.CONNECTION_NEW | packet.CONNECTION_ESTABLISHED;
const TRANSLATED_REPLY = packet.CONNECTION_DNAT | packet.CONNECTION_REPLY;
const UNUSUAL = packet.FLAG_FRAGMENT | packet.FLAG_PLACED | packet.FLAG_REPLY_TO_INGRESS;

/** Keeps what stages 0–8 decided, of a packet that is about to cross to its destination. */
export function keepIngress(core: Core, slot: number): void {
  const port = packet.enteredBy(slot);
  if (port === packet.NO_PORT || packet.entry(slot) === connections.NONE) return;
  // It enters by the port that such packets leave by, and is not one of them.
  if ((packet.connection(slot) & TRANSLATED_REPLY) === TRANSLATED_REPLY) return;
  const entry = entryToKeep(core, slot, port, INGRESS_EDITION);
  if (entry === connections.NONE) return;
  const isRouted = packet.ttlDecrements(slot) !== 0;
  connections.setDecision(entry, FIRST_HOP, packet.firstHop(slot));
  connections.setDecision(entry, OUT_PORT, packet.outPort(slot));
  connections.setDecision(entry, LAST_ROUTER_PORT, isRouted ? packet.inPort(slot) : packet.NO_PORT);
  connections.setDecision(entry, TTL_DECREMENTS, packet.ttlDecrements(slot));
  connections.setDecision(entry, INGRESS_RULE, packet.rule(slot));
  connections.setDecision(entry, INGRESS_EDITION, editionFor(core, slot));
}

/** Keeps, in the entry of sender → VIP, what stages 0–5 made of the packet that it now is. */
export function keepOnward(core: Core, slot: number, entry: number): void {
  const isHere = packet.enteredBy(slot) !== packet.NO_PORT;
  if (!isHere || (packet.flags(slot) & UNUSUAL) !== 0) return;
  connections.setDecision(entry, ONWARD_HASH, packet.flowHash(slot));
  connections.setDecision(entry, INGRESS_RULE, packet.rule(slot));
  connections.setDecision(entry, INGRESS_EDITION, editionFor(core, slot));
}

/** Keeps, in the entry of sender → backend, what stages 8–10 made of the answer that it now is. */
export function keepBack(core: Core, slot: number, entry: number): void {
  if ((packet.flags(slot) & UNUSUAL) !== 0) return;
  connections.setDecision(entry, BACK_HASH, packet.flowHash(slot));
  connections.setDecision(entry, EGRESS_EDITION, editionFor(core, slot));
}

/** Keeps that stages 8–15 let the packet's flow pass. */
export function keepEgress(core: Core, slot: number): void {
  if (packet.entry(slot) === connections.NONE) return;
  const entry = entryToKeep(core, slot, packet.outPort(slot), EGRESS_EDITION);
  if (entry === connections.NONE) return;
  connections.setDecision(entry, EGRESS_RULE, packet.rule(slot));
  connections.setDecision(entry, EGRESS_EDITION, editionFor(core, slot));
}

/** The packet's entry in the zone of `port`, or NONE when nothing is to be kept in it. */
function entryToKeep(core: Core, slot: number, port: number, edition: number): number {
  if ((packet.connection(slot) & COMMITTED) === 0) return connections.NONE;
  if ((packet.flags(slot) & UNUSUAL) !== 0) return connections.NONE;
  const known = packet.entry(slot);
  // What is not sure to be a connection walks.
  if (connections.hasFlag(known, connections.PICKED_UP)) return connections.NONE;
  if (connections.decision(known, edition) === editionFor(core, slot)) return connections.NONE;
  // Another packet of the batch may have taken the entry's place meanwhile.
  return findConnection(core, slot, port);
}

function editionFor(core: Core, slot: number): number {
  return editionOf(core, (packet.connection(slot) & packet.CONNECTION_REPLY) !== 0);
}
