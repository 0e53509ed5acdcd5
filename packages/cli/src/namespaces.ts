/**
 * The network namespaces of a lab: one for the underlay (a bridge), one for each chassis, one for
 * each workload. Cables are made directly inside them, so that nothing ever appears in, or is taken
 * from, the machine's own network.
 */
import { isIP } from "node:net";
import { UNDERLAY } from "./lab-document.ts";
import type { Lab, Workload } from "./lab-file.ts";
import { run, runOrThrow } from "./run.ts";
import { EXIT_FAILED, UserError } from "./user-error.ts";

export type Driver = "af-packet" | "af-xdp";
export type TunnelDriver = "udp" | "af-xdp";

/** Largest IP packet that fits into the tunnel: 1500 less outer IPv4, UDP, Geneve and Ethernet. */
const WORKLOAD_MTU = { 4: 1418, 6: 1398 } as const; // by family of the underlay
const UNDERLAY_MTU = 1500;
const UNDERLAY_PREFIX_LENGTH = { 4: 24, 6: 64 } as const;
const BRIDGE = "bridge";
const BRIDGE_TYPE = "type bridge stp_state 0 forward_delay 0 mcast_snooping 0";
export const WORKLOAD_DEVICE = "eth0";

/** What is to be done in one namespace, in this order. */
interface NamespacePlan {
  readonly name: string;
  /** Values of files below /proc/sys/net; a file that the kernel does not have is left out. */
  readonly sysctls: readonly string[];
  /** Lines for `ip -batch`. */
  readonly links: readonly string[];
  /** The same, once all links are there. */
  readonly addresses: readonly string[];
  /** Devices whose offloads are switched off. */
  readonly offloadsOff: readonly string[];
}

// No duplicate address detection: addresses work at once, as a hypervisor's guest would have them.
const NO_DETECTION = ["ipv6/conf/all/accept_dad=0", "ipv6/conf/default/accept_dad=0"];
// Nobody advertises routes in a lab: workloads need not ask for them.
const NO_SOLICITATION = ["ipv6/conf/all/accept_ra=0", "ipv6/conf/default/accept_ra=0"];
// Off, or the host's packet filter would see, and slow down, each frame of the bridge.
const NO_BRIDGE_FILTER = ["iptables", "ip6tables", "arptables"].map(
  (table) => `bridge/bridge-nf-call-${table}=0`,
);
// AF_XDP hands over frames without their offload words: checksums and segments must be done.
const OFFLOADS_OFF = ["tx", "tso", "gso"];

/** `<prefix>-<name>`, where name is a chassis, a workload or "underlay". */
export function namespaceName(prefix: string, name: string): string {
  return `${prefix}-${name}`;
}

export function namespaceNames(lab: Lab, prefix: string): string[] {
  const names = [UNDERLAY, ...lab.chassis.map(({ name }) => name)];
  return [...names, ...lab.workloads.map(({ name }) => name)].map((name) =>
    namespaceName(prefix, name),
  );
}

/** Makes them all. Throws; what was made until then is left to the caller to remove. */
export async function createNamespaces(lab: Lab, prefix: string, driver: Driver): Promise<void> {
  const plans = planNamespaces(lab, prefix, driver);
  await refuseExisting(plans.map(({ name }) => name));
  const added = plans.map(({ name }) => `netns add ${name}\n`).join("");
  await runOrThrow(["ip", "-batch", "-"], { input: added }).catch(explainNetns);
  await Promise.all(plans.map(setSysctls));
  // One after the other: each cable is made by one end and must find the other's namespace quiet.
  for (const { name, links } of plans) await ipBatch(name, links).catch(explainLink);
  await Promise.all(plans.map(({ name, addresses }) => ipBatch(name, addresses)));
  await Promise.all(plans.map(switchOffloadsOff));
}

export function planNamespaces(lab: Lab, prefix: string, driver: Driver): NamespacePlan[] {
  const family = isIP(lab.chassis[0]!.underlay) === 6 ? 6 : 4;
  return [
    planUnderlay(lab, prefix),
    ...lab.chassis.map((chassis) => planChassis(lab, prefix, chassis, family)),
    ...lab.workloads.map((workload) => planWorkload(workload, prefix, driver, family)),
  ];
}

function planUnderlay(lab: Lab, prefix: string): NamespacePlan {
  const cables = lab.chassis.flatMap(({ name }, index) => {
    const peer = `peer name ${UNDERLAY} mtu ${UNDERLAY_MTU} netns ${namespaceName(prefix, name)}`;
    return [
      `link add chassis${index} mtu ${UNDERLAY_MTU} type veth ${peer}`,
      `link set chassis${index} master ${BRIDGE} addrgenmode none up`,
    ];
  });
  return {
    name: namespaceName(prefix, UNDERLAY),
    sysctls: [...NO_DETECTION, ...NO_BRIDGE_FILTER],
    links: ["link set lo up", `link add ${BRIDGE} ${BRIDGE_TYPE}`, ...cables],
    addresses: [`link set ${BRIDGE} addrgenmode none up`],
    offloadsOff: [],
  };
}

function planChassis(
  lab: Lab,
  prefix: string,
  { name, underlay }: Lab["chassis"][number],
  family: 4 | 6,
): NamespacePlan {
  const mtu = WORKLOAD_MTU[family];
  const cables = lab.workloads
    .filter((workload) => workload.chassis.includes(name))
    .flatMap(({ name: workload, device, mac, chassis, gateway }) => {
      const netns = namespaceName(prefix, workload);
      const isOnly = gateway === undefined;
      const end = isOnly ? `${WORKLOAD_DEVICE} address ${mac}` : cableName(chassis.indexOf(name));
      const peer = `peer name ${end} mtu ${mtu} netns ${netns}`;
      return [
        `link add ${device} mtu ${mtu} type veth ${peer}`,
        `link set ${device} addrgenmode none up`,
      ];
    });
  const length = UNDERLAY_PREFIX_LENGTH[family];
  return {
    name: namespaceName(prefix, name),
    sysctls: NO_DETECTION,
    links: ["link set lo up", ...cables],
    addresses: [
      `link set ${UNDERLAY} up`,
      `address add ${underlay}/${length} dev ${UNDERLAY}${family === 6 ? " nodad" : ""}`,
    ],
    offloadsOff: [],
  };
}

function planWorkload(
  workload: Workload,
  prefix: string,
  driver: Driver,
  family: 4 | 6,
): NamespacePlan {
  const addresses = workload.addresses.map(({ family, address, prefixLength }) => {
    const noDetection = family === 6 ? " nodad" : "";
    return `address add ${address}/${prefixLength} dev ${WORKLOAD_DEVICE}${noDetection}`;
  });
  const routes = workload.addresses.flatMap(({ gateway }) =>
    gateway === undefined ? [] : [`route replace default via ${gateway} dev ${WORKLOAD_DEVICE}`],
  );
  return {
    name: namespaceName(prefix, workload.name),
    sysctls: [...NO_DETECTION, ...NO_SOLICITATION, ...NO_BRIDGE_FILTER],
    links: ["link set lo up", ...planOutside(workload, WORKLOAD_MTU[family])],
    addresses: [`link set ${WORKLOAD_DEVICE} up`, ...addresses, ...routes],
    offloadsOff:
      (workload.driver ?? driver) === "af-xdp" ? [...cablesOf(workload), WORKLOAD_DEVICE] : [],
  };
}

/**
 * Outside of a gateway is a switch, which learns, with a cable to each member: it sends to the
 * member from which it last heard the router. Its own port is the host there.
 */
function planOutside(workload: Workload, mtu: number): string[] {
  const cables = cablesOf(workload);
  if (cables.length === 0) return [];
  return [
    `link add ${WORKLOAD_DEVICE} address ${workload.mac} mtu ${mtu} ${BRIDGE_TYPE}`,
    ...cables.map((cable) => `link set ${cable} master ${WORKLOAD_DEVICE} addrgenmode none up`),
  ];
}

/** In the namespace of a gateway's port, one for each member; of another port none. */
function cablesOf({ gateway, chassis }: Workload): string[] {
  return gateway === undefined ? [] : chassis.map((_, index) => cableName(index));
}

function cableName(index: number): string {
  return `cable${index}`;
}

async function refuseExisting(wanted: readonly string[]): Promise<void> {
  const listed = await runOrThrow(["ip", "netns", "list"]);
  const present = new Set(listed.split("\n").map((line) => line.split(" ")[0]));
  const taken = wanted.filter((name) => present.has(name));
  if (taken.length === 0) return;
  throw new UserError(
    `expected no namespace ${taken.join(", ")}, but it exists and no lab claims it: ` +
      `remove it with "ip netns delete ${taken[0]}", or choose other names with --prefix`,
  );
}

function ipBatch(namespace: string, lines: readonly string[]): Promise<string> {
  const input = lines.map((line) => `${line}\n`).join("");
  return runOrThrow(["ip", "-netns", namespace, "-batch", "-"], { input });
}

async function setSysctls({ name, sysctls }: NamespacePlan): Promise<void> {
  const script = sysctls.map((setting) => {
    const [path, value] = setting.split("=");
    return `[ ! -e /proc/sys/net/${path} ] || echo ${value} > /proc/sys/net/${path}`;
  });
  await runOrThrow(["ip", "netns", "exec", name, "sh", "-ec", script.join("\n")]);
}

async function switchOffloadsOff({ name, offloadsOff }: NamespacePlan): Promise<void> {
  const features = OFFLOADS_OFF.flatMap((feature) => [feature, "off"]);
  for (const device of offloadsOff) {
    await runOrThrow(["ip", "netns", "exec", name, "ethtool", "-K", device, ...features]);
  }
}

/** Whether this process may make namespaces is only known once it tries. */
function explainNetns(error: Error): never {
  throw new UserError(
    `cannot make network namespaces (${error.message}): run as root with CAP_SYS_ADMIN and ` +
      `CAP_NET_ADMIN, in a container with --privileged`,
    EXIT_FAILED,
  );
}

function explainLink(error: Error): never {
  if (!/unknown device type|not supported/i.test(error.message)) throw error;
  throw new UserError(
    `${error.message}: expected a kernel with veth and bridge devices: try "modprobe veth bridge"`,
    EXIT_FAILED,
  );
}

/** Runs a program in a namespace; for tests and for what the lab asks a workload's kernel. */
export function runIn(namespace: string, argv: readonly string[]): ReturnType<typeof run> {
  return run(["ip", "netns", "exec", namespace, ...argv]);
}
