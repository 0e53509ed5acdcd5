/** Why a member of a gateway does not forward, as one sentence for its users. */
import { EQUAL_WAIT_MS, PRIORITY_WAIT_MS } from "@rhone/gossip/gateway";
import type { Turn } from "@rhone/gossip/gateways";
import { compareCandidates } from "@rhone/gossip/group";
import type { Gateway, GatewayMember } from "@rhone/state/gateway";

/** "" when it forwards. It says nothing that changes by itself: each text is a write. */
export function turnText(turn: Turn, gateway: Gateway, chassis: string): string {
  switch (turn.reason) {
    case "active":
    case "witness":
      return "";
    case "drained":
      return "drained: forwards only while no other member can";
    case "device":
      return "a device of the gateway's ports is down here";
    case "alone":
      return "does not hear a majority of the gateway's members and witnesses";
    case "refused":
      return "asked the others in vain, and lets another member try";
    case "waits":
      return waitText(turn.active, gateway, chassis);
  }
}

function waitText(active: string | undefined, { name, members }: Gateway, chassis: string): string {
  const own = members.find((member) => member.chassis === chassis);
  const other = members.find((member) => member.chassis === active);
  if (own === undefined || other === undefined) return "waits until it is clear that nobody does";
  const by = other.chassis;
  if (compareCandidates(name, candidate(own), candidate(other)) > 0) return `stands by for ${by}`;
  if (other.drained === true) return `takes over from ${by}, which is drained`;
  if (own.priority > other.priority) {
    const seconds = PRIORITY_WAIT_MS / 1000;
    return `takes over from ${by}, of lower priority, when it has been ready for ${seconds} s`;
  }
  const seconds = EQUAL_WAIT_MS / 1000;
  return `takes over from ${by}, of equal priority, when it has been ready for ${seconds} s`;
}

function candidate({ chassis, priority, drained }: GatewayMember) {
  return { chassis, priority, isDrained: drained === true };
}
