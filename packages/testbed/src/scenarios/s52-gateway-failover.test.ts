/**
 * S52: two chassis have a way to the outside, and one of them forwards. When it is killed or hangs
 * the other one does, a second later, and the outside hears of it; when it is back it waits. One
 * that is drained, or loses its cable, hands over. What is lost is counted in pings from the
 * outside, through a router, to a workload at a third chassis.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { CountersView, GatewayStatusView } from "@rhone/api/context";
import { succeeded } from "@rhone/cli/rest-client";
import { run } from "@rhone/cli/run";
import { runtimeCommand, scriptPath } from "@rhone/cli/runtime";
import { defaultMac } from "@rhone/state/schema";
import { withCapture } from "../capture.ts";
import { heal, split } from "../faults/partition.ts";
import { ip, layCable } from "../guests.ts";
import { dropsOf, useLab } from "../lab-fixture.ts";
import { labOf } from "../topology.ts";
import { until } from "../until.ts";

const LIMIT = { timeout: 180_000 };
const CHASSIS = ["a", "b", "c"];
const ROUTER_MAC = defaultMac("router/r/to-edge");
const OUTSIDE_MAC = "02:00:00:00:52:fe";
const INSIDE = "10.0.1.10";
/** Between two pings. */
const PING_MS = 20;
/** A lease and a promise, and what a machine that is busy adds. */
const KILLED_MS = 1200;
const CUT_OFF_MS = 600;
const DRAINED_MS = 100;
const UNPLUGGED_MS = 300;
const BUSY_MS = 2500;
const LOST_MIN = 5;
/** Pings go on for so long before and after. */
const AROUND_MS = 10 * PING_MS;
/** The last announcement comes half a second after the first. */
const ANNOUNCING_MS = 1000;
/** In which a member that fought would have come back. */
const QUIET_MS = 4000;
const AGREED_MS = 20_000;
/** Connections that had been cut come back when TCP tries again. */
const HEALED_MS = 100_000;
const lab = labOf({
  name: "s52",
  chassis: CHASSIS,
  ports: [
    { name: "vm", switch: "inside", chassis: "c", addresses: [INSIDE] },
    { name: "outside", switch: "spare", chassis: "c", addresses: ["10.9.0.1"] },
  ],
  routers: [
    {
      name: "r",
      ports: [
        { name: "to-inside", switch: "inside", addresses: ["10.0.1.1/24"] },
        { name: "to-edge", switch: "edge", addresses: ["10.0.9.1/24"] },
      ],
    },
  ],
});
const fixture = useLab("s52", { lab });

/** The outside is a switch, which learns, with a cable to a and to b, and a host at it. */
async function layOutside(): Promise<void> {
  await ip(fixture, "outside", [
    `link add lan address ${OUTSIDE_MAC} mtu 1418 type bridge stp_state 0 forward_delay 0`,
    "link set lan up",
    "address add 10.0.9.254/24 dev lan",
    "route add 10.0.1.0/24 via 10.0.9.1",
  ]);
  for (const chassis of ["a", "b"]) {
    const inner = `up-${chassis}`;
    const cable = { chassis, device: "uplink", workload: "outside", inner };
    await layCable(fixture, cable, [`link set ${inner} master lan addrgenmode none up`]);
  }
}

async function put(path: string, body: object): Promise<void> {
  const { client } = fixture.chassis("c");
  succeeded(await client.request("PUT", `${path}?wait=applied`, { body }));
}

function putGroup(drained?: string): Promise<void> {
  const members = ["a", "b"].map((chassis) => ({ chassis, drained: chassis === drained }));
  return put("/v1/gateways/g", { members, witnesses: ["c"] });
}

async function statusAt(chassis: string): Promise<GatewayStatusView> {
  const { client } = fixture.chassis(chassis);
  return (await client.get<{ status: GatewayStatusView }>("/v1/gateways/g")).status;
}

/** All of `chassis` say that `active` forwards; returns the epoch. */
async function untilAt(
  active: string,
  epochMin: number,
  chassis = CHASSIS,
  limitMs = AGREED_MS,
): Promise<number> {
  const epochs = new Set<number>();
  await until(
    `${active} forwards, say ${chassis.join()}`,
    async () => {
      epochs.clear();
      const all = await Promise.all(chassis.map(statusAt));
      for (const { epoch } of all) epochs.add(epoch);
      return (
        epochs.size === 1 &&
        all.every(({ active: at, epoch }) => {
          return at === active && epoch >= epochMin;
        })
      );
    },
    limitMs,
  );
  return [...epochs][0]!;
}

interface Standing {
  readonly first: string;
  readonly second: string;
  readonly epoch: number;
}

/** Who forwards, and who could, once the other one stands by. */
async function bothAble(): Promise<Standing> {
  const found: Standing[] = [];
  await until("one forwards and the other one could", async () => {
    const { active, epoch, members } = await statusAt("c");
    const other = members.find(({ role, detail }) => {
      return role === "standby" && detail.includes(` ${active}`);
    });
    if (active === null || other === undefined) return false;
    return found.push({ first: active, second: other.chassis, epoch }) > 0;
  });
  return found[0]!;
}

/** Pings the inside from the outside while `body` runs, and a little longer. */
async function lossWhile(body: () => Promise<void>): Promise<Loss> {
  const namespace = fixture.running.namespaceOf("outside");
  const ping = ["ping", "-q", `-i${PING_MS / 1000}`, INSIDE];
  const child = spawn("ip", ["netns", "exec", namespace, ...ping], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const said = text(child.stdout);
  try {
    await sleep(AROUND_MS);
    await body();
    await sleep(AROUND_MS);
  } finally {
    child.kill("SIGINT"); // It prints what it has counted, and ends.
  }
  const stdout = await said;
  const match = /(\d+) packets transmitted, (\d+) received/.exec(stdout);
  assert.ok(match !== null, stdout);
  assert.doesNotMatch(stdout, /duplicates/, "never two forward");
  const [sent, received] = [Number(match[1]), Number(match[2])];
  return { sent, lost: sent - received };
}

interface Loss {
  readonly sent: number;
  readonly lost: number;
}

/**
 * Says what was lost. More than a silence of that many milliseconds costs is too much; where it
 * cannot be shorter, there were no pings when it happened if nearly none was lost.
 */
function assertLoss(t: TestContext, what: string, { sent, lost }: Loss, silentMs: number): void {
  const most = Math.ceil((silentMs + BUSY_MS) / PING_MS);
  const least = silentMs === KILLED_MS ? LOST_MIN : 0;
  t.diagnostic(`${what}: ${lost} of ${sent} pings lost, one every ${PING_MS} ms`);
  assert.ok(lost <= most, `${what}: ${lost} lost, at most ${most} expected`);
  assert.ok(lost >= least, `${what}: ${lost} lost, at least ${least} expected`);
}

/** The process is gone, and does not come back before it is started. */
async function killForGood(chassis: string): Promise<void> {
  const stopped = fixture.chassis(chassis).stop();
  fixture.chassis(chassis).kill("SIGKILL");
  await stopped;
}

/** The command that users have, asked at a chassis that never forwards. */
async function rhone(...argv: readonly string[]): Promise<string> {
  const { server } = fixture.chassis("c").client;
  const command = [...runtimeCommand("node"), scriptPath("./main.ts"), "--server", server];
  const { code, stdout, stderr } = await run([...command, ...argv]);
  assert.equal(code, 0, stdout + stderr);
  return stdout;
}

test("S52: a gateway is taken over, announced, kept, and handed over", LIMIT, async (t) => {
  await layOutside();
  await putGroup();
  const port = { switch: "edge", mac: OUTSIDE_MAC, addresses: ["10.0.9.254"], device: "uplink" };
  await put("/v1/ports/uplink", { ...port, gateway: "g" });
  await until("somebody forwards", async () => (await statusAt("c")).active !== null);
  const first = (await statusAt("c")).active!;
  const second = first === "a" ? "b" : "a";
  const epoch = await untilAt(first, 1);
  await until("the inside is reached", async () => {
    return (await fixture.run("outside", "ping", "-c1", "-W1", INSIDE)).code === 0;
  });

  const namespace = fixture.running.namespaceOf("outside");
  const filter = "arp";
  const announced = async (): Promise<void> => {
    const lost = await lossWhile(async () => {
      await killForGood(first);
      await untilAt(second, epoch + 1, ["c", second]);
    });
    assertLoss(t, "killed", lost, KILLED_MS);
    await sleep(ANNOUNCING_MS);
  };
  await withCapture({ namespace, device: "lan", filter }, announced, async (capture) => {
    const fields = ["eth.src", "arp.src.proto_ipv4", "arp.dst.proto_ipv4"];
    const rows = (await capture.rows(fields)).filter(([, from, to]) => from === to);
    const told = [ROUTER_MAC, "10.0.9.1", "10.0.9.1"];
    assert.ok(rows.length >= 3, `${rows.length} announcements`);
    for (const row of rows) assert.deepEqual(row, told);
  });

  const taken = await untilAt(second, epoch + 1, ["c", second]);
  fixture.chassis(first).start();
  await fixture.chassis(first).ready();
  await until("the one that is back waits", async () => {
    const { members } = await statusAt("c");
    const member = members.find(({ chassis }) => chassis === first);
    return member?.role === "standby" && member.detail.includes(` ${second}`);
  });
  await sleep(QUIET_MS);
  assert.equal(await untilAt(second, taken), taken, "nobody bounces");
  const shown = await rhone("gateway", "show", "g");
  assert.match(shown, new RegExp(`^Gateway g is at ${second} since 20`));
  assert.match(shown, new RegExp(`^${first} +standby +0 +(stands by for|takes over from)`, "m"));
  assert.match(await rhone("gateway", "list"), new RegExp(`^g +${second} +${taken} `, "m"));

  const arrived = async (): Promise<number> => {
    const { client } = fixture.chassis(first);
    return (await client.get<CountersView>("/v1/counters")).connections.arrived;
  };
  const before = await arrived();
  const lost = await lossWhile(async () => {
    await putGroup(second);
    await untilAt(first, taken + 1);
  });
  assertLoss(t, "drained", lost, DRAINED_MS);
  await until("connections came along", async () => (await arrived()) > before);
});

test("S52: a cable is pulled out, a chassis hangs, one is stopped", LIMIT, async (t) => {
  await putGroup();
  const { first, second, epoch } = await bothAble();
  const unplugged = await lossWhile(async () => {
    await ip(fixture, "outside", [`link set up-${first} down`]);
    await untilAt(second, epoch + 1);
  });
  assertLoss(t, "unplugged", unplugged, UNPLUGGED_MS);
  await ip(fixture, "outside", [`link set up-${first} up`]);

  const { epoch: before } = await statusAt("c");
  const hung = await lossWhile(async () => {
    fixture.chassis(second).kill("SIGSTOP");
    await untilAt(first, before + 1, ["c", first]);
    fixture.chassis(second).kill("SIGCONT");
    await fixture.chassis(second).ready();
    await untilAt(first, before + 1);
  });
  assertLoss(t, "hung", hung, KILLED_MS);

  const { epoch: held } = await statusAt("c");
  const stopped = await lossWhile(async () => {
    await fixture.chassis(first).stop();
    await untilAt(second, held + 1, ["c", second]);
  });
  fixture.chassis(first).start();
  await fixture.chassis(first).ready();
  assertLoss(t, "stopped in order", stopped, DRAINED_MS);
});

test("S52: who does not hear the others stops, although its tunnel works", LIMIT, async (t) => {
  const { first, second, epoch } = await bothAble();
  const lost = await lossWhile(async () => {
    await split(fixture, [first], ["c", second]);
    await untilAt(second, epoch + 1, ["c", second]);
  });
  assertLoss(t, "cut off", lost, CUT_OFF_MS);
  assert.equal((await statusAt(first)).active, null, "it knows of nobody who forwards");
  const before = dropsOf(await fixture.counters(first), "gateway-fenced");
  // Everybody out there is asked for an address that nobody has.
  await fixture.run("outside", "ping", "-c1", "-W1", "10.0.9.77");
  assert.ok(dropsOf(await fixture.counters(first), "gateway-fenced") > before);
  await heal(fixture);
  await untilAt(second, epoch + 1, CHASSIS, HEALED_MS);
});
