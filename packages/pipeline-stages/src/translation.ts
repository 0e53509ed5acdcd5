/**
 * Connections to a load balancer's address, which go on to a backend. Part of the stages that look
 * connections up and commit them; run by the workers that own them.
 *
 * Such a flow has two tuples, and so maybe two owners: sender → VIP, and sender → backend. The
 * first one's entry remembers the backend (TRANSLATED). Its owner rewrites the destination and
 * passes the packet to the owner of the second, whose entry remembers the VIP (REVERSE). Answers
 * come to the latter, at stage 10 at the sender's chassis: it rewrites their source and passes them
 * to the former. Both entries are ordinary connections otherwise, in the zone of the sender's port.
 */
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import { EGRESS_PRE_ACL, STATEFUL } from "@rhone/rings/stage";
import * as connections from "@rhone/tables/connections";
import { NOT_FOUND } from "@rhone/tables/exact-table";
import { IPV4_MAPPED } from "@rhone/tables/ports";
import * as translations from "@rhone/tables/translations";
import * as ethernet from "@rhone/wire/ethernet";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import {
  commit,
  findConnection,
  findQuotedConnection,
  foundEntry,
  ipEnd,
  lookUp,
} from "./connection-tracking.ts";
import type { Core } from "./core.ts";
import { keepBack, keepOnward } from "./flow-decision.ts";
import { findVip } from "./load-balancing.ts";
import { GOES_ON } from "./parse.ts";
import { quoted, quotedFlowHash } from "./quoted-packet.ts";
import {
  DESTINATION,
  type End,
  rewriteEnd,
  rewriteErrorEnd,
  rewriteQuoted,
  SOURCE,
} from "./rewrite-address.ts";

const { REVERSE, TRANSLATED } = connections;
const view = poolViews().view;
const address = new Int32Array(4);
const other = new Int32Array(4);

/**
 * Stage 5, behind the commit: sends a packet of a balanced connection on to its backend. False when
 * it left the batch: to the owner of what it is now, or dropped.
 */
export function translate(core: Core, slot: number): boolean {
  const flags = packet.flags(slot);
  const connection = packet.connection(slot);
  if ((flags & packet.FLAG_TRANSLATED) !== 0) {
    packet.setFlags(slot, flags & ~packet.FLAG_TRANSLATED); // Its second commit has just been.
    packet.setEnteredBy(slot, packet.inPort(slot));
    return true;
  }
  if ((connection & packet.CONNECTION_REPLY) !== 0) return true;
  if ((connection & packet.CONNECTION_RELATED) !== 0) return translateError(core, slot);
  const entry = packet.entry(slot);
  if (entry === connections.NONE) return true;
  if (!connections.hasFlag(entry, TRANSLATED)) {
    if ((flags & packet.FLAG_LOAD_BALANCED) === 0) return true;
    if (!beginTranslation(core, slot, entry)) {
      core.drop(slot, DROP["lb-no-backend"]);
      return false;
    }
  }
  const from = portAt(packet.ports(slot), DESTINATION);
  loadEnd(slot, packet.l3At(slot), DESTINATION, address);
  packet.setTranslatedFrom(slot, address, from);
  const port = translations.copyTo(entry, address);
  rewriteEnd(slot, DESTINATION, address, port);
  packet.setConnection(slot, connection | packet.CONNECTION_DNAT);
  keepOnward(core, slot, entry);
  return commitOnward(core, slot);
}

/** The second commit, of what the packet is now, at the owner of that. */
function commitOnward(core: Core, slot: number): boolean {
  if (!core.isOwner(slot)) {
    packet.setFlags(slot, packet.flags(slot) | packet.FLAG_TRANSLATED);
    core.handOver(slot, core.ownerOf(slot), STATEFUL);
    return false;
  }
  const reason = commitTranslated(core, slot, packet.inPort(slot));
  if (reason === GOES_ON) return true;
  core.drop(slot, reason);
  return false;
}

/** Commits a packet whose destination was translated. GOES_ON, or the reason to drop it for. */
export function commitTranslated(core: Core, slot: number, port: number): number {
  const known = findConnection(core, slot, port);
  const from = packet.copyTranslatedFrom(slot, address);
  if (known !== connections.NONE && !mayTakeOver(core, slot, port, known, from)) {
    return DROP["translation-conflict"];
  }
  const reason = commit(core, slot, port);
  const entry = packet.entry(slot);
  if (entry === connections.NONE) return reason;
  connections.setFlag(entry, REVERSE);
  translations.set(entry, address, from);
  return reason;
}

/** Whether the entry is this flow's, or of one that is over. */
function mayTakeOver(core: Core, slot: number, port: number, known: number, from: number): boolean {
  const isOurs = connections.hasFlag(known, REVERSE) && !connections.isReply(known);
  if (isOurs && translations.is(known, address, from)) return true;
  const before = packet.connection(slot);
  lookUp(core, slot, port);
  const reopens = (packet.connection(slot) & packet.CONNECTION_NEW) !== 0;
  const isOver = reopens && packet.entry(slot) === connections.NONE;
  packet.setConnection(slot, before);
  return isOver;
}

/** Remembers the backend that stage 4 chose; false when the tables have it no more. */
function beginTranslation(core: Core, slot: number, entry: number): boolean {
  const { loadBalancers } = core.tables;
  const vip = findVip(core, slot);
  const backend = packet.backend(slot);
  if (vip === NOT_FOUND || backend < 0 || backend >= loadBalancers.backendCount(vip)) return false;
  for (let i = 0; i < 4; i++) address[i] = loadBalancers.backendWord(vip, backend, i);
  const port = loadBalancers.backendPort(vip, backend);
  translations.set(entry, address, port === 0 ? portAt(packet.ports(slot), DESTINATION) : port);
  connections.setFlag(entry, TRANSLATED);
  return true;
}

/** An ICMP error from the sender about an answer, which came from its backend in truth. */
function translateError(core: Core, slot: number): boolean {
  if ((packet.connection(slot) & packet.CONNECTION_DNAT) === 0) return true;
  const entry = findQuotedConnection(core, slot, packet.inPort(slot));
  if (entry === connections.NONE || !connections.hasFlag(entry, TRANSLATED)) return true;
  rewriteError(slot, entry, DESTINATION, SOURCE);
  return true;
}

/**
 * Stage 10, behind the look-up: makes an answer of a backend one of the VIP. False when it left the
 * batch, to the owner of what it is now.
 */
export function reverse(core: Core, slot: number, port: number): boolean {
  const entry = foundEntry();
  if (entry === connections.NONE || !connections.hasFlag(entry, REVERSE)) return true;
  const connection = packet.connection(slot);
  if ((connection & packet.CONNECTION_RELATED) !== 0) {
    if ((connection & packet.CONNECTION_REPLY) !== 0)
      rewriteError(slot, entry, SOURCE, DESTINATION);
    return true;
  }
  // A new connection takes the place of one that is over.
  if ((connection & packet.CONNECTION_NEW) !== 0 || !connections.isReply(entry)) return true;
  const to = translations.copyTo(entry, address);
  commit(core, slot, port);
  rewriteEnd(slot, SOURCE, address, to);
  keepBack(core, slot, entry);
  if (!core.isOwner(slot)) {
    core.handOver(slot, core.ownerOf(slot), EGRESS_PRE_ACL);
    return false;
  }
  lookUp(core, slot, port);
  return true;
}

/**
 * Whether a packet, just looked up, belongs to a translated flow although it was not translated.
 */
export function isConflict(slot: number): boolean {
  const entry = foundEntry();
  if (entry === connections.NONE || !connections.hasFlag(entry, REVERSE)) return false;
  const other = packet.CONNECTION_RELATED | packet.CONNECTION_REPLY;
  if ((packet.connection(slot) & other) !== 0 || connections.isReply(entry)) return false;
  return packet.entry(slot) !== connections.NONE || isInvalid(slot);
}

function isInvalid(slot: number): boolean {
  return (packet.connection(slot) & packet.CONNECTION_INVALID) !== 0;
}

/** An end of what an ICMP error quotes, and its own one when that is the same host. */
function rewriteError(slot: number, entry: number, own: End, quotedEnd: End): void {
  loadEnd(slot, packet.l3At(slot), own, address);
  loadEnd(slot, quoted.l3At, quotedEnd, other);
  const isSame = address.every(isOther);
  const port = translations.copyTo(entry, address);
  rewriteQuoted(slot, quotedEnd, address, port);
  if (isSame) rewriteErrorEnd(slot, own, address);
  packet.setFlowHash(slot, quotedFlowHash(slot, ipEnd(slot), packet.flowHash(slot)));
}

function isOther(word: number, i: number): boolean {
  return word === other[i];
}

/** Copies an address of the IP header at a byte offset to four words. */
export function loadEnd(slot: number, l3At: number, end: End, to: Int32Array): void {
  if (packet.etherType(slot) === ethernet.ETHERTYPE_IPV4) {
    to[0] = 0;
    to[1] = 0;
    to[2] = IPV4_MAPPED;
    to[3] = end === SOURCE ? ipv4.source(view, l3At) : ipv4.destination(view, l3At);
    return;
  }
  const at = l3At + (end === SOURCE ? ipv6.SOURCE : ipv6.DESTINATION);
  for (let i = 0; i < 4; i++) to[i] = view.getInt32(at + i * 4);
}

function portAt(ports: number, end: End): number {
  return end === SOURCE ? ports >>> 16 : ports & 0xffff;
}
