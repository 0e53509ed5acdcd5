/**
 * Load balancers (`kind: load-balancer`): addresses that stand for several backends, for what the
 * workloads of some switches send. Run by the control thread.
 */
import { isIpv4, parseAddress } from "@rhone/wire/address";
import { z } from "zod";
import { PORT_MAX, protocolNumber } from "./acl.ts";
import { address, canonicalAddress, name, optional, remark } from "./fields.ts";
import { checkHost } from "./host-address.ts";
import { type Problem, problem } from "./problem.ts";
import type { Entry } from "./record.ts";
import { get, type State } from "./state.ts";
import { endText } from "./text.ts";

export const VIPS_MAX = 256;
export const BACKENDS_MAX = 256;
const SWITCHES_MAX = 256;

const port = z.int().min(1).max(PORT_MAX);

const backendSchema = z.strictObject({
  address,
  /** Left out: the port that the packet was sent to. */
  port: port.exactOptional(),
});

const vipSchema = z.strictObject({
  address,
  /** Left out together with the port: every packet for the address is balanced. */
  protocol: z.enum(["tcp", "udp"]).exactOptional(),
  port: port.exactOptional(),
  backends: z.array(backendSchema).max(BACKENDS_MAX),
});

export const loadBalancerSchema = z.strictObject({
  kind: z.literal("load-balancer"),
  name,
  /** Whose workloads are served. */
  switches: z.array(name).max(SWITCHES_MAX),
  vips: z.array(vipSchema).min(1).max(VIPS_MAX),
  /**
   * What the sender hears while a VIP has no backends: a TCP reset or port unreachable, or nothing.
   */
  withoutBackends: z.enum(["reject", "drop"]).exactOptional(),
  description: remark.exactOptional(),
});

export type LoadBalancerDocument = z.infer<typeof loadBalancerSchema>;

export interface Backend {
  readonly address: string;
  readonly port?: number;
}

export interface Vip {
  readonly address: string;
  readonly protocol?: "tcp" | "udp";
  readonly port?: number;
  readonly backends: readonly Backend[];
}

export interface LoadBalancer {
  readonly kind: "load-balancer";
  readonly name: string;
  readonly switches: readonly string[];
  readonly vips: readonly Vip[];
  readonly withoutBackends: "reject" | "drop";
  readonly description?: string;
}

/** A VIP with a port and no protocol means TCP. */
export function completeLoadBalancer(document: LoadBalancerDocument): LoadBalancer {
  const { kind, name, switches, vips, withoutBackends = "reject", description } = document;
  return {
    ...{ kind, name, switches },
    vips: vips.map(({ address, protocol, port, backends }) => ({
      address: canonicalAddress(address),
      ...optional({ protocol: protocol ?? (port === undefined ? undefined : "tcp"), port }),
      backends: backends.map((backend) => ({
        address: canonicalAddress(backend.address),
        ...optional({ port: backend.port }),
      })),
    })),
    withoutBackends,
    ...optional({ description }),
  };
}

/** The protocol's number and the port of a VIP; both 0 when it is about all packets. */
export function serviceOf({ protocol, port }: Vip): { protocol: number; port: number } {
  if (protocol === undefined || port === undefined) return { protocol: 0, port: 0 };
  return { protocol: protocolNumber(protocol), port };
}

/** All that is wrong with a load balancer in itself. */
export function checkLoadBalancer({ switches, vips }: LoadBalancer, pointer: string): Problem[] {
  const repeated = switches.flatMap((name, i) =>
    switches.indexOf(name) === i
      ? []
      : [problem(`${pointer}/switches/${i}`, "each switch once", name)],
  );
  const seen = new Map<string, number>();
  return [
    ...repeated,
    ...vips.flatMap((vip, i) => {
      const at = `${pointer}/vips/${i}`;
      const key = endText(vip);
      const first = seen.get(key);
      if (first !== undefined) {
        return [problem(at, `a service that vips/${first} does not have`, key)];
      }
      seen.set(key, i);
      return checkVip(vip, at);
    }),
  ];
}

function checkVip({ address, protocol, port, backends }: Vip, at: string): Problem[] {
  const problems = checkHost(parseAddress(address)!, `${at}/address`, address);
  if (protocol !== undefined && port === undefined) {
    problems.push(problem(`${at}/port`, "a port beside a protocol, or neither", undefined));
  }
  const seen = new Set<string>();
  for (const [i, backend] of backends.entries()) {
    const where = `${at}/backends/${i}`;
    problems.push(...checkBackend(backend, address, port, where));
    const key = `${backend.address} ${backend.port ?? port}`;
    if (seen.has(key)) problems.push(problem(where, "each backend once", key));
    seen.add(key);
  }
  return problems;
}

function checkBackend(
  backend: Backend,
  vip: string,
  vipPort: number | undefined,
  at: string,
): Problem[] {
  const parsed = parseAddress(backend.address)!;
  const isSame = isIpv4(parsed) === isIpv4(parseAddress(vip)!);
  if (!isSame) {
    return [problem(`${at}/address`, `an address of the family of ${vip}`, backend.address)];
  }
  if (backend.port !== undefined && vipPort === undefined) {
    return [problem(`${at}/port`, "no port, as the VIP has none", backend.port)];
  }
  return checkHost(parsed, `${at}/address`, backend.address);
}

interface Proposal {
  readonly pointer: string;
  readonly entry: Entry;
}

/** Switches that a proposal names and `after` does not have. */
export function checkServedSwitches(after: State, { entry, pointer }: Proposal): Problem[] {
  const { value } = entry;
  if (value?.kind !== "load-balancer") return [];
  return value.switches.flatMap((name, i) =>
    get(after, "switch", name) !== undefined
      ? []
      : [problem(`${pointer}/switches/${i}`, "the name of a switch that exists", name)],
  );
}

/** The addresses that a load balancer answers for, each with the index of the first VIP it has. */
export function addressesOf({ vips }: LoadBalancer): ReadonlyMap<string, number> {
  const first = new Map<string, number>();
  for (const [i, { address }] of vips.entries()) {
    if (!first.has(address)) first.set(address, i);
  }
  return first;
}
