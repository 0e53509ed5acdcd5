/**
 * Before the fast path looks connections up one by one, brings what it will read near, for a whole
 * batch at a time: the index and the entry in the zone that a packet comes from, then both in the
 * zone that the entry says it goes to.
 */
import * as packet from "@rhone/rings/packet";
import { touchEntry, touchIndex } from "@rhone/tables/connection-touch";
import * as connections from "@rhone/tables/connections";
import { LOCATED_HERE } from "@rhone/tables/ports";
import * as ethernet from "@rhone/wire/ethernet";
import { BATCH_MAX, type Core } from "./core.ts";
import { OUT_PORT } from "./flow-decision.ts";

/** From so many packets on a batch gains by it. */
const WORTH_IT = 8;
const NONE = -1;

/** By place in the batch: a place in the index, then an entry. */
const found = new Int32Array(BATCH_MAX);

export function touchConnections(core: Core, slots: Int32Array, count: number): void {
  if (count < WORTH_IT) return;
  for (let i = 0; i < count; i++) found[i] = touchZone(core, slots[i]!, packet.inPort(slots[i]!));
  touchEntries(slots, count);
  for (let i = 0; i < count; i++) found[i] = touchOutZone(core, slots[i]!, found[i]!);
  touchEntries(slots, count);
}

function touchEntries(slots: Int32Array, count: number): void {
  for (let i = 0; i < count; i++) {
    if (found[i] !== NONE) found[i] = touchEntry(packet.flowHash(slots[i]!), found[i]!);
  }
}

function touchOutZone(core: Core, slot: number, entry: number): number {
  if (entry === NONE) return NONE;
  const port = connections.decision(entry, OUT_PORT);
  // It may be the row of other tables, or another flow's.
  if (port < 0 || port >= core.tables.ports.count) return NONE;
  return core.tables.ports.location(port) === LOCATED_HERE ? touchZone(core, slot, port) : NONE;
}

function touchZone(core: Core, slot: number, port: number): number {
  if ((packet.flags(slot) & packet.FLAG_TRACKED) === 0 || port < 0) return NONE;
  const { ports, datapaths } = core.tables;
  const vni = datapaths.key(ports.datapath(port));
  const version = packet.etherType(slot) === ethernet.ETHERTYPE_IPV4 ? 4 : 6;
  const vniProtocol = (vni << 8) | packet.protocol(slot);
  return touchIndex(packet.flowHash(slot), vniProtocol, (ports.key(port) << 8) | version);
}
