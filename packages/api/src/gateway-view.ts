/** What the API says of a gateway beside its document: who forwards, and why the others do not. */
import { type Claim, claimAt, claimsOf, holderOf } from "@rhone/state/claim";
import { wallMsOf } from "@rhone/state/clock";
import { type Gateway, portsOf, warningOf } from "@rhone/state/gateway";
import type { State } from "@rhone/state/state";
import type { ApiContext, GatewayStatusView } from "./context.ts";

type MemberView = GatewayStatusView["members"][number];

/** Beside the claims, who lives is as the chassis that answers sees it. */
export function gatewayStatusOf(
  state: State,
  gateway: Gateway,
  context: Pick<ApiContext, "cluster">,
): GatewayStatusView {
  const statuses = new Map(context.cluster().members.map(({ name, status }) => [name, status]));
  const ports = portsOf(state, gateway.name);
  const claims = ports.map(({ name }) => claimsOf(state, name));
  const holder = ports.flatMap((port, i) => holderOf(port, claims[i]!) ?? [])[0];
  const active = holder !== undefined && statuses.get(holder) !== "dead" ? holder : undefined;
  const claim = active === undefined ? undefined : firstOf(claims, active);
  return {
    active: active ?? null,
    epoch: Math.max(0, ...claims.flat().map(({ value }) => value.epoch)),
    since: claim === undefined ? null : new Date(wallMsOf(claim.version.clock)).toISOString(),
    warning: warningOf(gateway) ?? "",
    ports: ports.map(({ name }) => name),
    members: gateway.members.map(({ chassis }) => {
      return viewOf(chassis, active, claims, statuses.get(chassis));
    }),
  };
}

/** Of the ports of a gateway, the claim of the first one that the chassis says something of. */
function firstOf(claims: readonly (readonly Claim[])[], chassis: string): Claim | undefined {
  return claims.flatMap((ofPort) => claimAt(ofPort, chassis) ?? [])[0];
}

function viewOf(
  chassis: string,
  active: string | undefined,
  claims: readonly (readonly Claim[])[],
  status: string | undefined,
): MemberView {
  if (chassis === active) return { chassis, role: "active", detail: "" };
  if (status === "dead") return { chassis, role: "down", detail: "it is dead" };
  if (claims.length === 0) return { chassis, role: "standby", detail: "no port names the gateway" };
  const down = claims.flatMap((ofPort) => claimAt(ofPort, chassis) ?? []).find(isDown)?.value;
  if (down !== undefined) {
    return { chassis, role: "down", detail: `port ${down.port}: ${down.detail ?? "no device"}` };
  }
  const claim = firstOf(claims, chassis)?.value;
  if (claim === undefined) {
    return { chassis, role: "down", detail: "it has said nothing of the gateway's ports" };
  }
  return { chassis, role: "standby", detail: claim.detail ?? "" };
}

function isDown({ value }: Claim): boolean {
  return !value.up;
}
