/**
 * A workload that lies about who it is: with the means of its own kernel, it sends from foreign
 * addresses and claims them. Nothing of it may arrive, and the drop counters must name the lie.
 */
import { BlockList } from "node:net";
import { type CheckContext, type Finding, pingReceived, SILENCE_SECONDS } from "./check-context.ts";
import type { Lab } from "./lab-file.ts";
import { WORKLOAD_DEVICE as DEVICE, runIn } from "./namespaces.ts";
import type { WorkloadAgent } from "./workload.ts";

interface Lie {
  readonly name: string;
  /** Shell commands in the liar's namespace, before and after. */
  readonly begin: string;
  readonly end: string;
  /** Who pings whom while the lie lasts. */
  readonly pinger: WorkloadAgent;
  readonly victim: WorkloadAgent;
  readonly options: readonly string[];
  /** The drop reason that must be counted. */
  readonly reason: string;
}

const FOREIGN_MAC = "02:00:5e:00:53:66"; // From the range for documentation (RFC 7042 §2.1.2).
const PINGS = ["-q", "-c", "2", "-i", "0.05", "-W", String(SILENCE_SECONDS)];

/** Tried by the first workload that has another one in its switch. */
export async function checkSpoofed(context: CheckContext): Promise<Finding[]> {
  const { agents, lab } = context;
  const pair = agents.flatMap((liar) => {
    const victims = agents.filter((other) => isVictim(liar, other));
    const far = victims.find((other) => other.workload.chassis[0] !== liar.workload.chassis[0]);
    const victim = far ?? victims[0];
    return victim === undefined ? [] : [{ liar, victim }];
  })[0];
  if (pair === undefined) return [];
  const findings: Finding[] = [];
  // One after the other: each changes the liar's addresses, and the counters are shared.
  for (const lie of liesOf(pair.liar, pair.victim, lab)) {
    findings.push(await tryLie(context, pair.liar, lie));
  }
  return findings;
}

function isVictim(liar: WorkloadAgent, other: WorkloadAgent): boolean {
  return liar !== other && liar.workload.switch === other.workload.switch;
}

function liesOf(liar: WorkloadAgent, victim: WorkloadAgent, lab: Lab): Lie[] {
  const lies: Lie[] = [];
  const [own4, own6] = [liar.address(4), liar.address(6)];
  const [to4, to6] = [victim.address(4), victim.address(6)];
  const fromLiar = { pinger: liar, victim };
  const target = to4 ?? to6;
  if (target !== undefined) {
    lies.push({
      ...fromLiar,
      name: "source MAC",
      begin: `ip link set ${DEVICE} address ${FOREIGN_MAC}`,
      end: `ip link set ${DEVICE} address ${liar.workload.mac}`,
      options: [target],
      reason: "port-security-mac",
    });
  }
  if (own4 !== undefined && to4 !== undefined) {
    const foreign = unusedAddress(own4, lab);
    const begin = `ip address add ${foreign}/32 dev lo; ping -q -c 1 -W 1 ${to4}`;
    const end = `ip address delete ${foreign}/32 dev lo; ip neighbour flush dev ${DEVICE}`;
    const options = ["-I", foreign, to4];
    lies.push(
      { ...fromLiar, name: "source IPv4", begin, end, options, reason: "port-security-ip" },
      {
        ...fromLiar,
        name: "ARP request's sender",
        begin: `ip address add ${foreign}/32 dev lo; ip neighbour flush dev ${DEVICE}`,
        ...{ end, options, reason: "port-security-arp" },
      },
      {
        ...{ name: "ARP reply for a foreign address", pinger: victim, victim: liar },
        begin: `ip address add ${foreign}/32 dev ${DEVICE}`,
        end: `ip address delete ${foreign}/32 dev ${DEVICE}`,
        ...{ options: [foreign], reason: "port-security-arp" },
      },
    );
  }
  if (own6 !== undefined && to6 !== undefined) lies.push(...liesInIpv6(liar, victim, lab));
  return lies;
}

function liesInIpv6(liar: WorkloadAgent, victim: WorkloadAgent, lab: Lab): Lie[] {
  const foreign = unusedAddress(liar.address(6)!, lab);
  const settings = "/proc/sys/net/ipv6";
  // A neighbour proxy advertises a foreign target from its own address and with its own MAC.
  const proxy = (on: 0 | 1, verb: "add" | "delete"): string =>
    `echo ${on} > ${settings}/conf/${DEVICE}/forwarding
     echo ${on} > ${settings}/conf/${DEVICE}/proxy_ndp
     echo 0 > ${settings}/neigh/${DEVICE}/proxy_delay
     ip -6 neighbour ${verb} proxy ${foreign} dev ${DEVICE}`;
  return [
    {
      ...{ name: "source IPv6", pinger: liar, victim },
      begin: `ip address add ${foreign}/128 dev lo nodad; ping -q -c 1 -W 1 ${victim.address(6)}`,
      end: `ip address delete ${foreign}/128 dev lo`,
      ...{ options: ["-I", foreign, victim.address(6)!], reason: "port-security-ip" },
    },
    {
      ...{ name: "ND advertisement for a foreign target", pinger: victim, victim: liar },
      begin: proxy(1, "add"),
      end: proxy(0, "delete"),
      ...{ options: [foreign], reason: "port-security-nd" },
    },
  ];
}

async function tryLie(context: CheckContext, liar: WorkloadAgent, lie: Lie): Promise<Finding> {
  const { pinger, victim, options, reason } = lie;
  await runIn(liar.namespace, ["sh", "-c", lie.begin]);
  const [dropsBefore, heardBefore] = [await context.drops(), await heardBy(victim)];
  const { detail } = await pinger.ask({ op: "ping", arguments: [...PINGS, ...options] });
  const [dropsAfter, heardAfter] = [await context.drops(), await heardBy(victim)];
  await runIn(liar.namespace, ["sh", "-c", lie.end]);
  const dropped = (dropsAfter.get(reason) ?? 0) - (dropsBefore.get(reason) ?? 0);
  const passed = Math.max(heardAfter - heardBefore, pingReceived(detail));
  return {
    group: "spoofed",
    name: lie.name,
    from: liar.workload.name,
    to: (pinger === liar ? victim : pinger).workload.name,
    ok: passed === 0 && dropped > 0,
    detail: `${passed} passed, ${dropped} dropped for ${reason}`,
  };
}

async function heardBy(agent: WorkloadAgent): Promise<number> {
  return Number((await agent.ask({ op: "echo-requests" })).detail);
}

/** An address that nobody has, in the network of `address`. */
function unusedAddress(address: string, lab: Lab): string {
  const family = address.includes(":") ? "ipv6" : "ipv4";
  const used = new BlockList();
  for (const workload of lab.workloads) {
    for (const { address, gateway } of workload.addresses) {
      used.addAddress(address, address.includes(":") ? "ipv6" : "ipv4");
      if (gateway !== undefined) used.addAddress(gateway, gateway.includes(":") ? "ipv6" : "ipv4");
    }
  }
  const [, head, tail] = /^(.*[.:])([0-9a-f]*)$/i.exec(address)!;
  const radix = family === "ipv6" ? 16 : 10;
  const last = Number.parseInt(tail || "0", radix);
  for (let i = 1; ; i++) {
    const candidate = head + (last ^ i).toString(radix);
    if (!used.check(candidate, family)) return candidate;
  }
}
