/**
 * Packets that name what their receiver does not know yet, since its tables are older than those of
 * their sender: they wait for the tables, a moment and not too many of them.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EARLY_FLOW_MAX, EARLY_MS } from "@rhone/dataplane-worker/early-packets";
import { POST_ROUTING } from "@rhone/rings/stage";
import type { State } from "@rhone/state/state";
import { parseAddress } from "@rhone/wire/address";
import { buildNetwork } from "./network-spec.ts";
import { makeCluster, NETWORK, reasonsOf, udpBetween } from "./two-chassis.ts";
import type { VirtualCluster } from "./virtual-cluster.ts";
import { EARLY_MAX } from "./virtual-worker.ts";

/** After this nobody holds the tables before. */
const LONG_MS = 2000;
const ASK_MS = 25;
const EGRESS_ACL = 11;
const NEW = "p2";
const LABELS = { app: "web" };
const C0 = [...parseAddress(buildNetwork(NETWORK).state.chassis[0]!.value.underlay)!];

const textsOf = (cluster: VirtualCluster): string[] =>
  cluster.take().map(({ port, bytes }) => `${port} ${Buffer.from(bytes.subarray(42))}`);

/** Lets time that is over, and tables that have come, have their effect. */
function rest(cluster: VirtualCluster): void {
  cluster.run(); // What waits is nobody's reason to go on: some may not have had a turn.
  cluster.run();
}

const without = (state: State, name: string): State => {
  return { ...state, ports: state.ports.filter((port) => port.name !== name) };
};

/** c0 has tables with a port that c1 has not heard of: p2, at c0. */
function makeApart(seed: number) {
  const { cluster, network, built } = makeCluster(seed);
  const older = without(built.state, NEW);
  const newer = { ...built.state, revision: built.state.revision + 1 };
  cluster.publish("c1", older);
  cluster.publish("c0", newer);
  rest(cluster);
  cluster.passTime(LONG_MS);
  rest(cluster);
  const send = (text: string, from = NEW, to = "p1"): void => {
    cluster.receive(from, udpBetween(network, from, to, text));
    rest(cluster);
  };
  return { cluster, network, older, newer, send };
}

function earlyOf(cluster: VirtualCluster) {
  const counts = cluster.workersOf("c1").map(({ counters }) => counters.early());
  const sum = (of: (count: (typeof counts)[number]) => number): number =>
    counts.reduce((total, count) => total + of(count), 0);
  return {
    held: sum(({ held }) => held),
    released: sum(({ released }) => released),
    expired: sum(({ expired }) => expired),
    refused: sum(({ refused }) => refused),
  };
}

function assertAllSlots(cluster: VirtualCluster): void {
  assert.equal(cluster.freeSlots, cluster.slotCount);
}

test("go on in their order when the tables come, in front of what comes then", () => {
  const { cluster, newer, send } = makeApart(1);
  const texts = ["1", "2", "3"];
  for (const text of texts) send(text);
  assert.deepEqual(textsOf(cluster), []);
  assert.equal(cluster.freeSlots, cluster.slotCount - texts.length);
  cluster.passTime(EARLY_MS - 1);
  rest(cluster);
  cluster.publish("c1", newer);
  send("4");
  assert.deepEqual(textsOf(cluster), ["p1 1", "p1 2", "p1 3", "p1 4"]);
  assert.deepEqual(earlyOf(cluster), { held: 3, released: 3, expired: 0, refused: 0 });
  assert.deepEqual(reasonsOf(cluster, "c1"), {});
  assertAllSlots(cluster);
});

test("are dropped under the reason that they would have had, when the time is up", () => {
  const { cluster, send } = makeApart(2);
  send("1");
  cluster.passTime(EARLY_MS - 1);
  send("2");
  assert.deepEqual(reasonsOf(cluster, "c1"), {});
  cluster.passTime(1);
  rest(cluster);
  assert.deepEqual(reasonsOf(cluster, "c1"), { "stamp-port": 1 });
  cluster.passTime(EARLY_MS);
  rest(cluster);
  assert.deepEqual(reasonsOf(cluster, "c1"), { "stamp-port": 2 });
  assert.deepEqual(earlyOf(cluster), { held: 2, released: 0, expired: 2, refused: 0 });
  assert.deepEqual(textsOf(cluster), []);
  assertAllSlots(cluster);
});

test("wait on when tables come that are not new enough, and no longer when they are", () => {
  const { cluster, older, newer, send } = makeApart(3);
  send("1");
  cluster.publish("c1", older);
  rest(cluster);
  assert.deepEqual(earlyOf(cluster), { held: 1, released: 0, expired: 0, refused: 0 });
  cluster.publish("c1", without(newer, NEW));
  rest(cluster);
  assert.deepEqual(earlyOf(cluster), { held: 1, released: 0, expired: 1, refused: 0 });
  assert.deepEqual(reasonsOf(cluster, "c1"), { "stamp-port": 1 });
  assertAllSlots(cluster);
});

test("are so only when their sender knows more than their receiver", () => {
  const { cluster, older, newer, send } = makeApart(4);
  cluster.publish("c1", { ...older, revision: newer.revision });
  send("1");
  assert.deepEqual(reasonsOf(cluster, "c1"), { "stamp-port": 1 });
  assert.deepEqual(earlyOf(cluster), { held: 0, released: 0, expired: 0, refused: 0 });
  assertAllSlots(cluster);
});

test("may be for a switch that is not known, or a port that is to come here", () => {
  for (const [seed, hide] of [
    [5, (state: State): State => ({ ...state, switches: [], ports: [] })],
    [6, (state: State): State => without(state, "p1")],
    [7, () => buildNetwork(placedAt("p1", 0)).state],
  ] as const) {
    const { cluster, newer, send } = makeApart(seed);
    cluster.publish("c1", hide(newer.revision === 0 ? newer : { ...newer, revision: 0 }));
    cluster.passTime(LONG_MS);
    send("1", "p0");
    assert.equal(earlyOf(cluster).held, 1);
    cluster.publish("c1", newer);
    rest(cluster);
    assert.deepEqual(textsOf(cluster), ["p1 1"]);
    assertAllSlots(cluster);
  }
});

function placedAt(name: string, chassis: number) {
  const ports = NETWORK.ports.map((port, p) => (`p${p}` === name ? { ...port, chassis } : port));
  return { ...NETWORK, ports };
}

test("are few of each flow, and not too many of all", () => {
  const { cluster, network, newer } = makeApart(8);
  const frame = udpBetween(network, NEW, "p1", "many");
  for (let i = 0; i < EARLY_FLOW_MAX + 3; i++) cluster.receive(NEW, frame);
  rest(cluster);
  assert.deepEqual(earlyOf(cluster), { held: EARLY_FLOW_MAX, released: 0, expired: 0, refused: 3 });
  assert.deepEqual(reasonsOf(cluster, "c1"), { "stamp-port": 3 });
  const flows = EARLY_MAX * 3;
  for (let i = 0; i < flows; i++) {
    const other = Buffer.from(frame);
    other.writeUInt16BE(5000 + i, 34); // The source port; there is no checksum over it.
    other.writeUInt16BE(0, 40);
    cluster.receive(NEW, other);
  }
  rest(cluster);
  const workers = cluster.workersOf("c1");
  assert.ok(workers.every(({ early }) => early.count <= EARLY_MAX));
  assert.ok(workers.some(({ early }) => early.count === EARLY_MAX));
  const { held, refused } = earlyOf(cluster);
  assert.equal(held + refused, EARLY_FLOW_MAX + 3 + flows);
  cluster.publish("c1", newer);
  rest(cluster);
  assert.equal(textsOf(cluster).length, held);
  assertAllSlots(cluster);
});

/** Of those who come from p0 with the label, p1 takes what comes; c1 does not know of it yet. */
function makeUnlabelled(seed: number, action: "drop" | "reject" = "drop") {
  const made = makeApart(seed);
  const { cluster, network } = made;
  const rule = { kind: "acl", switch: "s0", port: "p1", direction: "to-port" } as const;
  const acls = [
    { ...rule, name: "web", priority: 200, match: { sourceLabels: LABELS }, action: "allow" },
    { ...rule, name: "others", priority: 100, match: {}, action },
  ] as const;
  const [some] = made.newer.ports;
  const ruled = { ...made.newer, acls: acls.map((value) => ({ ...some!, ...value, value })) };
  const ports = ruled.ports.map((entry) => {
    return entry.name === "p0" ? { ...entry, value: { ...entry.value, labels: LABELS } } : entry;
  });
  const older = { ...ruled, revision: made.older.revision };
  const newer = { ...ruled, ports };
  cluster.publish("c1", older);
  cluster.publish("c0", newer);
  cluster.passTime(LONG_MS);
  rest(cluster);
  const hits = () => [0, 1].map((rule) => cluster.ruleHits("c1", rule));
  return { ...made, cluster, network, older, newer, hits };
}

test("that rules refuse wait for labels that let them pass, and are judged once", () => {
  const { cluster, older, newer, send, hits } = makeUnlabelled(10);
  send("1", "p0");
  send("2", "p0");
  cluster.publish("c1", older); // Other tables, but none that are newer.
  send("3", "p0");
  assert.deepEqual([textsOf(cluster), hits()], [[], [0, 0]]);
  cluster.publish("c1", newer);
  send("4", "p0");
  assert.deepEqual(textsOf(cluster), ["p1 1", "p1 2", "p1 3", "p1 4"]);
  assert.deepEqual(hits(), [4, 0]);
  assert.deepEqual(earlyOf(cluster), { held: 3, released: 3, expired: 0, refused: 0 });
  assert.equal(cluster.counts("c1").packets[EGRESS_ACL], 4);
  assert.equal(cluster.counts("c1").packets[POST_ROUTING], 4);
  assertAllSlots(cluster);
});

test("that rules refuse are refused in full when the time is up, or newer tables do so too", () => {
  for (const [seed, action] of [
    [11, "drop"],
    [12, "reject"],
  ] as const) {
    const { cluster, newer, send, hits } = makeUnlabelled(seed, action);
    const answers = (): number => cluster.take().filter(({ port }) => port === "p0").length;
    send("1", "p0");
    assert.deepEqual([answers(), hits()], [0, [0, 0]]);
    cluster.passTime(EARLY_MS);
    rest(cluster);
    assert.deepEqual([answers(), hits()], [action === "reject" ? 1 : 0, [0, 1]]);
    assert.deepEqual(earlyOf(cluster), { held: 1, released: 0, expired: 1, refused: 0 });
    send("2", NEW);
    cluster.publish("c1", newer);
    rest(cluster);
    assert.deepEqual(hits(), [0, 2]);
    assert.deepEqual(earlyOf(cluster), { held: 2, released: 1, expired: 1, refused: 0 });
    assert.deepEqual(reasonsOf(cluster, "c1"), { [`acl-${action}`]: 2 });
    assertAllSlots(cluster);
  }
});

test("that rules refuse are few, too, and the others are refused at once", () => {
  const { cluster, network, send, hits } = makeUnlabelled(13);
  const frame = udpBetween(network, "p0", "p1", "many");
  for (let i = 0; i < EARLY_FLOW_MAX + 3; i++) cluster.receive("p0", frame);
  rest(cluster);
  assert.deepEqual(earlyOf(cluster), { held: EARLY_FLOW_MAX, released: 0, expired: 0, refused: 3 });
  assert.deepEqual(hits(), [0, 3]);
  const asked = cluster.workersOf("c1").flatMap(({ askedFor }) => askedFor.splice(0));
  assert.deepEqual(asked, [C0]);
  cluster.passTime(EARLY_MS);
  rest(cluster);
  send("none of theirs", "p0", "p3");
  assert.deepEqual(textsOf(cluster), ["p3 none of theirs"]);
  assertAllSlots(cluster);
});

test("have the control thread told who sends them, once in a while", () => {
  const { cluster, send } = makeApart(9);
  const asked = (): number[][] =>
    cluster.workersOf("c1").flatMap(({ askedFor }) => askedFor.splice(0));
  send("1");
  send("2");
  assert.deepEqual(asked(), [C0]);
  cluster.passTime(ASK_MS);
  send("3");
  assert.deepEqual(asked(), [C0]);
  cluster.passTime(EARLY_MS);
  rest(cluster);
  assertAllSlots(cluster);
});
