/**
 * Has the connections brought near that a batch's packets are about to look up, when there are so
 * many that they are far. Nothing is decided here. Run by each worker in the fast path.
 */
import * as packet from "@rhone/rings/packet";
import * as near from "@rhone/tables/near-connections";
import { LOCATED_HERE } from "@rhone/tables/ports";
import * as ethernet from "@rhone/wire/ethernet";
import * as ipv4 from "@rhone/wire/ipv4";
import { BATCH_MAX, type Core } from "./core.ts";
import * as decision from "./flow-decision.ts";

/** Words to an entry's second cache line, of which the first packets of UDP need nothing. */
const SECOND_LINE = 16;

const slotsFetched = new Int32Array(BATCH_MAX);
const placesFetched = new Int32Array(BATCH_MAX);
/** First lines of entries, then second ones. */
const entriesFetched = new Int32Array(BATCH_MAX * 2);

/** Of packets that have been admitted: for the ports that they entered by and will leave by. */
export function fetchForEntering(core: Core, slots: Int32Array, count: number): void {
  const fetched = findPlaces(core, slots, count, false);
  fetchEntries(fetched);
  const { ports } = core.tables;
  let leaving = 0;
  for (let i = 0; i < fetched; i++) {
    const outPort = near.decisionAt(entriesFetched[i]!, decision.OUT_PORT);
    // The entry may be another flow's, or of other tables.
    if (outPort < 0 || outPort >= ports.count || ports.location(outPort) !== LOCATED_HERE) continue;
    const slot = slotsFetched[i]!;
    slotsFetched[leaving] = slot;
    placesFetched[leaving++] = placeOf(core, slot, outPort);
  }
  fetchEntries(leaving);
}

/** Of packets that came from another chassis: for the ports that they will leave by. */
export function fetchForLeaving(core: Core, slots: Int32Array, count: number): void {
  fetchEntries(findPlaces(core, slots, count, true));
}

/** Finds where to look the packets up in the zones of their ports; returns how many it found. */
function findPlaces(core: Core, slots: Int32Array, count: number, isLeaving: boolean): number {
  let found = 0;
  for (let i = 0; i < count; i++) {
    const slot = slots[i]!;
    const port = isLeaving ? packet.outPort(slot) : packet.inPort(slot);
    if (!isFlow(slot, port)) continue;
    slotsFetched[found] = slot;
    placesFetched[found++] = placeOf(core, slot, port);
  }
  return found;
}

/** Whether the packet may have a connection in the zone of the port, if there is one. */
function isFlow(slot: number, port: number): boolean {
  return port >= 0 && (packet.flags(slot) & packet.FLAG_TRACKED) !== 0;
}

function placeOf(core: Core, slot: number, port: number): number {
  const { ports, datapaths } = core.tables;
  const vni = datapaths.key(ports.datapath(port));
  const version = packet.etherType(slot) === ethernet.ETHERTYPE_IPV4 ? 4 : 6;
  return near.placeOf(
    packet.flowHash(slot),
    (vni << 8) | packet.protocol(slot),
    (ports.key(port) << 8) | version,
  );
}

/** Goes from the first `count` places to the entries that they name. */
function fetchEntries(count: number): void {
  near.fetch(placesFetched, count);
  let lines = count;
  for (let i = 0; i < count; i++) {
    const entry = near.entryAt(placesFetched[i]!);
    entriesFetched[i] = entry;
    const isUdp = packet.protocol(slotsFetched[i]!) === ipv4.PROTOCOL_UDP;
    if (!isUdp) entriesFetched[lines++] = entry + SECOND_LINE;
  }
  near.fetch(entriesFetched, lines);
}
