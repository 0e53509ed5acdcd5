/** What a router itself answers: pings, and packets whose time is up. */
import {
  type CheckContext,
  FAMILIES,
  type Family,
  type Finding,
  firstAnswered,
  pingArguments,
  pingReceived,
  pingSummary,
} from "./check-context.ts";
import type { WorkloadAgent } from "./workload.ts";

const PINGS = 2;
const EXCEEDED = { 4: /Time to live exceeded/, 6: /Time exceeded: Hop limit/ } as const;

export async function checkRouters({ agents }: CheckContext): Promise<Finding[]> {
  const findings = agents.map(async (from) => {
    const found = await Promise.all(
      FAMILIES.flatMap((family) => [
        ...gatewaysSeenBy(from, agents, family).map((to) => checkPing(from, to, family)),
        ...otherSides(from, agents, family).map((to) => checkExceeded(from, to, family)),
      ]),
    );
    return found;
  });
  return (await Promise.all(findings)).flat();
}

async function checkPing(from: WorkloadAgent, to: string, family: Family): Promise<Finding> {
  const { detail } = await from.ask({ op: "ping", arguments: [...pingArguments(PINGS), to] });
  const ok = firstAnswered(detail, PINGS) === PINGS;
  const names = { name: `ping${family}`, from: from.workload.name, to };
  return { group: "router", ...names, ok, detail: pingSummary(detail) };
}

/**
 * The router must say, from its address in the sender's network, that the packet went no further.
 */
async function checkExceeded(
  from: WorkloadAgent,
  to: WorkloadAgent,
  family: Family,
): Promise<Finding> {
  const options = ["-n", "-c", "1", "-W", "1", "-t", "1", to.address(family)!];
  const { detail } = await from.ask({ op: "ping", arguments: options });
  const line = detail.split("\n").find((text) => EXCEEDED[family].test(text)) ?? "";
  const sender = /^From (\S+?):? /.exec(line)?.[1];
  const gateway = from.gateway(family);
  const ok = sender === gateway && pingReceived(detail) === 0;
  const said = ok ? line : `expected "time exceeded" from ${gateway}, got: ${line || detail}`;
  const names = { from: from.workload.name, to: to.workload.name };
  return { group: "router", name: `hop limit 1, IPv${family}`, ...names, ok, detail: said };
}

/** The addresses of the sender's router, on its own side and on the others. */
function gatewaysSeenBy(
  from: WorkloadAgent,
  agents: readonly WorkloadAgent[],
  family: Family,
): string[] {
  const router = routerOf(from, family);
  if (router === undefined) return [];
  const all = agents.flatMap((agent) =>
    routerOf(agent, family) === router ? [agent.gateway(family)!] : [],
  );
  return [...new Set(all)];
}

/** One workload of each other switch behind the same router. */
function otherSides(
  from: WorkloadAgent,
  agents: readonly WorkloadAgent[],
  family: Family,
): WorkloadAgent[] {
  const router = routerOf(from, family);
  const others = agents.filter(
    (agent) =>
      router !== undefined &&
      routerOf(agent, family) === router &&
      agent.workload.switch !== from.workload.switch,
  );
  return [...Map.groupBy(others, ({ workload }) => workload.switch).values()].map((g) => g[0]!);
}

function routerOf(agent: WorkloadAgent, family: Family): string | undefined {
  return agent.workload.addresses.find((address) => address.family === family)?.router;
}
