/**
 * The hash of a flow: the same for both directions. Its top eight bits are the flow's bucket, its
 * low ones choose the outer source port; the owner of the bucket owns the flow's state. Each
 * chassis has a secret seed of its own, so that nobody can make up flows for one bucket.
 */

import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import { installedConnections } from "@rhone/tables/connection-memory";
import * as ethernet from "@rhone/wire/ethernet";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";

const view = poolViews().view;
const { seed } = installedConnections();

/** `addresses` is the sum of both addresses' mixes; ports as the protocol has them, else 0. */
export function flowHash(
  addresses: number,
  protocol: number,
  source: number,
  destination: number,
): number {
  return mix(mix(addresses ^ protocol ^ seed) ^ (mix(source) + mix(destination)));
}

/** The first argument of `flowHash` for an IP packet whose headers were found. */
export function sumOfAddresses(slot: number): number {
  return sumAt(packet.l3At(slot), packet.etherType(slot) === ethernet.ETHERTYPE_IPV4);
}

/** As `sumOfAddresses`, for the IP header at a byte offset of the pool. */
export function sumAt(at: number, isIpv4: boolean): number {
  if (isIpv4) return mix(ipv4.source(view, at)) + mix(ipv4.destination(view, at));
  let source = 0;
  let destination = 0;
  for (let i = 0; i < 4; i++) {
    source = mix(source ^ ipv6.sourceWord(view, at, i));
    destination = mix(destination ^ ipv6.destinationWord(view, at, i));
  }
  return source + destination;
}

/** As `sumOfAddresses`, of addresses as four words each; an IPv4 address is the last of its. */
export function sumOfWords(
  words: Int32Array,
  lowAt: number,
  highAt: number,
  isIpv4: boolean,
): number {
  if (isIpv4) return mix(words[lowAt + 3]!) + mix(words[highAt + 3]!);
  let low = 0;
  let high = 0;
  for (let i = 0; i < 4; i++) {
    low = mix(low ^ words[lowAt + i]!);
    high = mix(high ^ words[highAt + i]!);
  }
  return low + high;
}

/** The finaliser of MurmurHash3. */
export function mix(value: number): number {
  let hash = value | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) | 0;
}
