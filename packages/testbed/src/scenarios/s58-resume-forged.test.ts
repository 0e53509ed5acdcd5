/**
 * S58: stamps that no chassis made get nowhere, whatever they say, and the counters say why.
 *
 * The forger sits where it is worst: in a chassis's own namespace, so with the outer address of a
 * known endpoint, and with a stamp that was captured. All it lacks is the key.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { runOrThrow } from "@rhone/cli/run";
import { runtimeCommand } from "@rhone/cli/runtime";
import * as geneve from "@rhone/wire/geneve";
import * as resume from "@rhone/wire/resume";
import { withCapture } from "../capture.ts";
import { dropsOf, useLab } from "../lab-fixture.ts";
import { labOf } from "../topology.ts";
import { TUNNEL_FILTER } from "../tunnel.ts";

const LIMIT = { timeout: 40_000 };
const [A, B, C] = ["192.168.100.1", "192.168.100.2", "192.168.100.3"] as const;
const STRANGER = "192.168.100.77";
const lab = labOf({
  name: "s58",
  chassis: ["a", "b", "c"],
  ports: [
    { name: "vm1", switch: "s", chassis: "a", addresses: ["10.0.1.10"] },
    { name: "vm2", switch: "s", chassis: "b", addresses: ["10.0.1.11"] },
    { name: "vm3", switch: "s", chassis: "c", addresses: ["10.0.1.12"] },
  ],
});
const fixture = useLab("s58", { lab });

/** A packet from vm1 to vm2 as it crosses from a to b: what a listener on the underlay gets. */
async function captureOne(): Promise<Buffer> {
  const namespace = `${fixture.running.prefix}-underlay`;
  return await withCapture(
    { namespace, device: "bridge", filter: `src ${A} and dst ${B} and ${TUNNEL_FILTER}` },
    () => fixture.run("vm1", "ping", "-c", "1", "-W", "2", "10.0.1.11"),
    async (capture) => {
      const rows = await capture.rows(["udp.payload"], "icmp");
      assert.ok(rows.length > 0, "a ping crosses the underlay");
      return Buffer.from(rows[0]![0]!.split(",")[0]!, "hex");
    },
  );
}

/** Sends a datagram to a tunnel endpoint, from a chassis's namespace. */
async function send(from: string, source: string, to: string, payload: Buffer): Promise<void> {
  const found = fixture.running.chassis.find(({ process }) => process.name === from)!;
  const script = fileURLToPath(import.meta.resolve("../raw-datagrams.ts"));
  const command = [...runtimeCommand("node"), script, source, to, String(geneve.UDP_PORT)];
  const input = `${payload.toString("hex")}\n`;
  await runOrThrow(["ip", "netns", "exec", found.process.namespace, ...command], { input });
}

/** Frames that a workload gets while `body` runs. */
function arrivals(workload: string, body: () => Promise<unknown>): Promise<number> {
  return withCapture(
    { namespace: fixture.running.namespaceOf(workload), device: "eth0", filter: "icmp" },
    body,
    async (capture) => (await capture.rows(["frame.number"])).length,
  );
}

async function refused(
  reason: string,
  at: "b" | "c",
  workload: string,
  body: () => Promise<unknown>,
): Promise<void> {
  const before = await fixture.counters(at);
  assert.equal(await arrivals(workload, body), 0);
  const after = await fixture.counters(at);
  assert.equal(dropsOf(after, reason) - dropsOf(before, reason), 1, reason);
}

function changed(packet: Buffer, change: (view: DataView, option: number) => void): Buffer {
  const copy = Buffer.from(packet);
  const view = new DataView(copy.buffer, copy.byteOffset, copy.length);
  change(view, geneve.BASE_SIZE);
  return copy;
}

const FORGERIES: Readonly<Record<string, [string, (packet: Buffer) => Buffer]>> = {
  "another stage": [
    "stamp-tag",
    (packet) => changed(packet, (view, option) => view.setUint8(option + 4, 0xd1)),
  ],
  "another port": [
    "stamp-tag",
    (packet) => changed(packet, (view, option) => view.setUint16(option + 8, 1)),
  ],
  "another identity": [
    "stamp-tag",
    (packet) => changed(packet, (view, option) => view.setUint32(option + 10, 1)),
  ],
  "another inner source": [
    "stamp-tag",
    (packet) => changed(packet, (view) => view.setUint32(resume.HEADER_SIZE + 26, 0x0a00010c)),
  ],
  "a tag of zeros": [
    "stamp-tag",
    (packet) => changed(packet, (view, option) => resume.setTag(view, option, 0, 0)),
  ],
  "no stamp": [
    "tunnel-no-stamp",
    (packet) => {
      const bare = Buffer.concat([packet.subarray(0, 8), packet.subarray(resume.HEADER_SIZE)]);
      bare[0] = 0;
      bare[1] = 0;
      return bare;
    },
  ],
  "an option that lies about its length": [
    "tunnel-malformed",
    (packet) => changed(packet, (view, option) => view.setUint8(option + 3, 31)),
  ],
};

for (const [what, [reason, forge]] of Object.entries(FORGERIES)) {
  test(`S58: a captured packet with ${what} is dropped as ${reason}`, LIMIT, async () => {
    const packet = await captureOne();
    await refused(reason, "b", "vm2", () => send("a", A, B, forge(packet)));
  });
}

test("S58: a captured packet is good for its receiver and its sender only", LIMIT, async () => {
  const packet = await captureOne();
  await refused("stamp-tag", "c", "vm3", () => send("a", A, C, packet));
  await refused("stamp-tag", "b", "vm2", () => send("c", C, B, packet));
});

test("S58: who is no endpoint is not listened to", LIMIT, async () => {
  const packet = await captureOne();
  const c = fixture.running.chassis.find(({ process }) => process.name === "c")!;
  const address = ["ip", "-n", c.process.namespace, "address", "add", `${STRANGER}/24`];
  await runOrThrow([...address, "dev", "underlay"]);
  await refused("tunnel-source-unknown", "b", "vm2", () => send("c", STRANGER, B, packet));
});

test("S58: a workload's Geneve is payload, and never looked into", LIMIT, async () => {
  const packet = await captureOne();
  const before = await fixture.counters("b");
  const seen = await withCapture(
    { namespace: fixture.running.namespaceOf("vm2"), device: "eth0", filter: "udp" },
    () =>
      fixture.script(
        "vm1",
        import.meta.resolve("../raw-datagrams.ts"),
        ["10.0.1.10", "10.0.1.11", String(geneve.UDP_PORT)],
        `${packet.toString("hex")}\n`,
      ),
    (capture) => capture.rows(["udp.payload"], `udp.dstport == ${geneve.UDP_PORT}`),
  );
  assert.equal(seen.length, 1);
  assert.ok(seen[0]![0]!.startsWith(packet.toString("hex")));
  const after = await fixture.counters("b");
  for (const reason of ["stamp-tag", "tunnel-no-stamp", "tunnel-malformed"]) {
    assert.equal(dropsOf(after, reason), dropsOf(before, reason));
  }
});

test("S58: meanwhile honest traffic passes", LIMIT, async () => {
  const { code } = await fixture.run("vm1", "ping", "-c", "5", "-i", "0.2", "-W", "2", "10.0.1.11");
  assert.equal(code, 0);
});
