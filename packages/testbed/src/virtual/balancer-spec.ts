/** Random load balancers of a random network, and the documents that they stand for. */
import type { LoadBalancerDocument } from "@rhone/state/load-balancer";
import fc from "fast-check";
import type { NetworkSpec } from "./network-spec.ts";
import { addressOf, FIRST_PORT_HOST } from "./network-spec.ts";

export interface VipSpec {
  readonly isV4: boolean;
  /** Whether its address is one of a switch's network. */
  readonly isInside: boolean;
  readonly service: "tcp" | "udp" | "all";
  readonly port: number;
  /** Ports of the network, and whether they serve at another port. */
  readonly backends: readonly { readonly port: number; readonly isElsewhere: boolean }[];
}

export interface BalancerSpec {
  readonly switches: readonly number[];
  readonly vips: readonly VipSpec[];
  readonly rejects: boolean;
}

const backend = fc.record({ port: fc.nat(15), isElsewhere: fc.boolean() });

const vip: fc.Arbitrary<VipSpec> = fc.record({
  isV4: fc.boolean(),
  isInside: fc.boolean(),
  service: fc.constantFrom("tcp", "udp", "udp", "all"),
  port: fc.constantFrom(53, 80),
  backends: fc.oneof(
    { weight: 8, arbitrary: fc.array(backend, { minLength: 2, maxLength: 5 }) },
    { weight: 1, arbitrary: fc.array(backend, { maxLength: 1 }) },
  ),
});

export const balancerSpecs: fc.Arbitrary<BalancerSpec[]> = fc.array(
  fc.record({
    switches: fc.array(fc.nat(7), { minLength: 1, maxLength: 3 }),
    vips: fc.array(vip, { minLength: 1, maxLength: 3 }),
    rejects: fc.boolean(),
  }),
  { maxLength: 2 },
);

const ELSEWHERE = 8080;
const FIRST_VIP_HOST = 240;

export function balancerDocument(spec: NetworkSpec, i: number): LoadBalancerDocument {
  const { switches, vips, rejects } = spec.balancers![i]!;
  const served = [...new Set(switches.map((s) => s % spec.switches))];
  const own = new Map(
    vips.map((each) => {
      const document = vipDocument(spec, i, served[0]!, each);
      const { address, protocol, port } = document;
      return [`${address} ${protocol} ${port}`, document];
    }),
  );
  return {
    ...{ kind: "load-balancer", name: `lb${i}`, switches: served.map((s) => `s${s}`) },
    ...{ vips: [...own.values()], withoutBackends: rejects ? "reject" : "drop" },
  };
}

function vipDocument(
  spec: NetworkSpec,
  i: number,
  s: number,
  { isV4, isInside, service, port, backends }: VipSpec,
): LoadBalancerDocument["vips"][number] {
  const outside = isV4 ? `10.88.${i}.1` : `fd88:0:0:${i}::1`;
  const isAll = service === "all";
  const own = new Map(
    backends.flatMap((backend) => {
      const p = backend.port % spec.ports.length;
      const each = spec.ports[p]!;
      if (isV4 ? !each.hasV4 : !each.hasV6) return [];
      const address = addressOf(isV4, each.switch % spec.switches, FIRST_PORT_HOST + p);
      const document = isAll || !backend.isElsewhere ? { address } : { address, port: ELSEWHERE };
      return [[JSON.stringify(document), document] as const];
    }),
  );
  return {
    address: isInside ? addressOf(isV4, s, FIRST_VIP_HOST + i) : outside,
    ...(isAll ? {} : { protocol: service, port }),
    backends: [...own.values()],
  };
}
