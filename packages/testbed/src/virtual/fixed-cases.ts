/**
 * Cases that once failed, made small. `npm run fuzz` prints new ones whole; here only what matters
 * is said, the rest is ordinary.
 */
import type { CaseSpec } from "./compare.ts";
import type { NetworkSpec, PortSpec } from "./network-spec.ts";
import type { PacketSpec } from "./packet-spec.ts";

function port(changes: Partial<PortSpec>): PortSpec {
  return {
    ...{ switch: 0, hasV4: true, hasV6: true, isSecured: true, place: "bound" },
    ...{ chassis: 0, worker: 0, ...changes },
  };
}

function packet(changes: Partial<PacketSpec>): PacketSpec {
  return {
    ...{ kind: "udp", from: 0, isV4: true, to: 0, way: 0, spoofs: "nothing", ttl: 64, size: 8 },
    ...{ dontFragment: true, hasOptions: false, fragment: "none", ports: 0, detail: 0 },
    ...{ raw: new Uint8Array(), mutation: null, pauseMs: 0, isAfterChange: false, ...changes },
  };
}

function fixed(network: Partial<NetworkSpec>, packets: readonly Partial<PacketSpec>[]): CaseSpec {
  return {
    network: { switches: 1, workers: [1], routers: [], ports: [], rules: [], ...network },
    packets: packets.map(packet),
    ...{ changes: [], seed: 0, isUnderlayBad: false, cuts: [] },
  };
}

const V6 = { isV4: false, dontFragment: false } as const;
const V6_UNSECURED = port({ hasV4: false, isSecured: false });
const FLAGS_CHANGED = { truncateTo: null, changes: [[67, 77]], tags: 0 } as const;
const REJECT_V6 = {
  ...{ switch: 0, port: null, priority: 0, protocol: null, isV4: false },
  ...{ source: null, destination: null, sourcePorts: null, destinationPorts: null },
  direction: "from-port",
  action: "reject",
} as const;
const LOOP = { isV4: true, destination: 12, link: 0, nextHop: 0 };
const LINK = { switch: 0, family: "both" } as const;

export const FIXED_CASES: Readonly<Record<string, CaseSpec>> = {
  // The flow's decision was taken by packets against it: past port security, to the wrong port.
  "both directions of a flow by one port": fixed(
    { ports: [port({}), port({ isSecured: false })] },
    [{ from: 0 }, { from: 0, kind: "mirror" }, { from: 0, kind: "reply" }, { kind: "mirror" }],
  ),
  "a workload that talks to itself by way of a router": fixed(
    {
      ...{ switches: 2, ports: [port({ isSecured: false }), port({ switch: 1 })] },
      routers: [{ links: [LINK, { ...LINK, switch: 1 }], routes: [] }],
    },
    [{ kind: "udp" }, { kind: "mirror" }, { kind: "reply" }, { kind: "mirror" }, { kind: "again" }],
  ),
  // Six times round between the two, the seventh says that its time is up, the eighth delivers.
  "eight routers, and the ninth hop is the destination": fixed(
    {
      ports: [port({})],
      routers: [
        { links: [LINK], routes: [LOOP] },
        { links: [LINK], routes: [LOOP] },
      ],
    },
    [5, 6, 7, 8, 9].map((ttl) => ({ ttl, to: 42 })),
  ),
  "an echo request from a group's MAC address": fixed(
    { ports: [port({ isSecured: false })], routers: [{ links: [LINK], routes: [] }] },
    [
      { kind: "echo", to: 30 },
      {
        ...{ kind: "echo", to: 30 },
        mutation: { truncateTo: null, changes: [[6, 0x75]], tags: 0 },
      },
    ],
  ),
  // Its answers were forged at the address, so the backend's connection has seen none of them.
  "a segment that fits to the balanced connection and not to the backend's": fixed(
    {
      ports: [port({ isSecured: false }), port({}), port({ hasV4: false }), V6_UNSECURED],
      balancers: [
        {
          ...{ switches: [0], rejects: false },
          vips: [
            {
              ...{ isV4: false, isInside: false, service: "tcp", port: 80 },
              backends: [0, 0].map((backend) => ({ port: backend, isElsewhere: false })),
            },
          ],
        },
      ],
    },
    [
      { ...V6, kind: "tcp", from: 15, spoofs: "both", ttl: 2, size: 500, ports: 3 },
      { ...V6, spoofs: "ip", size: 0, fragment: "atomic", pauseMs: 1 },
      { ...V6, kind: "mirror", spoofs: "ip", ttl: 5, size: 0 },
      { ...V6, kind: "again", size: 0, detail: 5 },
      { ...V6, kind: "again", spoofs: "both", size: 0 },
    ],
  ),
  "a rejected segment with the flags of a reset and others": {
    ...fixed({ ports: [port({}), port({})] }, [
      { ...V6, kind: "tcp", size: 0, isAfterChange: true },
      { ...V6, kind: "reply", ttl: 9, size: 0, mutation: FLAGS_CHANGED },
      { ...V6, kind: "tcp", ttl: 8, size: 0 },
    ]),
    changes: [{ rules: [REJECT_V6], balancers: null, routers: null, port: 0 }],
  },
};
