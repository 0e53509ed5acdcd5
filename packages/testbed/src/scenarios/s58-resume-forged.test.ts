/**
 * S58: stamps that no chassis made get nowhere, whatever they say, and the counters say why.
 *
 * The forger sits where it is worst: in a chassis's own namespace, so with the outer address of a
 * known endpoint, and with a stamp that was captured. All it lacks is the key.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { runOrThrow } from "@rhone/cli/run";
import { runtimeCommand } from "@rhone/cli/runtime";
import * as geneve from "@rhone/wire/geneve";
import * as resume from "@rhone/wire/resume";
import { withCapture } from "../capture.ts";
import { dropsOf, type LabFixture, underWorkers } from "../lab-fixture.ts";
import { labOf } from "../topology.ts";
import { TUNNEL_FILTER } from "../tunnel.ts";

const LIMIT = { timeout: 40_000 };
const [A, B, C] = ["192.168.100.1", "192.168.100.2", "192.168.100.3"] as const;
const DROPPED_MS = 2000;
const POLL_MS = 10;
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

/** A listener on the underlay of a lab who sends what nobody gave him the key for. */
class Forger {
  readonly #fixture: LabFixture;
  #captured: Promise<Buffer> | null = null;

  constructor(fixture: LabFixture) {
    this.#fixture = fixture;
  }

  /** A packet from vm1 to vm2 as it crosses from a to b. */
  packet(): Promise<Buffer> {
    this.#captured ??= this.#capture();
    return this.#captured;
  }

  /** Sends a datagram to a tunnel endpoint, from a chassis's namespace. */
  async send(from: string, source: string, to: string, payload: Buffer): Promise<void> {
    const { chassis } = this.#fixture.running;
    const { namespace } = chassis.find(({ process }) => process.name === from)!.process;
    const script = fileURLToPath(import.meta.resolve("../raw-datagrams.ts"));
    const command = [...runtimeCommand("node"), script, source, to, String(geneve.UDP_PORT)];
    const input = `${payload.toString("hex")}\n`;
    await runOrThrow(["ip", "netns", "exec", namespace, ...command], { input });
  }

  /** Asserts that chassis `at` drops one packet for `reason` while `body` runs. */
  async isDropped(reason: string, at: "b" | "c", body: () => Promise<unknown>): Promise<void> {
    const before = dropsOf(await this.#fixture.counters(at), reason);
    await body();
    const deadline = performance.now() + DROPPED_MS;
    let dropped = 0;
    while (dropped === 0 && performance.now() < deadline) {
      await sleep(POLL_MS);
      dropped = dropsOf(await this.#fixture.counters(at), reason) - before;
    }
    assert.equal(dropped, 1, reason);
  }

  /** Asserts that a workload gets nothing while `body` runs. */
  getsNothing(workload: string, body: () => Promise<unknown>): Promise<void> {
    return withCapture(
      { namespace: this.#fixture.running.namespaceOf(workload), device: "eth0", filter: "icmp" },
      body,
      async (capture) => assert.deepEqual(await capture.rows(["frame.number"]), []),
    );
  }

  #capture(): Promise<Buffer> {
    const namespace = this.#fixture.running.namespaceOf("underlay");
    return withCapture(
      { namespace, device: "bridge", filter: `src ${A} and dst ${B} and ${TUNNEL_FILTER}` },
      () => this.#fixture.run("vm1", "ping", "-c", "1", "-W", "2", "10.0.1.11"),
      async (capture) => {
        const rows = await capture.rows(["udp.payload"], "icmp");
        assert.ok(rows.length > 0, "a ping crosses the underlay");
        return Buffer.from(rows[0]![0]!.split(",")[0]!, "hex");
      },
    );
  }
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

underWorkers("s58", [1, 2, 4], { lab }, (fixture) => {
  const forger = new Forger(fixture);

  test("S58: what a captured packet was made into is dropped, and says why", LIMIT, async (t) => {
    const packet = await forger.packet();
    await forger.getsNothing("vm2", async () => {
      for (const [what, [reason, forge]] of Object.entries(FORGERIES)) {
        await t.test(`with ${what}: ${reason}`, () =>
          forger.isDropped(reason, "b", () => forger.send("a", A, B, forge(packet))),
        );
      }
    });
  });

  test("S58: a captured packet is good for its receiver and its sender only", LIMIT, async () => {
    const packet = await forger.packet();
    await forger.getsNothing("vm3", () =>
      forger.isDropped("stamp-tag", "c", () => forger.send("a", A, C, packet)),
    );
    await forger.getsNothing("vm2", () =>
      forger.isDropped("stamp-tag", "b", () => forger.send("c", C, B, packet)),
    );
  });

  test("S58: who is no endpoint is not listened to", LIMIT, async () => {
    const packet = await forger.packet();
    const c = fixture.running.chassis.find(({ process }) => process.name === "c")!;
    const address = ["ip", "-n", c.process.namespace, "address", "add", `${STRANGER}/24`];
    await runOrThrow([...address, "dev", "underlay"]);
    await forger.getsNothing("vm2", () =>
      forger.isDropped("tunnel-source-unknown", "b", () => forger.send("c", STRANGER, B, packet)),
    );
  });

  test("S58: a workload's Geneve is payload, and never looked into", LIMIT, async () => {
    const packet = await forger.packet();
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
    const argv = ["-c", "5", "-i", "0.1", "-W", "2", "10.0.1.11"];
    const { code, stdout } = await fixture.run("vm1", "ping", ...argv);
    assert.equal(code, 0, stdout);
  });
});
