/**
 * Stamps that are forged, changed on the way, sent again elsewhere or too late, or that go round in
 * circles: none of them is delivered, each is dropped under its own reason, and no other traffic
 * is hurt.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GENERATIONS_HELD } from "@rhone/dataplane-worker/table-history";
import { HAND_OFFS_MAX } from "@rhone/rings/packet";
import * as geneve from "@rhone/wire/geneve";
import * as resume from "@rhone/wire/resume";
import fc from "fast-check";
import { IPV4, UDP } from "../golden/headers.ts";
import * as frames from "./frames.ts";
import { buildNetwork } from "./network-spec.ts";
import { captureCrossing, makeCluster, NETWORK, reasonsOf, udpBetween } from "./two-chassis.ts";
import type { VirtualCluster } from "./virtual-cluster.ts";

const OPTION = geneve.BASE_SIZE;
/** Geneve, option, Ethernet, IPv4 and UDP: what the tag covers of the packets here. */
const COVERED_SIZE = resume.HEADER_SIZE + 14 + 20 + 8;

const textsOf = (cluster: VirtualCluster): string[] =>
  cluster.take().map(({ port, bytes }) => `${port} ${Buffer.from(bytes.subarray(42))}`);

/** The cluster works: p0 reaches p1 and p2, p1 reaches p0. */
function assertWorks({ cluster, network }: ReturnType<typeof makeCluster>): void {
  for (const [from, to] of [
    ["p0", "p1"],
    ["p1", "p0"],
    ["p0", "p2"],
  ] as const) {
    cluster.receive(from, udpBetween(network, from, to, "works"));
    cluster.run();
    assert.deepEqual(textsOf(cluster), [`${to} works`]);
  }
  assert.equal(cluster.freeSlots, cluster.slotCount);
}

test("bits that flip in the stamp or the inner headers", () => {
  const made = makeCluster(1);
  const { cluster, network } = made;
  const [genuine] = captureCrossing(cluster, "p0", udpBetween(network, "p0", "p1", "genuine"));
  assert.deepEqual(textsOf(cluster), ["p1 genuine"]);
  const bit = fc.nat(COVERED_SIZE * 8 - 1);
  fc.assert(
    fc.property(fc.uniqueArray(bit, { minLength: 1, maxLength: 5 }), (bits) => {
      const bytes = genuine!.bytes.slice();
      for (const each of bits) bytes[each >> 3]! ^= 1 << (each & 7);
      cluster.underlay.arrive({ ...genuine!, bytes });
      cluster.run();
      assert.deepEqual(textsOf(cluster), []);
    }),
    { numRuns: 2000 },
  );
  assert.ok(reasonsOf(cluster, "c1")["stamp-tag"]! > 1000);
  assertWorks(made);
});

test("stamps with any content, from a known endpoint that has no key", () => {
  const made = makeCluster(2);
  const { cluster, network } = made;
  const inner = udpBetween(network, "p0", "p1", "forged");
  const [genuine] = captureCrossing(cluster, "p0", inner);
  const stamp = resume.decode(new DataView(genuine!.bytes.slice().buffer), 0, 40)!;
  textsOf(cluster);
  const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
  const forged = fc.record({
    stage: fc.nat(15),
    handOffsLeft: fc.nat(15),
    ingressPort: fc.constantFrom(0, 1, stamp.ingressPort, stamp.egressPort),
    egressPort: fc.constantFrom(0, stamp.ingressPort, stamp.egressPort, 32768),
    generation: fc.constantFrom(0, stamp.generation, 2 ** 32 - 1),
    tagHigh: fc.oneof(fc.constant(0), word),
    tagLow: fc.oneof(fc.constant(0), word),
  });
  fc.assert(
    fc.property(forged, fc.constantFrom("c0", "192.168.0.77", "fd00::1"), (change, from) => {
      const header = resume.encode({ ...stamp, ...change });
      const bytes = Buffer.concat([header, inner]);
      cluster.underlay.arrive({ ...genuine!, from, bytes });
      cluster.run();
      assert.deepEqual(textsOf(cluster), []);
    }),
    { numRuns: 2000 },
  );
  const { "stamp-tag": tag, "tunnel-source-unknown": source } = reasonsOf(cluster, "c1");
  assert.equal(tag! + source!, 2000);
  assertWorks(made);
});

test("bytes that were never a stamp", () => {
  const made = makeCluster(3, true); // Without a key nothing but the structure is checked.
  const { cluster } = made;
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
      cluster.underlay.arrive({ from: "c0", to: "c1", flow: 0, bytes });
      cluster.run();
      assert.deepEqual(textsOf(cluster), []);
      assert.equal(cluster.freeSlots, cluster.slotCount);
    }),
    { numRuns: 1000 },
  );
  assertWorks(made);
});

test("a stamp that a workload sends is its payload", () => {
  const made = makeCluster(4);
  const { cluster, network } = made;
  const [genuine] = captureCrossing(cluster, "p0", udpBetween(network, "p0", "p1", "inner"));
  textsOf(cluster);
  const [source, destination] = ["p0", "p1"].map((name) => network.port(name).addresses[0]!);
  const ends = { source: source!, destination: destination!, sourcePort: 49152 };
  const datagram = frames.udp({ ...ends, destinationPort: geneve.UDP_PORT }, genuine!.bytes);
  const fields = { ...ends, ttl: 64, protocol: UDP, dontFragment: true, hasOptions: false };
  const outer = frames.ipPacket({ ...fields, fragment: null }, datagram);
  const frame = frames.ethernet(network.port("p1").mac, network.port("p0").mac, IPV4, outer);
  cluster.receive("p0", frame);
  cluster.run();
  assert.deepEqual(
    cluster.take().map(({ port, bytes }) => [port, Buffer.from(bytes).equals(frame)]),
    [["p1", true]],
  );
  assertWorks(made);
});

test("a packet that is sent again: to another chassis, back to its sender, hours later", () => {
  const made = makeCluster(5);
  const { cluster, network, built } = made;
  const [genuine] = captureCrossing(cluster, "p0", udpBetween(network, "p0", "p1", "again"));
  assert.deepEqual(textsOf(cluster), ["p1 again"]);
  cluster.underlay.arrive({ ...genuine!, to: "c2" });
  cluster.underlay.arrive({ ...genuine!, to: "c0", from: "c1" });
  cluster.run();
  assert.deepEqual(textsOf(cluster), []);
  assert.equal(reasonsOf(cluster, "c2")["stamp-tag"], 1);
  assert.equal(reasonsOf(cluster, "c0")["stamp-tag"], 1);
  cluster.changeEpoch(2);
  for (const chassis of ["c0", "c1", "c2"]) cluster.publish(chassis, built.state);
  cluster.underlay.arrive(genuine!);
  cluster.run();
  assert.deepEqual(textsOf(cluster), []);
  assert.equal(reasonsOf(cluster, "c1")["stamp-tag"], 1);
  assertWorks(made);
});

test("a packet that comes more generations late than are held goes on under the newest", () => {
  const made = makeCluster(6);
  const { cluster, network, built } = made;
  const [genuine] = captureCrossing(cluster, "p0", udpBetween(network, "p0", "p1", "late"));
  textsOf(cluster);
  for (let later = 1; later <= GENERATIONS_HELD + 1; later++) {
    const state = { ...built.state, revision: built.state.revision + later };
    for (const chassis of ["c0", "c1", "c2"]) cluster.publish(chassis, state);
    cluster.underlay.arrive(genuine!);
    cluster.run();
    assert.deepEqual(textsOf(cluster), ["p1 late"]);
  }
  assertWorks(made);
});

/** The state as one chassis sees it that believes that p3 is at `chassis`. */
function believing(chassis: number) {
  const ports = NETWORK.ports.map((port, p) => (p === 3 ? { ...port, chassis } : port));
  return buildNetwork({ ...NETWORK, ports }).state;
}

test("two chassis that each believe that the other has a port do not send it round", () => {
  const made = makeCluster(7);
  const { cluster, network } = made;
  cluster.publish("c0", believing(1));
  cluster.publish("c1", believing(0));
  cluster.receive("p0", udpBetween(network, "p0", "p3", "lost"));
  cluster.run();
  assert.deepEqual(textsOf(cluster), []);
  assert.deepEqual(reasonsOf(cluster, "c1"), { "stamp-not-here": 1 });
  assertWorks(made);
});

test("what goes round between chassis all the same ends after its crossings (S59)", () => {
  const made = makeCluster(8, true);
  const { cluster, network } = made;
  cluster.publish("c0", believing(1));
  cluster.publish("c1", believing(0));
  let crossings = 0;
  cluster.underlay.tap = (datagram) => {
    crossings++;
    // Stage 7 may be resumed anywhere, so nobody minds that the port is elsewhere.
    const bytes = datagram.bytes.slice();
    bytes[OPTION + 4] = (7 << 4) | (bytes[OPTION + 4]! & 0x0f);
    return { ...datagram, bytes };
  };
  cluster.receive("p0", udpBetween(network, "p0", "p3", "round"));
  cluster.run();
  cluster.underlay.tap = (datagram) => datagram;
  assert.deepEqual(textsOf(cluster), []);
  assert.equal(crossings, HAND_OFFS_MAX);
  assert.deepEqual(reasonsOf(cluster, "c0"), { "stamp-hand-offs": 1 });
  assertWorks(made);
});

test("what goes round between workers ends after its hand-offs", () => {
  const made = makeCluster(9);
  const { cluster, network } = made;
  const [first, second] = cluster.workersOf("c0");
  const before = [first!.core.owners.slice(), second!.core.owners.slice()];
  first!.core.owners.fill(1);
  second!.core.owners.fill(0);
  cluster.receive("p0", udpBetween(network, "p0", "p2", "round"));
  cluster.run();
  assert.deepEqual(textsOf(cluster), []);
  assert.deepEqual(reasonsOf(cluster, "c0"), { "stamp-hand-offs": 1 });
  first!.core.owners.set(before[0]!);
  second!.core.owners.set(before[1]!);
  assertWorks(made);
});
