/**
 * The fast path for packets of balanced flows, which have two entries in the zone of their sender
 * and maybe two owners (translation.ts): each is asked whether it would let the packet pass before
 * any is changed. At the owner of one the packet goes as far as it can and on to the other's.
 */
import { bucketOf } from "@rhone/rings/buckets";
import * as packet from "@rhone/rings/packet";
import { EGRESS_PRE_ACL, STATEFUL } from "@rhone/rings/stage";
import * as connections from "@rhone/tables/connections";
import { LOCATED_HERE } from "@rhone/tables/ports";
import * as translations from "@rhone/tables/translations";
import { loadKey } from "./connection-tracking.ts";
import { BATCH_MAX, type Core } from "./core.ts";
import {
  canGo,
  countRule,
  go,
  HANDED_ON,
  isSentTo,
  isSteady,
  PASSED,
  refresh,
  WALKS,
} from "./fast-steps.ts";
import * as decision from "./flow-decision.ts";
import { deliver } from "./output.ts";
import { DESTINATION, rewriteKnown, SOURCE } from "./rewrite-address.ts";
import { loadEnd } from "./translation.ts";

const { BLOCKED, NONE, REPLY_SEEN, REVERSE, TRANSLATED } = connections;
const ESTABLISHED_REPLY = packet.CONNECTION_ESTABLISHED | packet.CONNECTION_REPLY;
/** Of a packet that the first owner has sent on, these flags and nothing else is expected. */
const ONWARD = packet.FLAG_TRANSLATED;
const NOT_ONWARD = packet.FLAG_PLACED | packet.FLAG_DENIED | packet.FLAG_STATELESS;

/** What the packet is translated to. */
const address = new Int32Array(4);
/** What it was sent to. */
const from = new Int32Array(4);

/**
 * A packet from the sender to a VIP, whose key was loaded last: `entry` has it, not as a reply, and
 * has a decision. What became of it on its way to stage 8.
 */
export function entersBalanced(core: Core, slot: number, entry: number): number {
  if (connections.hasFlag(entry, BLOCKED | REVERSE)) return WALKS;
  const hash = connections.decision(entry, decision.ONWARD_HASH);
  const owner = core.owners[bucketOf(hash)]!;
  const port = translations.copyTo(entry, address);
  if (owner !== core.worker) return sendsOn(core, slot, entry, owner, port);
  if (!isSteady(slot, entry, false)) return WALKS;
  loadEnd(slot, packet.l3At(slot), DESTINATION, from);
  connections.loadOtherEnd(false, address, port);
  const onward = connections.find(hash, core.nowMs);
  if (!passesOnward(core, slot, onward, packet.ports(slot) & 0xffff)) return WALKS;
  refresh(core, slot, entry, false);
  become(core, slot, entry, hash, port);
  go(core, slot, onward);
  return PASSED;
}

/** To the owner of what the packet becomes, which goes on in stage 5. */
function sendsOn(core: Core, slot: number, entry: number, owner: number, port: number): number {
  if (core.workerOutlet(owner).count === BATCH_MAX) return WALKS;
  if (!refresh(core, slot, entry, false)) return WALKS;
  loadEnd(slot, packet.l3At(slot), DESTINATION, from);
  packet.setTranslatedFrom(slot, from, packet.ports(slot) & 0xffff);
  become(core, slot, entry, connections.decision(entry, decision.ONWARD_HASH), port);
  packet.setFlags(slot, packet.flags(slot) | packet.FLAG_TRANSLATED);
  core.handOver(slot, owner, STATEFUL);
  return HANDED_ON;
}

/** Stages 1 to 5 of a packet that passes: it goes to the backend now. */
function become(core: Core, slot: number, entry: number, hash: number, port: number): void {
  const isEstablished = connections.hasFlag(entry, REPLY_SEEN);
  const bits = isEstablished ? packet.CONNECTION_ESTABLISHED : packet.CONNECTION_NEW;
  packet.setConnection(slot, bits | packet.CONNECTION_DNAT);
  countRule(core, slot, connections.decision(entry, decision.INGRESS_RULE));
  rewriteKnown(slot, DESTINATION, address, port, hash);
}

/**
 * Whether `onward`, the entry of sender → backend, lets a packet pass that was sent to the address
 * in `from`. Then it has been refreshed; else nothing has changed.
 */
function passesOnward(core: Core, slot: number, onward: number, fromPort: number): boolean {
  if (onward === NONE || connections.isReply(onward)) return false;
  if (!connections.hasFlag(onward, REVERSE)) return false;
  if (connections.hasFlag(onward, BLOCKED | TRANSLATED)) return false;
  const edition = decision.editionOf(core, false);
  if (connections.decision(onward, decision.INGRESS_EDITION) !== edition) return false;
  // Another VIP's flow to this backend may have taken it.
  if (!translations.is(onward, from, fromPort)) return false;
  return canGo(core, slot, onward) && refresh(core, slot, onward, false);
}

/**
 * Stages 5 to 8 at the owner of sender → backend, for a packet of a plain flow that the owner of
 * sender → VIP has translated. False, and nothing changed, when it walks.
 */
export function goesOnward(core: Core, slot: number): boolean {
  const flags = packet.flags(slot);
  if ((flags & (ONWARD | NOT_ONWARD)) !== ONWARD) return false;
  const port = packet.inPort(slot);
  if (port < 0 || core.tables.ports.location(port) !== LOCATED_HERE) return false;
  loadKey(core, slot, port);
  const onward = connections.find(packet.flowHash(slot), core.nowMs);
  const fromPort = packet.copyTranslatedFrom(slot, from);
  if (!passesOnward(core, slot, onward, fromPort)) return false;
  packet.setFlags(slot, flags & ~packet.FLAG_TRANSLATED);
  go(core, slot, onward);
  return true;
}

/**
 * An answer of a backend, whose key was loaded last: `entry`, of sender → backend, has it as a
 * reply, and has a decision. What became of it on its way from stage 8 to 15.
 */
export function leavesBalanced(core: Core, slot: number, entry: number): number {
  if (connections.hasFlag(entry, BLOCKED | TRANSLATED)) return WALKS;
  if (!connections.hasFlag(entry, REVERSE)) return WALKS;
  const hash = connections.decision(entry, decision.BACK_HASH);
  const owner = core.owners[bucketOf(hash)]!;
  const port = translations.copyTo(entry, address);
  if (owner !== core.worker) return sendsBack(core, slot, entry, owner, port);
  if (!isSteady(slot, entry, true)) return WALKS;
  connections.loadOtherEnd(true, address, port);
  const own = connections.find(hash, core.nowMs);
  if (own === NONE || !connections.isReply(own)) return WALKS;
  if (connections.hasFlag(own, BLOCKED | REVERSE)) return WALKS;
  const edition = decision.editionOf(core, true);
  if (connections.decision(own, decision.EGRESS_EDITION) !== edition) return WALKS;
  const { ports } = core.tables;
  const outPort = packet.outPort(slot);
  if (ports.isSecured(outPort) && !isSentTo(core, packet.frameAt(slot), outPort)) return WALKS;
  if (!refresh(core, slot, own, true)) return WALKS;
  refresh(core, slot, entry, true);
  rewriteKnown(slot, SOURCE, address, port, hash);
  countRule(core, slot, connections.decision(own, decision.EGRESS_RULE));
  deliver(core, slot, outPort);
  return PASSED;
}

/** To the owner of what the answer becomes, which goes on at stage 10. */
function sendsBack(core: Core, slot: number, entry: number, owner: number, port: number): number {
  if (core.workerOutlet(owner).count === BATCH_MAX) return WALKS;
  if (!refresh(core, slot, entry, true)) return WALKS;
  packet.setConnection(slot, ESTABLISHED_REPLY);
  const hash = connections.decision(entry, decision.BACK_HASH);
  rewriteKnown(slot, SOURCE, address, port, hash);
  core.handOver(slot, owner, EGRESS_PRE_ACL);
  return HANDED_ON;
}
