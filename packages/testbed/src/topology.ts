/** Lab files for scenarios, written from what matters in them. */
import { type Lab, parseLab } from "@rhone/cli/lab-file";
import type { Labels } from "@rhone/state/labels";
import type { RouterDocument } from "@rhone/state/schema";

export interface Topology {
  readonly name: string;
  /** Names; their underlay addresses are 192.168.100.1 and so on, or fd64::1 and so on. */
  readonly chassis: readonly string[];
  readonly underlay?: "ipv4" | "ipv6";
  /** Each gets a namespace, unless it says that nothing is plugged in. */
  readonly ports: readonly {
    readonly name: string;
    readonly switch: string;
    readonly chassis: string;
    readonly addresses: readonly string[];
    readonly labels?: Labels;
    readonly unplugged?: true;
  }[];
  readonly routers?: readonly Omit<RouterDocument, "kind">[];
}

/** Throws UserError like a file would. */
export function labOf({ name, chassis, underlay, ports, routers = [] }: Topology): Lab {
  const network = underlay === "ipv6" ? "fd64::" : "192.168.100.";
  const lab = {
    ...{ kind: "lab", name },
    chassis: chassis.map((name, index) => ({ name, underlay: `${network}${index + 1}` })),
    workloads: ports
      .filter(({ unplugged }) => unplugged !== true)
      .map((port) => ({ port: port.name })),
  };
  const attached = [...ports, ...routers.flatMap((router) => router.ports)];
  const switches = [...new Set(attached.map((port) => port.switch))];
  const documents = [
    lab,
    ...switches.map((name) => ({ kind: "switch", name })),
    ...routers.map((router) => ({ kind: "router", ...router })),
    ...ports.map(({ unplugged: _, ...port }) => ({ kind: "port", ...port, device: port.name })),
  ];
  const text = documents.map((document) => JSON.stringify(document)).join("\n---\n");
  return parseLab(text, `topology ${name}`);
}
