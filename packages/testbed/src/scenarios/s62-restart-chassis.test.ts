/**
 * S62: a chassis is killed under long connections, with all that it knew of them, and starts again.
 * The connections go on, nobody resets them, also where rules refuse whatever begins no allowed
 * connection; and all that the chassis had acknowledged is there.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { succeeded } from "@rhone/cli/rest-client";
import { withStreams } from "../iperf.ts";
import { useLab } from "../lab-fixture.ts";
import { type RuleSpec, setRules } from "../rules.ts";
import { labOf } from "../topology.ts";

const LIMIT = { timeout: 150_000 };
/** Of iperf3. */
const SERVICE_PORT = 5201;
const WRITES = 20;
/**
 * Both ways where nothing is refused. What a server says under rules by which it may begin nothing
 * is the matter of s62-server-speaks-next.test.ts.
 */
const streamsOf = (isReverse: boolean) => [
  { from: "vm1", to: "vm2", address: "10.0.1.11", megabitsPerSecond: 20 },
  { from: "vm1", to: "vm3", address: "10.0.1.12", megabitsPerSecond: 20, isReverse },
];
const lab = labOf({
  name: "s62",
  chassis: ["a", "b"],
  ports: [
    { name: "vm1", switch: "s", chassis: "a", addresses: ["10.0.1.10"] },
    { name: "vm2", switch: "s", chassis: "a", addresses: ["10.0.1.11"] },
    { name: "vm3", switch: "s", chassis: "b", addresses: ["10.0.1.12"] },
  ],
});
const fixture = useLab("s62", { lab });

/** A server that may be asked for one thing, and may ask for nothing itself. */
function rulesFor(port: string): RuleSpec[] {
  const service = { protocol: "tcp" as const, destinationPorts: String(SERVICE_PORT) };
  const refuse = { switch: "s", port, priority: 1, match: {}, action: "reject" } as const;
  return [
    { name: `${port}-closed`, ...refuse, direction: "to-port" },
    { name: `${port}-silent`, ...refuse, direction: "from-port" },
    {
      ...{ name: `${port}-open`, switch: "s", port, direction: "to-port", priority: 2 },
      ...{ match: service, action: "allow" },
    },
  ];
}

/** Writes in a row and kills the chassis behind the last answer; returns the names written. */
async function crashAfterWrites(chassis: string, round: number): Promise<string[]> {
  const { client } = fixture.chassis(chassis);
  const names = Array.from({ length: WRITES }, (_, i) => `kept-${chassis}-${round}-${i}`);
  for (const name of names) {
    const body = { kind: "switch", name };
    succeeded(await client.request("PUT", `/v1/switches/${name}`, { body }));
  }
  await fixture.crash(chassis);
  return names;
}

async function assertKept(chassis: string, written: readonly string[]): Promise<void> {
  const known = await fixture.chassis(chassis).client.get<{ name: string }[]>("/v1/switches");
  const names = new Set(known.map(({ name }) => name));
  assert.deepEqual(
    written.filter((name) => !names.has(name)),
    [],
    `chassis ${chassis}: acknowledged and lost`,
  );
}

for (const rules of [[], [...rulesFor("vm2"), ...rulesFor("vm3")]]) {
  const under = rules.length === 0 ? "without rules" : "where rules refuse the rest";
  test(`S62: connections live on when a chassis is killed, ${under}`, LIMIT, async () => {
    await setRules(fixture, rules);
    const carried = streamsOf(rules.length === 0);
    const { streams, tcp } = await withStreams(fixture, carried, async (goOn) => {
      for (const chassis of ["a", "b"]) {
        const written = await crashAfterWrites(chassis, rules.length);
        await goOn();
        await assertKept(chassis, written);
      }
    });
    for (const { failure } of streams) assert.equal(failure, "");
    assert.equal(tcp.resets, 0);
  });
}
