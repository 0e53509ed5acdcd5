/** Routers from the desired state to routes of the tables. Part of `compile`, and pure like it. */
import type { Router } from "@rhone/state/schema";
import type { State } from "@rhone/state/state";
import type { Route } from "@rhone/tables/routes";
import { isIpv4, networkOf, parsePrefix, prefixContains } from "@rhone/wire/address";
import { addressOf } from "./compile-address.ts";
import { compiled } from "./compile-error.ts";
import type { NamedPort } from "./compile-ports.ts";

/** By datapath row; switches have none. `ports` are those of routers at least. */
export function compileRoutes(
  state: State,
  ports: readonly NamedPort[],
  datapaths: ReadonlyMap<string, number>,
): Route[][] {
  const routes: Route[][] = [...datapaths].map(() => []);
  for (const [row, { router, prefixes }] of ports.entries()) {
    if (router < 0) continue;
    for (const { address, length } of prefixes) {
      const prefix = networkOf(address, length);
      routes[router]!.push({ prefix, length, outPort: row, nextHop: null });
    }
  }
  for (const { name, value } of state.routers) {
    const own = routes[datapaths.get(`router/${name}`)!]!;
    own.push(...compiled("router", name, () => fixedRoutes(value, [...own])));
  }
  return routes;
}

function fixedRoutes(router: Router, connected: readonly Route[]): Route[] {
  return router.routes.flatMap((route) => {
    const nextHop = addressOf(route.nextHop);
    const prefix = parsePrefix(route.prefix)!;
    const via = connected.find(
      (c) =>
        isIpv4(c.prefix) === isIpv4(nextHop) &&
        prefixContains({ address: c.prefix, length: c.length }, nextHop),
    );
    if (via === undefined) return []; // A peer's merge can leave a route without its network.
    const network = networkOf(prefix.address, prefix.length);
    return [{ prefix: network, length: prefix.length, outPort: via.outPort, nextHop }];
  });
}
