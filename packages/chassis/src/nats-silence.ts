/** Lays anew the route to each chassis that falls silent over NATS. Runs on the control thread. */
import { NatsSilence } from "@rhone/gossip/nats-silence";
import { setRealTimer } from "@rhone/gossip/transport";
import type { DependencyContainer } from "tsyringe";
import * as tokens from "./tokens.ts";

export function makeNatsSilence(parts: DependencyContainer): NatsSilence {
  const paths = parts.resolve(tokens.PATHS);
  const transport = parts.resolve(tokens.TRANSPORT);
  const replicator = parts.resolve(tokens.REPLICATOR);
  const addresses = parts.resolve(tokens.PEER_ADDRESSES);
  const placement = parts.resolve(tokens.NATS_PLACEMENT);
  const server = parts.resolve(tokens.NATS_SERVER);
  const log = parts.resolve(tokens.LOG);
  /** Those whose messages came over NATS of late; without links there is nothing but NATS. */
  const heard = (): Set<string> => {
    const ways = paths?.paths.filter(({ isHeard }) => isHeard);
    const peers = ways ?? replicator.peers().filter(({ isConnected }) => isConnected);
    return new Set(peers.map(({ name }) => name));
  };
  return new NatsSilence({
    look: () => {
      if (!(paths?.isNatsConnected ?? transport.isConnected)) return null;
      const { place } = placement;
      if (place.role === "leaf") return []; // It asks its hub whether it is there.
      const routes = new Set(place.routes.map(({ address }) => address));
      const names = heard();
      return addresses
        .servers()
        .filter(({ route }) => routes.has(route.address))
        .map(({ name, route }) => ({ name, route, isHeard: names.has(name) }));
    },
    renew: (routes) => {
      log.info({ routes }, "silent over NATS: the route is laid anew");
      server.renew(routes);
    },
    setTimer: setRealTimer,
  });
}
