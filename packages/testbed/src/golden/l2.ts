/**
 * Stage 6: answers ARP requests and neighbour solicitations for addresses that are known (RFC 826,
 * RFC 4861 §7.2), else finds who has the destination MAC address.
 */
import type { DropReasonName } from "@rhone/rings/drop-reason";
import {
  checksum,
  hexAt,
  type Ip,
  isGroupMac,
  isMappedV4,
  isV4,
  putHex,
  UNSPECIFIED_V6,
  u16,
  u32,
} from "./bytes.ts";
import { headersOf, ICMPV6, type IpHeader } from "./headers.ts";
import type { GoldenNetwork, GoldenPort } from "./network.ts";

const ARP_REQUEST = 1;
const ARP_REPLY = 2;
const NEIGHBOUR_SOLICITATION = 135;
const NEIGHBOUR_ADVERTISEMENT = 136;
/** Anything less came through a router (RFC 4861 §7.1.1). */
const DISCOVERY_HOP_LIMIT = 255;

export type L2Decision =
  | { readonly kind: "to"; readonly port: GoldenPort }
  | { readonly kind: "flood" }
  /** An answer goes back to where the question came from. */
  | { readonly kind: "answer"; readonly bytes: Buffer }
  | { readonly kind: "drop"; readonly reason: DropReasonName };

/** `isTranslated`: it was sent to a load balancer, and is for a backend now. */
export function switchFrame(
  network: GoldenNetwork,
  inPort: GoldenPort,
  bytes: Buffer,
  isTranslated: boolean,
): L2Decision {
  const answer = answerArp(network, inPort, bytes) ?? answerDiscovery(network, inPort, bytes);
  if (answer !== null) return { kind: "answer", bytes: answer };
  const { destination } = headersOf(bytes);
  if (isGroupMac(destination)) return { kind: "flood" };
  const found = network.byMac(inPort.switch, destination);
  const port =
    isTranslated && found?.isBalancer ? wayToBackend(network, inPort, bytes, found) : found;
  if (port === undefined) return { kind: "drop", reason: "destination-unknown" };
  if (port === inPort) return { kind: "drop", reason: "destination-is-source" };
  return { kind: "to", port };
}

/** Who was sent to a load balancer's MAC address goes on to a neighbour, else to a router. */
function wayToBackend(
  network: GoldenNetwork,
  inPort: GoldenPort,
  bytes: Buffer,
  balancer: GoldenPort,
): GoldenPort {
  const { destination } = headersOf(bytes).ip!;
  const neighbour = network.byAddress(inPort.switch, destination);
  const next = neighbour ?? network.gateway(inPort.switch) ?? balancer;
  putHex(bytes, 0, next.mac);
  return next;
}

/** Who has the address, if we may speak for it: somebody else, and not known to be down. */
function ownerOf(network: GoldenNetwork, asker: GoldenPort, ip: Ip): GoldenPort | null {
  const owner = network.byAddress(asker.switch, ip);
  return owner === undefined || owner === asker || !owner.isUp ? null : owner;
}

function answerArp(network: GoldenNetwork, asker: GoldenPort, question: Buffer): Buffer | null {
  const { arp, source, l3At } = headersOf(question);
  if (arp === null || arp.operation !== ARP_REQUEST) return null;
  const owner = ownerOf(network, asker, arp.targetIp);
  if (owner === null) return null;
  const answer = Buffer.from(question);
  putHex(answer, 0, source + owner.mac);
  answer.writeUInt16BE(ARP_REPLY, l3At + 6);
  putHex(answer, l3At + 8, owner.mac + arp.targetIp + arp.senderMac + arp.senderIp);
  return answer;
}

function answerDiscovery(
  network: GoldenNetwork,
  asker: GoldenPort,
  question: Buffer,
): Buffer | null {
  const { ip, source } = headersOf(question);
  if (ip === null || !isSolicitation(question, ip)) return null;
  const target = hexAt(question, ip.transportAt! + 8, 16);
  const owner = ownerOf(network, asker, target);
  if (owner === null) return null;
  const flags = owner.router === null ? 0x60000000 : 0xe0000000; // Router, solicited, override.
  const message = Buffer.concat([
    Buffer.from([NEIGHBOUR_ADVERTISEMENT, 0, 0, 0]),
    u32(flags),
    Buffer.from(target, "hex"),
    Buffer.from([2, 1]), // target link-layer address
    Buffer.from(owner.mac, "hex"),
  ]);
  const ethernet = Buffer.from(`${source + owner.mac}86dd`, "hex");
  return Buffer.concat([ethernet, ipv6Message(target, ip.source, DISCOVERY_HOP_LIMIT, message)]);
}

function isSolicitation(bytes: Buffer, ip: IpHeader): boolean {
  const at = ip.transportAt;
  return (
    !isV4(ip.source) &&
    ip.source !== UNSPECIFIED_V6 && // Duplicate address detection: only the owner answers it.
    ip.protocol === ICMPV6 &&
    at !== null &&
    !ip.isFragment && // RFC 6980 §5
    ip.ttl === DISCOVERY_HOP_LIMIT &&
    bytes[at] === NEIGHBOUR_SOLICITATION &&
    ip.end - at >= 24 &&
    !isMappedV4(hexAt(bytes, at + 8, 16))
  );
}

/** An IPv6 packet with an ICMPv6 message, whose checksum field is still 0 here. */
export function ipv6Message(
  source: Ip,
  destination: Ip,
  hopLimit: number,
  message: Buffer,
): Buffer {
  const addresses = Buffer.from(source + destination, "hex");
  const summed = Buffer.from(message);
  const pseudo = Buffer.concat([addresses, u32(message.length), u32(ICMPV6)]);
  summed.writeUInt16BE(checksum(pseudo, message), 2);
  const start = Buffer.concat([
    Buffer.from([0x60, 0, 0, 0]),
    u16(message.length),
    Buffer.from([ICMPV6, hopLimit]),
  ]);
  return Buffer.concat([start, addresses, summed]);
}
