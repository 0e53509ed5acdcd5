/** Every workload to every other: what must pass does, what must not does not. */
import {
  type CheckContext,
  FAMILIES,
  type Family,
  type Finding,
  firstAnswered,
  pingArguments,
  pingReceived,
  pingSummary,
  SILENCE_SECONDS,
} from "./check-context.ts";
import type { WorkloadAgent } from "./workload.ts";

const PINGS = 3;
const SILENT_PINGS = ["-q", "-c", "2", "-i", "0.05", "-W", String(SILENCE_SECONDS)];
const TCP_SIZE = 200_000; // bytes
const UDP_SIZES = [1, 64, 512, 1200, 1300]; // bytes

/** For documentation only (RFC 5737, RFC 3849): no network of a lab. */
const FOREIGN = { 4: "203.0.113.1", 6: "2001:db8::1" } as const;

export async function checkPairs({ agents }: CheckContext): Promise<Finding[]> {
  // Each workload goes through its list in order, all of them at the same time.
  const bySource = agents.map(async (from) => {
    const findings: Finding[] = [];
    for (const to of agents) {
      if (from === to) continue;
      const found = await Promise.all(FAMILIES.map((family) => checkPair(from, to, family)));
      findings.push(...found.flat());
    }
    return findings;
  });
  return (await Promise.all(bySource)).flat();
}

/** Addresses that nobody must answer at, seen from the first workload of each switch. */
export async function checkRefused(context: CheckContext): Promise<Finding[]> {
  const { agents, lab } = context;
  const bySwitch = Map.groupBy(agents, ({ workload }) => workload.switch);
  const first = [...bySwitch.values()].map((group) => group[0]!);
  const targets = [
    ...Object.values(FOREIGN).map((to) => ({ name: "foreign network", to })),
    ...lab.chassis.slice(0, 1).map(({ underlay }) => ({ name: "underlay", to: underlay })),
  ];
  const tried = first.flatMap((from) => targets.map((target) => ({ from, ...target })));
  return Promise.all(tried.map(({ from, name, to }) => expectSilence(from, to, name, to)));
}

async function checkPair(
  from: WorkloadAgent,
  to: WorkloadAgent,
  family: Family,
): Promise<Finding[]> {
  const address = to.address(family);
  if (address === undefined || from.address(family) === undefined) return [];
  const names = { from: from.workload.name, to: to.workload.name };
  const expected = mayReach(from, to, family);
  if (expected === undefined) return [];
  if (!expected) return [await expectSilence(from, address, `ping${family}`, names.to)];
  const [pinged, tcp, udp] = await Promise.all([
    from.ask({ op: "ping", arguments: [...pingArguments(PINGS), address] }),
    from.ask({ op: "tcp", to: address, size: TCP_SIZE }),
    from.ask({ op: "udp", to: address, sizes: UDP_SIZES }),
  ]);
  const ping = {
    ok: firstAnswered(pinged.detail, PINGS) === PINGS,
    detail: pingSummary(pinged.detail),
  };
  return Object.entries({ ping, tcp, udp }).map(([name, { ok, detail }]) => ({
    ...{ group: "pair" as const, name: `${name}${family}`, ...names, ok, detail },
  }));
}

async function expectSilence(
  from: WorkloadAgent,
  address: string,
  name: string,
  to: string,
): Promise<Finding> {
  const { detail } = await from.ask({ op: "ping", arguments: [...SILENT_PINGS, address] });
  const ok = pingReceived(detail) === 0;
  return { group: "refused", name, from: from.workload.name, to, ok, detail: pingSummary(detail) };
}

/** undefined when several routers are involved: it depends on their routes. */
function mayReach(from: WorkloadAgent, to: WorkloadAgent, family: Family): boolean | undefined {
  if (from.workload.switch === to.workload.switch) return true;
  const [here, there] = [from, to].map(
    ({ workload }) => workload.addresses.find((address) => address.family === family)?.router,
  );
  if (here === undefined || there === undefined) return false;
  return here === there ? true : undefined;
}
