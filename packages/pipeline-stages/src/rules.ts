/**
 * What the rules say about a packet, for both rules stages. Run by the worker where these stages
 * are placed, which need not be the one that looked its connection up.
 *
 * Answers in a connection pass as long as the question would: the rules of today are asked about
 * that one, so a change of them ends connections also where only answers still run.
 */
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import { EGRESS_STATEFUL, STATEFUL } from "@rhone/rings/stage";
import * as acls from "@rhone/tables/acls";
import { IPV4_MAPPED, LOCATED_HERE } from "@rhone/tables/ports";
import * as ethernet from "@rhone/wire/ethernet";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import { block, blockConnection } from "./connection-tracking.ts";
import type { Core } from "./core.ts";
import { isDiscovery } from "./is-tracked.ts";
import { GOES_ON } from "./parse.ts";
import { addToChassis } from "./to-chassis.ts";

const REPLY = packet.CONNECTION_ESTABLISHED | packet.CONNECTION_REPLY;
const FORGOTTEN = packet.CONNECTION_FORGOTTEN;

const view = poolViews().view;
const query = new Int32Array(acls.QUERY_WORDS);

/** The packet waits for newer tables, and the stage has it no more. */
export const AWAITS_TABLES = -2;

/**
 * GOES_ON, AWAITS_TABLES, or the reason to drop for, of a packet that comes from (FROM_PORT) or
 * goes to (TO_PORT) a port. Counts it for the rule that decided, and says so in its `rule` word.
 */
export function judge(core: Core, slot: number, direction: acls.Direction, port: number): number {
  const flags = packet.flags(slot) & ~packet.FLAG_STATELESS;
  packet.setFlags(slot, flags);
  packet.setRule(slot, acls.NO_RULE);
  if ((flags & packet.FLAG_FROM_RULE) !== 0) return GOES_ON;
  const connection = packet.connection(slot);
  if (connection === 0) {
    if (!isIp(slot) || isDiscovery(slot)) return GOES_ON;
  } else if ((connection & packet.CONNECTION_RELATED) !== 0 || (connection & REPLY) === REPLY) {
    if ((connection & packet.CONNECTION_BLOCKED) !== 0) return DROP["acl-blocked"];
    if ((connection & packet.CONNECTION_RELATED) !== 0) return GOES_ON;
    return mayAsk(core, slot, direction, port) ? GOES_ON : DROP["acl-blocked"];
  }
  const { tables } = core;
  if (tables.acls.isEmpty) return GOES_ON;
  loadQuery(slot);
  const rule = tables.acls.find(direction, tables.ports.datapath(port), port, query);
  return rule === acls.NO_RULE ? GOES_ON : apply(core, slot, direction, port, rule);
}

/** Whether the question that the packet answers would pass at its port, the other way. */
function mayAsk(core: Core, slot: number, direction: acls.Direction, port: number): boolean {
  const { tables } = core;
  if (tables.acls.isEmpty) return true;
  loadQuery(slot);
  const rule = findForQuestion(core, direction, port);
  return rule === acls.NO_RULE || !isRefusal(core, rule);
}

function isRefusal(core: Core, rule: number): boolean {
  const action = core.tables.acls.action(rule);
  return action === acls.ACTION_DROP || action === acls.ACTION_REJECT;
}

/** The rule that decides about the question that the packet in `query` answers, or NO_RULE. */
function findForQuestion(core: Core, direction: acls.Direction, port: number): number {
  const { tables } = core;
  for (let i = 0; i < acls.QUERY_DESTINATION; i++) {
    const word = query[acls.QUERY_SOURCE + i]!;
    query[acls.QUERY_SOURCE + i] = query[acls.QUERY_DESTINATION + i]!;
    query[acls.QUERY_DESTINATION + i] = word;
  }
  const ports = query[acls.QUERY_PORTS]!;
  query[acls.QUERY_PORTS] = (ports << 16) | (ports >>> 16);
  const asked = direction === acls.FROM_PORT ? acls.TO_PORT : acls.FROM_PORT;
  return tables.acls.find(asked, tables.ports.datapath(port), port, query);
}

/**
 * Whether a packet in `query` that a rule refuses is an answer after all: of a connection that the
 * chassis has forgotten, if the rules of today let the packet's receiver begin it.
 */
function isPickedUp(core: Core, slot: number, direction: acls.Direction, port: number): boolean {
  if ((packet.connection(slot) & FORGOTTEN) !== FORGOTTEN) return false;
  if (isToItself() || isBalanced(core, direction, port)) return false;
  const rule = findForQuestion(core, direction, port);
  // A question that passes without a connection has its answers pass by rules alone.
  return rule === acls.NO_RULE || core.tables.acls.action(rule) === acls.ACTION_ALLOW;
}

/** Then nobody can tell an answer from a question. */
function isToItself(): boolean {
  for (let i = 0; i < acls.QUERY_DESTINATION; i++) {
    if (query[acls.QUERY_SOURCE + i] !== query[acls.QUERY_DESTINATION + i]) return false;
  }
  const ports = query[acls.QUERY_PORTS]!;
  return ports >>> 16 === (ports & 0xffff);
}

/**
 * Whether the other end is a load balancer or a backend in the port's switch. What it sends is
 * perhaps the VIP's to the receiver, who would reset it.
 */
function isBalanced(core: Core, direction: acls.Direction, port: number): boolean {
  const { tables, key } = core;
  if (tables.loadBalancers.isEmpty) return false;
  key[0] = tables.ports.datapath(port);
  if (direction === acls.TO_PORT) {
    for (let i = 0; i < 4; i++) key[1 + i] = query[acls.QUERY_SOURCE + i]!;
    return tables.loadBalancers.isBackend(key);
  }
  for (let i = 0; i < 4; i++) key[2 + i] = query[acls.QUERY_DESTINATION + i]!;
  const servicePort = query[acls.QUERY_PORTS]! & 0xffff;
  return tables.loadBalancers.find(key, query[acls.QUERY_PROTOCOL]!, servicePort) >= 0;
}

function apply(
  core: Core,
  slot: number,
  direction: acls.Direction,
  port: number,
  rule: number,
): number {
  if (isRefusal(core, rule)) {
    if (isPickedUp(core, slot, direction, port)) {
      packet.setConnection(slot, REPLY);
      return GOES_ON;
    }
    if (isHeld(core, slot)) return AWAITS_TABLES;
  }
  const counter = core.tables.acls.counter(rule);
  packet.setRule(slot, counter);
  core.ruleCounters.count(counter);
  switch (core.tables.acls.action(rule)) {
    case acls.ACTION_ALLOW:
      return GOES_ON;
    case acls.ACTION_ALLOW_STATELESS:
      packet.setFlags(slot, packet.flags(slot) | packet.FLAG_STATELESS);
      return GOES_ON;
    case acls.ACTION_REJECT:
      deny(core, slot, direction, port);
      return DROP["acl-reject"];
    default:
      deny(core, slot, direction, port);
      return DROP["acl-drop"];
  }
}

/**
 * Whether a packet that a rule refuses waits for tables as new as its sender's: perhaps they know a
 * port or a label that lets it pass.
 */
function isHeld(core: Core, slot: number): boolean {
  const flags = packet.flags(slot);
  if ((flags & packet.FLAG_AHEAD) === 0) return false;
  packet.setFlags(slot, flags & ~packet.FLAG_AHEAD); // Once.
  if (!core.holdRefused(slot)) return false;
  core.handedOver++;
  return true;
}

/**
 * Blocks the connection of a packet that is refused. Where the rules are placed elsewhere than the
 * connection, a copy of the packet goes there and says so.
 */
function deny(core: Core, slot: number, direction: acls.Direction, port: number): void {
  const { ports } = core.tables;
  const mayHaveEntry = packet.CONNECTION_NEW | packet.CONNECTION_ESTABLISHED;
  if ((packet.connection(slot) & mayHaveEntry) === 0) return;
  if (core.isOwner(slot) && ports.location(port) === LOCATED_HERE) {
    // Looked up by another worker, which owned the flow until now: the entry is not known here.
    if ((packet.flags(slot) & packet.FLAG_PLACED) !== 0) blockConnection(core, slot, port);
    else block(slot);
    return;
  }
  const copy = core.copy(slot);
  if (copy < 0) {
    core.counters.countDrop(core.stage, DROP["pool-exhausted"]);
    return;
  }
  const stage = direction === acls.FROM_PORT ? STATEFUL : EGRESS_STATEFUL;
  packet.setFlags(copy, packet.flags(copy) | packet.FLAG_DENIED);
  const location = ports.location(port);
  packet.setStage(copy, stage);
  const isFull =
    location === LOCATED_HERE
      ? !core.workerOutlet(core.ownerOf(copy)).add(copy)
      : !addToChassis(core, copy, location, stage);
  if (isFull) core.drop(copy, DROP["batch-full"]);
}

function isIp(slot: number): boolean {
  const etherType = packet.etherType(slot);
  return etherType === ethernet.ETHERTYPE_IPV4 || etherType === ethernet.ETHERTYPE_IPV6;
}

function loadQuery(slot: number): void {
  const at = packet.l3At(slot);
  if (packet.etherType(slot) === ethernet.ETHERTYPE_IPV4) {
    loadIpv4(acls.QUERY_SOURCE, ipv4.source(view, at));
    loadIpv4(acls.QUERY_DESTINATION, ipv4.destination(view, at));
  } else {
    for (let i = 0; i < 4; i++) {
      query[acls.QUERY_SOURCE + i] = ipv6.sourceWord(view, at, i);
      query[acls.QUERY_DESTINATION + i] = ipv6.destinationWord(view, at, i);
    }
  }
  query[acls.QUERY_PROTOCOL] = packet.protocol(slot);
  query[acls.QUERY_PORTS] = packet.ports(slot);
}

function loadIpv4(at: number, address: number): void {
  query[at] = 0;
  query[at + 1] = 0;
  query[at + 2] = IPV4_MAPPED;
  query[at + 3] = address;
}
