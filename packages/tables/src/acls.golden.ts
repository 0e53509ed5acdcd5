/**
 * The plain twin of `Acls`: every rule in turn, addresses bit by bit. For tests; what it says is
 * right.
 */
import type { AclEnd, AclRule, Direction, PortRange } from "./acls.ts";
import type { AddressWords } from "./ports.ts";

export interface AclPacket {
  readonly source: AddressWords;
  readonly destination: AddressWords;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

const IPV4_BITS = "0".repeat(80) + "1".repeat(16);

/** Number of the first rule in `rules` that decides about the packet at a port, or -1. */
export function findRule(
  rules: readonly AclRule[],
  direction: Direction,
  datapath: number,
  port: number,
  packet: AclPacket,
): number {
  return rules.findIndex(
    (rule) =>
      rule.direction === direction &&
      (rule.port < 0 ? rule.datapath === datapath : rule.port === port) &&
      (rule.protocol === -1 || rule.protocol === packet.protocol) &&
      isIn(rule.source, packet.source) &&
      isIn(rule.destination, packet.destination) &&
      isWithin(rule.sourcePorts, packet.sourcePort) &&
      isWithin(rule.destinationPorts, packet.destinationPort),
  );
}

/** A prefix of IPv6 contains no IPv4 address, however short it is. */
function isIn(prefix: AclEnd, address: AddressWords): boolean {
  if (prefix === null) return true;
  if ("addresses" in prefix) {
    return prefix.addresses.some((one) => bitsOf(one) === bitsOf(address));
  }
  const wanted = bitsOf(prefix.address).slice(0, prefix.length);
  const isSameFamily = wanted.startsWith(IPV4_BITS) === bitsOf(address).startsWith(IPV4_BITS);
  return isSameFamily && bitsOf(address).startsWith(wanted);
}

function isWithin({ first, last }: PortRange, port: number): boolean {
  return port >= first && port <= last;
}

function bitsOf(words: AddressWords): string {
  return words.map((word) => (word >>> 0).toString(2).padStart(32, "0")).join("");
}
