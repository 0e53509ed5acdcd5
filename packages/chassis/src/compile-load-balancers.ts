/**
 * Load balancers from the desired state to rows of the tables. Part of `compile`, and pure like it.
 */
import { type LoadBalancer, serviceOf } from "@rhone/state/load-balancer";
import type { LiveEntry } from "@rhone/state/record";
import { defaultMac } from "@rhone/state/schema";
import type { State } from "@rhone/state/state";
import type { VipRow } from "@rhone/tables/load-balancers";
import { KIND_LOAD_BALANCER, LOCATED_NOWHERE, type PortRow } from "@rhone/tables/ports";
import { parseMac } from "@rhone/wire/address";
import { addressOf } from "./compile-address.ts";
import { compiled } from "./compile-error.ts";

/** A load balancer's port in each switch that it serves: it has the addresses and a MAC address. */
export function loadBalancerPort({
  name,
  value,
}: LiveEntry<LoadBalancer>): Omit<PortRow, "datapath" | "key"> {
  const mac = parseMac(defaultMac(`load-balancer/${name}`))!;
  return {
    kind: KIND_LOAD_BALANCER,
    location: LOCATED_NOWHERE,
    device: -1,
    macHigh: mac.high,
    macLow: mac.low,
    isSecured: false,
    addresses: [...new Set(value.vips.map(({ address }) => address))].map(addressOf),
    router: -1,
    ...{ isUp: true, standby: 0 },
  };
}

/** One row for each VIP in each switch; `datapathOf` has a switch's row. */
export function compileLoadBalancers(
  state: State,
  datapathOf: (switchName: string) => number | undefined,
): VipRow[] {
  return state.loadBalancers.flatMap(({ name, value }) =>
    compiled("load-balancer", name, () =>
      value.switches.flatMap((switchName) => vipsIn(value, datapathOf(switchName))),
    ),
  );
}

function vipsIn(value: LoadBalancer, datapath: number | undefined): VipRow[] {
  if (datapath === undefined) return []; // A peer's merge can leave one without its switch.
  const rejects = value.withoutBackends === "reject";
  return value.vips.map((vip) => {
    const { protocol, port: servicePort } = serviceOf(vip);
    const backends = vip.backends.map((backend) => ({
      address: addressOf(backend.address),
      port: backend.port ?? 0,
    }));
    const address = addressOf(vip.address);
    return { datapath, address, protocol, servicePort, backends, rejects };
  });
}
