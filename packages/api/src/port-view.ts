/** What the API says of a port beside its document: who has it, and who else says so. */
import { type Claim, claimAt, claimsOf, holderOf } from "@rhone/state/claim";
import { wallMsOf } from "@rhone/state/clock";
import type { Port } from "@rhone/state/schema";
import type { State } from "@rhone/state/state";
import type { PortStatusView } from "./context.ts";

type ClaimView = PortStatusView["claims"][number];

export function portStatusOf(state: State, port: Port): PortStatusView {
  const claims = claimsOf(state, port.name);
  const holder = holderOf(port, claims);
  const views = claims
    .map((claim) => claimViewOf(claim, holder))
    .sort((a, b) => Number(b.role === "holder") - Number(a.role === "holder"));
  const own = holder === undefined ? undefined : claimAt(claims, holder)?.value;
  if (own === undefined) {
    return { up: false, chassis: null, detail: "no chassis has the port", claims: views };
  }
  const { up, chassis, detail = "" } = own;
  return { up, chassis, detail: detail === "" ? remarkOn(views) : detail, claims: views };
}

function claimViewOf({ value, created }: Claim, holder: string | undefined): ClaimView {
  const { chassis, epoch, up, standby, detail = "" } = value;
  const role = chassis === holder ? "holder" : standby === true ? "standby" : "contender";
  const since = new Date(wallMsOf(created.clock)).toISOString();
  return { chassis, role, epoch, up, since, detail };
}

/** One sentence about who else claims the port, "" when nobody does. */
function remarkOn(claims: readonly ClaimView[]): string {
  const contenders = claims.filter(({ role }) => role === "contender");
  const said = contenders.map(({ chassis, since }) => `chassis ${chassis} since ${since}`);
  return said.length === 0 ? "" : `also claimed, in vain, by ${said.join(", ")}`;
}
