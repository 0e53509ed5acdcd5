/**
 * S62: a chassis is killed and starts again under connections that only a client may begin, and on
 * which the server is the next to speak. For a while it is heard, where the rules of today would
 * let the client ask; what they would not is refused at once, and all of it when that is over.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { PICK_UP_MS } from "@rhone/rings/pick-up-window";
import { openIdleConnection } from "../idle-connection.ts";
import { useLab } from "../lab-fixture.ts";
import { hitsOf, type RuleSpec, setRules } from "../rules.ts";
import { labOf } from "../topology.ts";
import { until } from "../until.ts";

const LIMIT = { timeout: 240_000 };
const OPEN_PORT = 8007;
const OTHER_OPEN_PORT = 8008;
const CLOSED_PORT = 8009;
const lab = labOf({
  name: "s62s",
  chassis: ["a", "b"],
  ports: [
    { name: "client", switch: "s", chassis: "a", addresses: ["10.0.1.10"] },
    { name: "server", switch: "s", chassis: "b", addresses: ["10.0.1.11"] },
  ],
});
const fixture = useLab("s62s", { lab });

const all = { switch: "s", priority: 1, match: { protocol: "tcp" }, action: "drop" } as const;
/** The server asks for nothing; which of its ports tried counts a rule of its own. */
const silence = (port: number): RuleSpec => ({
  ...{ ...all, name: `silent-${port}`, port: "server", direction: "from-port" },
  match: { protocol: "tcp", sourcePorts: String(port) },
});
/** The client is asked for nothing, the server for two things. */
const RULES: readonly RuleSpec[] = [
  { ...all, name: "client-closed", port: "client", direction: "to-port" },
  { ...all, name: "server-closed", port: "server", direction: "to-port" },
  ...[OPEN_PORT, OTHER_OPEN_PORT, CLOSED_PORT].map(silence),
  {
    ...{ ...all, name: "server-open", port: "server", direction: "to-port", priority: 2 },
    match: { protocol: "tcp", destinationPorts: `${OPEN_PORT}-${OTHER_OPEN_PORT}` },
    action: "allow",
  },
];

async function connect(port: number) {
  const connection = await openIdleConnection(fixture, {
    ...{ client: "client", server: "server", to: "10.0.1.11", port },
  });
  let isHeard = false;
  return {
    ...connection,
    isHeard: () => isHeard,
    /** Says something that nobody is to hear. */
    whisper: () => {
      const noted = (): void => {
        isHeard = true;
      };
      connection.speak("whisper").then(noted, () => {});
    },
  };
}

const isRefusedAtB = async (port: number): Promise<boolean> =>
  (await hitsOf(fixture, "b", `silent-${port}`)) > 0;
const pickedUpAt = async (chassis: string): Promise<number> =>
  (await fixture.counters(chassis)).connections.pickedUp;

test("S62: a server that speaks next is heard after a chassis was killed", LIMIT, async (t) => {
  const ports = [OPEN_PORT, OTHER_OPEN_PORT, CLOSED_PORT];
  const [spoken, silent, closed] = await Promise.all(ports.map(connect));
  t.after(() => Promise.all([spoken!, silent!, closed!].map(({ close }) => close())));
  await setRules(fixture, RULES);
  assert.equal(await spoken!.speak("before"), "before");

  await fixture.crash("a");
  assert.equal(await spoken!.speak("one"), "one", "the client's chassis was killed");
  assert.equal(await pickedUpAt("a"), 1);

  await fixture.crash("b");
  assert.equal(await spoken!.speak("two"), "two", "the server's chassis was killed");
  assert.equal(await pickedUpAt("b"), 1);

  closed!.whisper();
  await until("what no rule allows is refused", () => isRefusedAtB(CLOSED_PORT));
  assert.equal(await isRefusedAtB(OPEN_PORT), false);
  await sleep(PICK_UP_MS);
  silent!.whisper();
  await until("it is over, and refused", () => isRefusedAtB(OTHER_OPEN_PORT));
  assert.equal(await spoken!.speak("three"), "three", "that is a connection like any other");
  assert.equal(await pickedUpAt("b"), 1);
  assert.deepEqual([silent!.isHeard(), closed!.isHeard()], [false, false]);
});
