/**
 * Stage 4, load balancing: chooses the backend of a new connection to a load balancer's address.
 * The choice is a function of the packet and the tables alone, so it can be made anywhere; the
 * commit behind it (stage 5) remembers it for the connection and acts on it.
 */
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import { NOT_FOUND } from "@rhone/tables/exact-table";
import { NO_BACKEND } from "@rhone/tables/load-balancers";
import { IPV4_MAPPED } from "@rhone/tables/ports";
import * as ethernet from "@rhone/wire/ethernet";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import type { Batch, Core } from "./core.ts";
import { mix } from "./flow-hash.ts";
import { GOES_ON } from "./parse.ts";
import { answerFromPort } from "./reject.ts";

const view = poolViews().view;
/** The sender's address: nobody is served by himself. */
const sender = new Int32Array(4);

export function loadBalancing(core: Core, batch: Batch): void {
  if (core.tables.loadBalancers.isEmpty) return;
  const { slots } = batch;
  let kept = 0;
  for (let i = 0; i < batch.count; i++) {
    const slot = slots[i]!;
    const reason = balance(core, slot);
    if (reason === GOES_ON) slots[kept++] = slot;
    else if (!isTold(core, slot, reason)) core.drop(slot, reason);
  }
  batch.count = kept;
}

/** The VIP that a packet in its sender's switch is for, or NOT_FOUND. */
export function findVip(core: Core, slot: number): number {
  const { key } = core;
  key[0] = packet.datapath(slot);
  const l3At = packet.l3At(slot);
  if (packet.etherType(slot) === ethernet.ETHERTYPE_IPV4) {
    key[2] = 0;
    key[3] = 0;
    key[4] = IPV4_MAPPED;
    key[5] = ipv4.destination(view, l3At);
  } else for (let i = 0; i < 4; i++) key[2 + i] = ipv6.destinationWord(view, l3At, i);
  return core.tables.loadBalancers.find(key, packet.protocol(slot), packet.ports(slot) & 0xffff);
}

/** GOES_ON, with the backend in the packet's words if it is balanced, or the reason to drop for. */
function balance(core: Core, slot: number): number {
  if (!isFirst(slot)) return GOES_ON;
  const vip = findVip(core, slot);
  if (vip === NOT_FOUND) return GOES_ON;
  const backend = core.tables.loadBalancers.choose(vip, hashOfFlow(slot), sender);
  if (backend === NO_BACKEND) return DROP["lb-no-backend"];
  packet.setBackend(slot, backend);
  packet.setFlags(slot, packet.flags(slot) | packet.FLAG_LOAD_BALANCED);
  return GOES_ON;
}

/** Of a connection that nobody has answered yet and that is not translated. */
function isFirst(slot: number): boolean {
  const unfit = packet.CONNECTION_REPLY | packet.CONNECTION_DNAT | packet.CONNECTION_BLOCKED;
  if ((packet.connection(slot) & (packet.CONNECTION_NEW | unfit)) !== packet.CONNECTION_NEW) {
    return false;
  }
  return (packet.flags(slot) & packet.FLAG_STATELESS) === 0;
}

/**
 * Of addresses, protocol and ports, the same at every chassis, as the hash of `flow-hash.ts` is
 * not. Leaves the sender's address in `sender`.
 */
function hashOfFlow(slot: number): number {
  const l3At = packet.l3At(slot);
  let hash = mix(packet.ports(slot) ^ packet.protocol(slot));
  if (packet.etherType(slot) === ethernet.ETHERTYPE_IPV4) {
    sender[0] = 0;
    sender[1] = 0;
    sender[2] = IPV4_MAPPED;
    sender[3] = ipv4.source(view, l3At);
    return mix(mix(hash ^ sender[3]) ^ ipv4.destination(view, l3At));
  }
  for (let i = 0; i < 4; i++) {
    sender[i] = ipv6.sourceWord(view, l3At, i);
    hash = mix(mix(hash ^ sender[i]!) ^ ipv6.destinationWord(view, l3At, i));
  }
  return hash;
}

/** Whether the sender hears that nobody serves it, in place of its packet. */
function isTold(core: Core, slot: number, reason: number): boolean {
  return (
    core.tables.loadBalancers.rejects(findVip(core, slot)) && answerFromPort(core, slot, reason)
  );
}
