import assert from "node:assert/strict";
import { test } from "node:test";
import { EQUAL_WAIT_MS, Gateway, HEARTBEAT_MS, LEASE_MS, PRIORITY_WAIT_MS } from "./gateway.ts";
import { type Group, quorumOf } from "./group.ts";
import { PROMISE_MS } from "./voices.ts";

/** A few chassis on one clock; what one says the others hear at once, unless it is cut off. */
class Table {
  readonly gateways = new Map<string, Gateway>();
  readonly silent = new Set<string>();
  nowMs = 0;
  #seq = 0;
  readonly #sentMs = new Map<number, number>();

  constructor(group: Group, names: readonly string[]) {
    for (const [i, name] of names.entries()) {
      this.gateways.set(name, new Gateway("g", name, i + 1, group, 0));
      this.gateways.get(name)!.setDevice(true, 0);
    }
  }

  /** Lets time pass, with a heartbeat of each at its time. */
  pass(forMs: number): void {
    for (const endMs = this.nowMs + forMs; this.nowMs < endMs; this.nowMs += 10) {
      const isBeat = this.nowMs % HEARTBEAT_MS === 0;
      for (const [name, gateway] of this.gateways) {
        gateway.step(this.nowMs);
        if (gateway.takeNews() || isBeat) this.#tell(name, gateway);
      }
    }
  }

  /** Who forwards, with the epoch. */
  get active(): string[] {
    const active = [...this.gateways].filter(([, { untilMs }]) => untilMs > this.nowMs);
    return active.map(([name, { epoch }]) => `${name} ${epoch}`);
  }

  #tell(from: string, gateway: Gateway): void {
    const [incarnation, seq] = [[...this.gateways.keys()].indexOf(from) + 1, ++this.#seq];
    this.#sentMs.set(seq, this.nowMs);
    if (this.silent.has(from)) return;
    const entry = gateway.entryAt(this.nowMs);
    for (const [name, other] of this.gateways) {
      if (name === from || this.silent.has(name)) continue;
      const sentMs = (own: number): number | undefined => this.#sentMs.get(own);
      other.hear({ from, incarnation, seq, sentMs }, entry, this.nowMs);
    }
  }
}

function groupOf(priorities: Record<string, number>, witnesses: string[] = []): Group {
  const members = Object.entries(priorities).map(([chassis, priority]) => {
    return { chassis, priority, isDrained: false };
  });
  return { members, witnesses };
}

const ranked = groupOf({ a: 9, b: 5 }, ["w"]);
const WITH_WITNESS = ["a", "b", "w"];
const TAKEN_OVER_MS = PROMISE_MS + 2 * HEARTBEAT_MS;

test("a majority is more than half, and of two voters one", () => {
  assert.deepEqual([1, 2, 3, 4, 5, 7].map(quorumOf), [1, 1, 2, 3, 3, 4]);
});

test("nobody forwards before what may have been promised earlier is over", () => {
  const table = new Table(ranked, WITH_WITNESS);
  table.pass(PROMISE_MS);
  assert.deepEqual(table.active, []);
  table.pass(HEARTBEAT_MS);
  assert.deepEqual(table.active, ["a 1"], "of the highest priority");
});

test("who is cut off stops before the next one begins, and waits when it is back", () => {
  const table = new Table(ranked, WITH_WITNESS);
  table.pass(2000);
  table.silent.add("a");
  const stoppedMs: number[] = [];
  const begunMs: number[] = [];
  for (let ms = 0; ms < TAKEN_OVER_MS; ms += 10) {
    table.pass(10);
    if (table.active.length === 0) stoppedMs.push(table.nowMs);
    if (table.active[0] === "b 2") begunMs.push(table.nowMs);
    assert.ok(table.active.length <= 1, table.active.join());
  }
  assert.ok(stoppedMs.length > 0 && stoppedMs[0]! < begunMs[0]!);
  assert.ok(stoppedMs[0]! - 2000 <= LEASE_MS + 10);
  table.silent.clear();
  table.pass(PRIORITY_WAIT_MS - HEARTBEAT_MS);
  assert.deepEqual(table.active, ["b 2"]);
  assert.equal(table.gateways.get("a")!.reasonAt(table.nowMs), "waits");
  table.pass(2 * HEARTBEAT_MS);
  assert.deepEqual(table.active, ["a 3"], "it has the higher priority");
});

test("of equal priority, the preferred one takes back after minutes only", () => {
  const table = new Table(groupOf({ a: 0, b: 0 }, ["w"]), WITH_WITNESS);
  table.pass(2000);
  const [first] = table.active;
  const name = first!.split(" ")[0]!;
  const other = name === "a" ? "b" : "a";
  table.silent.add(name);
  table.pass(TAKEN_OVER_MS);
  table.silent.clear();
  table.pass(EQUAL_WAIT_MS - HEARTBEAT_MS);
  assert.deepEqual(table.active, [`${other} 2`]);
  table.pass(2 * HEARTBEAT_MS);
  assert.deepEqual(table.active, [`${name} 3`]);
});

test("where two do not hear each other, the witness keeps to the one that forwards", () => {
  const table = new Table(ranked, WITH_WITNESS);
  table.pass(2000);
  const [a, b] = [table.gateways.get("a")!, table.gateways.get("b")!];
  const hear = b.hear.bind(b);
  b.hear = (letter, entry, nowMs) => {
    if (letter.from !== "a") hear(letter, entry, nowMs);
  };
  const back = a.hear.bind(a);
  a.hear = (letter, entry, nowMs) => {
    if (letter.from !== "b") back(letter, entry, nowMs);
  };
  for (let ms = 0; ms < 20_000; ms += 10) {
    table.pass(10);
    assert.deepEqual(table.active, ["a 1"]);
  }
});

test("a member whose device goes down hands over at once, one that is drained does, too", () => {
  const table = new Table(ranked, WITH_WITNESS);
  table.pass(2000);
  table.gateways.get("a")!.setDevice(false, table.nowMs);
  table.pass(50);
  assert.deepEqual(table.active, ["b 2"]);
  const members = ranked.members.map((member) => ({
    ...member,
    isDrained: member.chassis === "b",
  }));
  table.gateways.get("a")!.setDevice(true, table.nowMs);
  table.pass(HEARTBEAT_MS);
  for (const gateway of table.gateways.values())
    gateway.setGroup({ ...ranked, members }, table.nowMs);
  table.pass(50);
  assert.deepEqual(table.active, ["a 3"]);
  table.silent.add("a");
  table.pass(TAKEN_OVER_MS);
  assert.deepEqual(table.active, ["b 4"], "drained, and the only one that can");
});

test("of two without a witness both forward while apart, and one when they meet again", () => {
  const table = new Table(groupOf({ a: 9, b: 5 }), ["a", "b"]);
  table.pass(2000);
  assert.deepEqual(table.active, ["a 1"]);
  table.silent.add("a");
  table.pass(TAKEN_OVER_MS);
  assert.deepEqual(table.active, ["a 1", "b 2"]);
  table.silent.clear();
  table.pass(HEARTBEAT_MS + 10);
  assert.deepEqual(table.active, ["b 2"], "of the higher epoch");
});

test("a group that changes needs a majority of what it was for a while", () => {
  const table = new Table(ranked, [...WITH_WITNESS, "x", "y"]);
  table.pass(2000);
  // Only b and two new ones have heard of it; to the others it is as if they were cut off.
  table.silent.add("a");
  table.silent.add("w");
  const changed = groupOf({ b: 5 }, ["x", "y"]);
  for (const name of ["b", "x", "y"]) table.gateways.get(name)!.setGroup(changed, table.nowMs);
  table.pass(5000);
  assert.deepEqual(table.active, [], "a and w might go on");
  table.pass(6000);
  assert.deepEqual(table.active, ["b 2"]);
});

test("of groups that change one after the other, a majority of each is needed", () => {
  const table = new Table(ranked, [...WITH_WITNESS, "x", "y"]);
  table.pass(2000);
  table.silent.add("a");
  table.silent.add("w");
  const changed = [groupOf({ b: 5 }, ["w", "x"]), groupOf({ b: 5 }, ["x", "y"])];
  for (const group of changed) {
    for (const name of ["b", "x", "y"]) table.gateways.get(name)!.setGroup(group, table.nowMs);
    table.pass(4000);
    assert.deepEqual(table.active, []);
  }
  table.pass(7000);
  assert.deepEqual(table.active, ["b 2"]);
});

test("who forwards has a higher epoch than any that others claim", () => {
  const table = new Table(ranked, WITH_WITNESS);
  for (const gateway of table.gateways.values()) gateway.claimed(41);
  table.pass(2000);
  assert.deepEqual(table.active, ["a 42"]);
  table.gateways.get("a")!.claimed(42);
  table.pass(2 * HEARTBEAT_MS);
  assert.deepEqual(table.active, ["a 44"]);
});
