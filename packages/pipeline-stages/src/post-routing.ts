/**
 * Stage 8, post-routing: the packet stands in the switch of its destination. Here it crosses over,
 * to the chassis that has the destination's port, and goes on there at this stage; a packet for
 * many is copied, once for each other chassis and once for each port here.
 */
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import { POST_ROUTING } from "@rhone/rings/stage";
import { LOCATED_HERE, LOCATED_NOWHERE } from "@rhone/tables/ports";
import * as ethernet from "@rhone/wire/ethernet";
import * as ipv4 from "@rhone/wire/ipv4";
import type { Batch, Core } from "./core.ts";
import { keepIngress } from "./flow-decision.ts";
import { sourceFromDestination, TOO_BIG, turnIntoError } from "./icmp-error.ts";
import { GOES_ON } from "./parse.ts";
import { addToChassis, fits } from "./to-chassis.ts";

/** This stage's number: where a packet that crosses over goes on. */
/** Answers of `cross` beside GOES_ON and the drop reasons: the packet is at an outlet. */
const LEFT = -2;

const view = poolViews().view;

export function postRouting(core: Core, batch: Batch): void {
  const { slots } = batch;
  let kept = 0;
  core.copies.count = 0;
  for (let i = 0; i < batch.count; i++) {
    const slot = slots[i]!;
    if (packet.outPort(slot) === packet.FLOOD) {
      flood(core, slot);
      continue;
    }
    const verdict = cross(core, slot);
    if (verdict === GOES_ON) slots[kept++] = slot;
    else if (verdict !== LEFT) core.drop(slot, verdict);
  }
  batch.count = kept;
  addCopies(core, batch);
}

function addCopies(core: Core, batch: Batch): void {
  const { copies } = core;
  for (let i = 0; i < copies.count; i++) {
    const copy = copies.slots[i]!;
    if (!batch.add(copy)) core.drop(copy, DROP["batch-full"]);
    else core.handedOver--; // A copy is one more packet of this stage.
  }
}

/** Sends a packet for one port to where that port is. */
function cross(core: Core, slot: number): number {
  const { ports } = core.tables;
  const port = packet.outPort(slot);
  if (port < 0) return DROP["destination-unknown"];
  const isReply = (packet.flags(slot) & packet.FLAG_REPLY_TO_INGRESS) !== 0;
  if (port === packet.inPort(slot) && !isReply) return DROP["destination-is-source"];
  const location = ports.location(port);
  if (location === LOCATED_NOWHERE) return DROP["destination-unbound"];
  keepIngress(core, slot);
  if (location !== LOCATED_HERE) return toChassis(core, slot, location);
  if (core.isOwner(slot)) return GOES_ON;
  core.handOver(slot, core.ownerOf(slot), POST_ROUTING);
  return LEFT;
}

function toChassis(core: Core, slot: number, endpoint: number): number {
  if (!fits(core, slot)) return refuseTooBig(core, slot);
  if (!addToChassis(core, slot, endpoint, POST_ROUTING)) return DROP["batch-full"];
  core.handedOver++;
  return LEFT;
}

/** Tells the sender the tunnel's MTU (RFC 1191, RFC 8201), or drops. */
function refuseTooBig(core: Core, slot: number): number {
  const reason = DROP["too-big"];
  const isIpv4 = packet.etherType(slot) === ethernet.ETHERTYPE_IPV4;
  if (!isIpv4 && packet.etherType(slot) !== ethernet.ETHERTYPE_IPV6) return reason;
  if (isIpv4 && !ipv4.dontFragment(view, packet.l3At(slot))) return reason;
  core.key[0] = packet.device(slot);
  const sender = core.tables.portByDevice.find(core.key);
  if (sender < 0) return reason;
  sourceFromDestination(slot);
  if (!turnIntoError(core, slot, TOO_BIG, core.tables.tunnelMtu)) return reason;
  core.counters.countDrop(core.stage, reason);
  const { ports } = core.tables;
  const at = packet.frameAt(slot);
  ethernet.setDestination(view, at, ports.macHigh(sender), ports.macLow(sender));
  packet.setDatapath(slot, ports.datapath(sender));
  // The port that the packet came to this switch by may be in another one than the sender's.
  packet.setInPort(slot, packet.NO_PORT);
  packet.setOutPort(slot, sender);
  return GOES_ON;
}

/** Copies a packet for many; one that came through a tunnel stays on this chassis. */
function flood(core: Core, slot: number): void {
  const { groups } = core.tables;
  const datapath = packet.datapath(slot);
  const cameByTunnel = (packet.flags(slot) & packet.FLAG_FROM_TUNNEL) !== 0;
  const remotes = cameByTunnel ? 0 : groups.remoteCount(datapath);
  for (let i = 0; i < remotes; i++) {
    const copy = core.copy(slot);
    if (copy < 0) core.counters.countDrop(core.stage, DROP["pool-exhausted"]);
    else if (!fits(core, copy)) core.drop(copy, DROP["too-big"]);
    else if (!addToChassis(core, copy, groups.remote(datapath, i), POST_ROUTING)) {
      core.drop(copy, DROP["batch-full"]);
    }
  }
  const locals = groups.localCount(datapath);
  for (let i = 0; i < locals; i++) {
    const port = groups.local(datapath, i);
    if (port !== packet.inPort(slot)) copyToPort(core, slot, port);
  }
  core.allocator.give(slot);
  core.handedOver++; // Only its copies go on.
}

function copyToPort(core: Core, slot: number, port: number): void {
  const copy = core.copy(slot);
  if (copy < 0) {
    core.counters.countDrop(core.stage, DROP["pool-exhausted"]);
    return;
  }
  packet.setOutPort(copy, port);
  if (!core.copies.add(copy)) core.drop(copy, DROP["batch-full"]);
}
