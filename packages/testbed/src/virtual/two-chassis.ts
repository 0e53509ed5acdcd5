/** A small network for tests of stamps: p0 and p2 at chassis c0, p1 and p3 at c1, in one switch. */

import { IPV4, UDP } from "../golden/headers.ts";
import { GoldenNetwork } from "../golden/network.ts";
import * as frames from "./frames.ts";
import { buildNetwork, type NetworkSpec, type PortSpec } from "./network-spec.ts";
import { VirtualCluster } from "./virtual-cluster.ts";
import type { Datagram } from "./virtual-underlay.ts";

const PORT: PortSpec = {
  ...{ switch: 0, hasV4: true, hasV6: true, isSecured: true, place: "bound" },
  ...{ chassis: 0, worker: 0 },
};

export const NETWORK: NetworkSpec = {
  ...{ switches: 1, workers: [2, 2, 1], routers: [], rules: [] },
  ports: [0, 1, 0, 1].map((chassis, worker) => ({ ...PORT, chassis, worker })),
};

export function makeCluster(seed: number, hasNoKey = false, built = buildNetwork(NETWORK)) {
  const { state, workers, devices } = built;
  const cluster = new VirtualCluster(state, { seed, tunnelMtu: 1418, workers, devices, hasNoKey });
  const network = new GoldenNetwork(state, new Set(devices.keys()));
  return { cluster, network, built };
}

/** A UDP frame between two ports of the switch. */
export function udpBetween(network: GoldenNetwork, from: string, to: string, text: string): Buffer {
  const [sender, receiver] = [network.port(from), network.port(to)];
  const [source, destination] = [sender.addresses[0]!, receiver.addresses[0]!];
  const ends = { source, destination, sourcePort: 4000, destinationPort: 9 };
  const fields = {
    ...{ source, destination, ttl: 64, protocol: UDP },
    ...{ dontFragment: true, hasOptions: false, fragment: null },
  };
  const packet = frames.ipPacket(fields, frames.udp(ends, Buffer.from(text)));
  return frames.ethernet(receiver.mac, sender.mac, IPV4, packet);
}

/** What crosses from one chassis to another while `port` sends `frame`. */
export function captureCrossing(cluster: VirtualCluster, port: string, frame: Buffer): Datagram[] {
  const captured: Datagram[] = [];
  cluster.underlay.tap = (datagram) => {
    captured.push(datagram);
    return datagram;
  };
  cluster.receive(port, frame);
  cluster.run();
  cluster.underlay.tap = (datagram) => datagram;
  return captured;
}

export function reasonsOf(cluster: VirtualCluster, chassis: string): Record<string, number> {
  return Object.fromEntries(cluster.counts(chassis).reasons);
}
