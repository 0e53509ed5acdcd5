/**
 * Stage 0, port security: admits frames from devices.
 *
 * Finds the logical port of the device, checks every header, and drops what the workload has no
 * right to send: foreign source MAC or IP addresses, ARP and neighbour discovery that claim them.
 * The rules are those of OVN's `port_security`: an entry with IP addresses limits IP, ARP and ND;
 * with IPv4 addresses only, IPv6 is blocked, and the other way round; DHCP requests and the
 * unspecified IPv6 source (duplicate address detection, RFC 4862 §5.4) pass.
 */
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import { IPV4_MAPPED, type Ports } from "@rhone/tables/ports";
import * as arp from "@rhone/wire/arp";
import * as ethernet from "@rhone/wire/ethernet";
import * as icmpv6 from "@rhone/wire/icmpv6";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import * as nd from "@rhone/wire/nd";
import * as udp from "@rhone/wire/udp";
import type { Batch, Core } from "./core.ts";
import { GOES_ON, parse } from "./parse.ts";
import { noteAwakening } from "./standby.ts";

const DHCP_SERVER_PORT = 67;
const BROADCAST_IPV4 = -1; // 255.255.255.255

const view = poolViews().view;

export function portSecurity(core: Core, batch: Batch): void {
  const { slots } = batch;
  let kept = 0;
  for (let i = 0; i < batch.count; i++) {
    const slot = slots[i]!;
    const reason = admit(core, slot);
    if (reason === GOES_ON) slots[kept++] = slot;
    else core.drop(slot, reason);
  }
  batch.count = kept;
}

function admit(core: Core, slot: number): number {
  const { ports, portByDevice } = core.tables;
  core.key[0] = packet.device(slot);
  const port = portByDevice.find(core.key);
  if (port < 0) return DROP["port-unknown"];
  packet.setInPort(slot, port);
  packet.setEnteredBy(slot, port);
  packet.setDatapath(slot, ports.datapath(port));
  packet.setGeneration(slot, core.tables.generation);
  packet.setOrigin(slot, core.tables.shortId);
  const isParsed = (packet.flags(slot) & packet.FLAG_PARSED) !== 0;
  const reason = isParsed ? GOES_ON : parse(slot);
  if (reason !== GOES_ON) return reason;
  const at = packet.frameAt(slot);
  if (ethernet.etherType(view, at) !== packet.etherType(slot)) return DROP["vlan-unexpected"];
  const verdict = ports.isSecured(port) ? checkSource(ports, port, slot, at) : GOES_ON;
  if (verdict !== GOES_ON || !ports.isStandby(port)) return verdict;
  noteAwakening(core, slot, port);
  return DROP["port-standby"];
}

/** Whether the packet, whose headers have been found, has a source that its port may have. */
export function hasOwnSource(core: Core, slot: number, port: number): boolean {
  const { ports } = core.tables;
  return !ports.isSecured(port) || checkSource(ports, port, slot, packet.frameAt(slot)) === GOES_ON;
}

function checkSource(ports: Ports, port: number, slot: number, at: number): number {
  const high = ethernet.sourceHigh(view, at);
  const low = ethernet.sourceLow(view, at);
  if (high !== ports.macHigh(port) || low !== ports.macLow(port)) return DROP["port-security-mac"];
  const l3At = packet.l3At(slot);
  switch (packet.etherType(slot)) {
    case ethernet.ETHERTYPE_ARP:
      return checkArp(ports, port, l3At);
    case ethernet.ETHERTYPE_IPV4:
      return checkIpv4(ports, port, slot, l3At);
    case ethernet.ETHERTYPE_IPV6:
      return checkIpv6(ports, port, slot, l3At);
    default:
      return GOES_ON;
  }
}

function checkArp(ports: Ports, port: number, at: number): number {
  const isOwnMac =
    arp.senderMacHigh(view, at) === ports.macHigh(port) &&
    arp.senderMacLow(view, at) === ports.macLow(port);
  if (!isOwnMac) return DROP["port-security-arp"];
  const sender = arp.senderIp(view, at);
  // A probe (RFC 5227 §2.1.1) has no sender address yet.
  if (ports.addressCount(port) === 0 || sender === 0) return GOES_ON;
  return ports.hasAddress(port, 0, 0, IPV4_MAPPED, sender) ? GOES_ON : DROP["port-security-arp"];
}

function checkIpv4(ports: Ports, port: number, slot: number, at: number): number {
  if (ports.addressCount(port) === 0) return GOES_ON;
  const source = ipv4.source(view, at);
  if (ports.hasAddress(port, 0, 0, IPV4_MAPPED, source)) return GOES_ON;
  const l4At = packet.l4At(slot);
  const isDhcp =
    source === 0 &&
    ipv4.destination(view, at) === BROADCAST_IPV4 &&
    packet.protocol(slot) === ipv4.PROTOCOL_UDP &&
    l4At !== 0 &&
    udp.destinationPort(view, l4At) === DHCP_SERVER_PORT;
  return isDhcp ? GOES_ON : DROP["port-security-ip"];
}

function checkIpv6(ports: Ports, port: number, slot: number, at: number): number {
  if (ports.addressCount(port) === 0) return GOES_ON;
  const w0 = ipv6.sourceWord(view, at, 0);
  const w1 = ipv6.sourceWord(view, at, 1);
  const w2 = ipv6.sourceWord(view, at, 2);
  const w3 = ipv6.sourceWord(view, at, 3);
  const isIcmp = packet.protocol(slot) === ipv4.PROTOCOL_ICMPV6 && packet.l4At(slot) !== 0;
  const isUnspecified = (w0 | w1 | w2 | w3) === 0;
  const isAllowed = isUnspecified
    ? isIcmp && ports.firstIpv6(port) >= 0
    : ports.hasAddress(port, w0, w1, w2, w3);
  if (!isAllowed) return DROP["port-security-ip"];
  return isIcmp ? checkNd(ports, port, slot, packet.l4At(slot)) : GOES_ON;
}

/**
 * A solicitation's source link-layer address, and an advertisement's target, must be the port's.
 */
function checkNd(ports: Ports, port: number, slot: number, at: number): number {
  const type = icmpv6.type(view, at);
  const isSolicitation = type === nd.NEIGHBOR_SOLICITATION || type === nd.ROUTER_SOLICITATION;
  if (!isSolicitation && type !== nd.NEIGHBOR_ADVERTISEMENT) return GOES_ON;
  const end = packet.l3At(slot) + ipv6.HEADER_SIZE + ipv6.payloadLength(view, packet.l3At(slot));
  if (!nd.isValid(view, at, end)) return DROP["malformed-transport"];
  if (type === nd.NEIGHBOR_ADVERTISEMENT && !isOwnTarget(ports, port, at)) {
    return DROP["port-security-nd"];
  }
  const wanted = isSolicitation ? nd.OPTION_SOURCE_LINK_LAYER : nd.OPTION_TARGET_LINK_LAYER;
  const option = nd.findOption(view, at, end, wanted);
  if (option < 0) return DROP["malformed-transport"];
  if (option === 0) return GOES_ON;
  const isOwnMac =
    nd.optionMacHigh(view, option) === ports.macHigh(port) &&
    nd.optionMacLow(view, option) === ports.macLow(port);
  return isOwnMac ? GOES_ON : DROP["port-security-nd"];
}

function isOwnTarget(ports: Ports, port: number, at: number): boolean {
  return ports.hasAddress(
    port,
    nd.targetWord(view, at, 0),
    nd.targetWord(view, at, 1),
    nd.targetWord(view, at, 2),
    nd.targetWord(view, at, 3),
  );
}
