/**
 * The keyed tag of the stamp: proof that a chassis of the cluster made it, for this receiver. Run
 * by the workers on both sides of a tunnel.
 *
 * It covers the Geneve header, the resume option and the inner packet's headers to the end of TCP,
 * UDP or what stands in their place; the outer addresses by the key, which each pair of them has
 * for each direction. It does not cover the payload, and within the time of a key the same packet
 * can be sent again (docs/pipeline.md).
 */
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import { RECEIVE_KEYS } from "@rhone/tables/endpoints";
import type { Tables } from "@rhone/tables/generation";
import * as ethernet from "@rhone/wire/ethernet";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import * as resume from "@rhone/wire/resume";
import * as tcp from "@rhone/wire/tcp";
import * as vlan from "@rhone/wire/vlan";
import * as sipHash from "./siphash.ts";

/** Bytes that are covered behind an IP header in front of something else than TCP. */
const OTHER_TRANSPORT_SIZE = 8;

const view = poolViews().view;

/**
 * Writes the tag for an endpoint into the stamp that the packet starts with. Of a packet whose
 * payload lies elsewhere only the headers are read.
 */
export function writeTag(tables: Tables, slot: number, endpoint: number): void {
  const { endpoints } = tables;
  if (!endpoints.hasKeys(endpoint)) return;
  const at = packet.frameAt(slot);
  const size = coveredSize(at, at + packet.length(slot));
  const k0 = endpoints.sendKey(endpoint, 0);
  const k1 = endpoints.sendKey(endpoint, 1);
  const k2 = endpoints.sendKey(endpoint, 2);
  const k3 = endpoints.sendKey(endpoint, 3);
  sipHash.write(at, size, k0, k1, k2, k3);
}

/**
 * Whether the packet in `[at, end)` of the pool, which starts with its stamp, has the tag of the
 * endpoint that it came from.
 */
export function hasTag(tables: Tables, at: number, end: number, endpoint: number): boolean {
  const { endpoints } = tables;
  if (!endpoints.hasKeys(endpoint)) return true;
  if (end - at < resume.HEADER_SIZE) return false;
  const size = coveredSize(at, end);
  // The key of now is the first; of the others the sender's clock may be ahead or behind.
  for (let i = 0; i < RECEIVE_KEYS; i++) {
    const k0 = endpoints.receiveKey(endpoint, i, 0);
    const k1 = endpoints.receiveKey(endpoint, i, 1);
    const k2 = endpoints.receiveKey(endpoint, i, 2);
    const k3 = endpoints.receiveKey(endpoint, i, 3);
    if (sipHash.check(at, size, k0, k1, k2, k3) === 1) return true;
  }
  return false;
}

/** Bytes from the Geneve header to the end of the inner transport header, as far as there are. */
function coveredSize(at: number, end: number): number {
  const frameAt = at + resume.HEADER_SIZE;
  const headersEnd = frameAt + ethernet.HEADER_SIZE;
  if (headersEnd > end) return end - at;
  let etherType = ethernet.etherType(view, frameAt);
  let l3At = headersEnd;
  if (etherType === ethernet.ETHERTYPE_VLAN && l3At + vlan.SIZE <= end) {
    etherType = vlan.etherType(view, l3At);
    l3At += vlan.SIZE;
  }
  let l4At = l3At;
  let protocol = -1;
  if (etherType === ethernet.ETHERTYPE_IPV4 && l3At + ipv4.HEADER_SIZE <= end) {
    l4At = l3At + ipv4.headerSize(view, l3At);
    protocol = ipv4.protocol(view, l3At);
  } else if (etherType === ethernet.ETHERTYPE_IPV6 && l3At + ipv6.HEADER_SIZE <= end) {
    const found = ipv6.findTransport(view, l3At, end);
    l4At = found > 0 ? found : l3At + ipv6.HEADER_SIZE;
    if (found > 0) protocol = ipv6.transportProtocol(view, l3At, end);
  }
  const isTcp = protocol === ipv4.PROTOCOL_TCP && l4At + tcp.HEADER_SIZE <= end;
  const size = isTcp ? tcp.headerSize(view, l4At) : OTHER_TRANSPORT_SIZE;
  return Math.min(l4At + size, end) - at;
}
