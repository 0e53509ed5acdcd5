/**
 * Why a packet was dropped: one list for the whole product. A number is an index here; append only,
 * so that a counter keeps its meaning over an upgrade. Each has a sentence for the operator.
 */
const REASONS = [
  [
    "malformed-ethernet",
    "The frame is shorter than its Ethernet header or VLAN tags, or its source is a group's.",
  ],
  ["malformed-arp", "The ARP packet is cut off or is not for IPv4 over Ethernet."],
  ["malformed-ipv4", "The IPv4 header is cut off, has a wrong version, length or checksum."],
  [
    "malformed-ipv6",
    "The IPv6 header or its extensions are cut off, or an address is an IPv4 one in disguise.",
  ],
  ["malformed-transport", "The TCP, UDP or ICMP header is cut off."],
  [
    "port-unknown",
    "The device that the frame came in by belongs to no logical port in this generation.",
  ],
  ["port-security-mac", "The source MAC address is not the one of the logical port."],
  ["port-security-ip", "The source IP address is not one of the logical port's."],
  ["port-security-arp", "The ARP sender addresses are not those of the logical port."],
  ["port-security-nd", "The neighbour discovery addresses are not those of the logical port."],
  [
    "port-security-egress",
    "The destination address is not one of the logical port that the packet would leave by.",
  ],
  ["vlan-unexpected", "The frame carries a VLAN tag, and the logical port has none."],
  ["destination-unknown", "No logical port of the switch has the destination MAC address."],
  ["destination-unbound", "The destination's logical port is not attached to any chassis."],
  ["destination-is-source", "The packet would leave by the port that it came in by."],
  [
    "router-not-addressed",
    "The frame reached a router port, but its destination MAC is not the router's.",
  ],
  [
    "router-own-address",
    "The packet is for an address of the router itself, which has no such service.",
  ],
  [
    "router-source-invalid",
    "The source IP address is a broadcast, multicast, loopback, router-owned or link-local one.",
  ],
  ["router-multicast", "The router does not forward multicast."],
  ["no-route", "The router has no route to the destination."],
  [
    "next-hop-unknown",
    "The next hop has an address in a connected network, but no known MAC address.",
  ],
  ["ttl-exceeded", "The TTL or hop limit ended at a router."],
  ["router-loop", "The packet passed more routers in one go than are allowed."],
  ["too-big", "The packet is larger than the path to its destination carries."],
  [
    "reply-rate-limited",
    "An answer of the router (ICMP error, echo, ARP, ND) was withheld by its rate limit.",
  ],
  ["pool-exhausted", "No free packet slot was left."],
  ["batch-full", "More copies of packets were asked for than a batch holds."],
  ["ring-full", "The ring to another worker was full."],
  ["device-full", "The device did not take the frame: its queue is full."],
  ["device-down", "The device is gone or down."],
  ["device-refused", "The kernel refused the frame."],
  ["frame-too-long", "The frame does not fit into a packet slot or was truncated."],
  ["segmentation-failed", "The super-frame could not be cut: its headers contradict its length."],
  ["tunnel-source-unknown", "The outer source address is no known tunnel endpoint."],
  ["tunnel-malformed", "The Geneve header or its options are cut off or contradict each other."],
  ["tunnel-version", "The Geneve version is unknown."],
  ["tunnel-protocol", "The Geneve payload is not Ethernet."],
  ["tunnel-control", "A Geneve control packet: it is never forwarded."],
  ["tunnel-no-stamp", "The Geneve packet carries no resume option."],
  ["tunnel-unknown-critical", "The Geneve packet carries a critical option that is unknown here."],
  ["stamp-malformed", "The resume option has a wrong length."],
  ["stamp-hand-offs", "The packet used up its hand-offs: a loop."],
  ["stamp-stage", "The resume option names a stage that must not be resumed."],
  [
    "stamp-generation",
    "The worker next door handed the packet over under tables that this one does not hold.",
  ],
  ["stamp-datapath", "The resume option names a logical datapath that is unknown here."],
  ["stamp-port", "The resume option names a logical port that is unknown here."],
  ["stamp-not-here", "The destination port of the resume option is not on this chassis."],
  ["tunnel-send-failed", "The underlay socket refused the packet."],
  [
    "fragment-orphan",
    "A later fragment came, and its first one, which has the ports, did not come in time.",
  ],
  [
    "connections-full",
    "The flow's part of the connection table is full, and none in it could give way.",
  ],
  ["stamp-tag", "The stamp's tag is not one that the outer source can have made for this chassis."],
  ["acl-drop", "A rule with the action drop decided about the packet."],
  [
    "acl-reject",
    "A rule with the action reject decided about the packet; its sender is told, if it may be.",
  ],
  ["acl-blocked", "The packet answers in a connection that the rules let pass no more."],
  ["device-overrun", "Frames came faster than the worker took them: the kernel had no more room."],
  [
    "hand-over-full",
    "The packet's flow moved to this worker, and too many already wait for the one before it.",
  ],
  ["lb-no-backend", "The packet is for a load balancer's address, behind which no backend stands."],
  [
    "translation-conflict",
    "The packet has the addresses and ports of a flow that a load balancer made of another one.",
  ],
  [
    "tunnel-outer-malformed",
    "The outer IP or UDP header contradicts the frame's length, or has a wrong checksum.",
  ],
  [
    "port-standby",
    "The device's logical port is at another chassis now, or has not been activated here yet.",
  ],
  [
    "knowledge-stale",
    "A connection would begin in a switch that asks for fresher knowledge of the other chassis.",
  ],
  [
    "gateway-fenced",
    "The device is a gateway's, and this chassis has no lease of the gateway, or has it no more.",
  ],
] as const;

export type DropReasonName = (typeof REASONS)[number][0];

/** Every reason's number by its name: `DROP["no-route"]`. */
export const DROP = Object.fromEntries(REASONS.map(([name], number) => [name, number])) as {
  readonly [name in DropReasonName]: number;
};

export const DROP_REASON_COUNT = REASONS.length;

export function dropReasonName(reason: number): DropReasonName {
  return reasonAt(reason)[0];
}

/** One sentence for the operator. */
export function dropReasonText(reason: number): string {
  return reasonAt(reason)[1];
}

function reasonAt(reason: number): (typeof REASONS)[number] {
  const entry = REASONS[reason];
  if (entry === undefined) {
    throw new RangeError(`expected a drop reason from 0 to ${REASONS.length - 1}, got ${reason}`);
  }
  return entry;
}
