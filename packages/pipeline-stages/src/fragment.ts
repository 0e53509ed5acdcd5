/**
 * Fragments (RFC 791 §3.2, RFC 8200 §4.5) are not put together: the first one tells the ports, and
 * the later ones are treated as if they carried them; those that come before it wait for it a
 * moment. Run by the worker that owns the flow of the fragments, which is known without ports.
 */
import { bucketOf } from "@rhone/rings/buckets";
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import * as ethernet from "@rhone/wire/ethernet";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import type { Core } from "./core.ts";
import { flowHash, sumOfAddresses } from "./flow-hash.ts";
import { GOES_ON } from "./parse.ts";

const view = poolViews().view;

/** GOES_ON with the fragment's ports and the hash of its flow set, or the reason to drop for. */
export function resolveFragment(core: Core, slot: number): number {
  const flags = packet.flags(slot);
  const wanted = packet.FLAG_FRAGMENT | packet.FLAG_TRACKED;
  if ((flags & (wanted | packet.FLAG_FRAGMENT_RESOLVED)) !== wanted) return GOES_ON;
  loadKey(core, slot);
  const { fragments } = core;
  if (packet.l4At(slot) !== 0) fragments.remember(packet.ports(slot), core.nowMs);
  else if (!fragments.recall(core.nowMs)) return DROP["fragment-orphan"];
  else packet.setPorts(slot, fragments.ports);
  const ports = packet.ports(slot);
  const addresses = sumOfAddresses(slot);
  packet.setFlowHash(
    slot,
    flowHash(addresses, packet.protocol(slot), ports >>> 16, ports & 0xffff),
  );
  packet.setFlags(slot, flags | packet.FLAG_FRAGMENT_RESOLVED);
  return GOES_ON;
}

function loadKey(core: Core, slot: number): void {
  const { key } = core.fragments;
  core.fragments.bucket = bucketOf(packet.flowHash(slot));
  const at = packet.l3At(slot);
  const vni = core.tables.datapaths.key(packet.datapath(slot));
  key[0] = (vni << 8) | packet.protocol(slot);
  if (packet.etherType(slot) === ethernet.ETHERTYPE_IPV4) {
    key.fill(0, 2);
    key[1] = ipv4.identification(view, at);
    key[5] = ipv4.source(view, at);
    key[9] = ipv4.destination(view, at);
    return;
  }
  key[1] = ipv6.fragmentIdentification(
    view,
    at,
    at + ipv6.HEADER_SIZE + ipv6.payloadLength(view, at),
  );
  for (let i = 0; i < 4; i++) {
    key[2 + i] = ipv6.sourceWord(view, at, i);
    key[6 + i] = ipv6.destinationWord(view, at, i);
  }
}
