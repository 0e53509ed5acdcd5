import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MemoryBus, type MemoryTransport } from "../memory-transport.ts";
import { Refusals } from "../refusals.ts";
import { seededRandom } from "../seeded-random.ts";
import { memberMessages } from "../subjects.ts";
import { VirtualClock } from "../virtual-clock.ts";
import { Membership } from "./membership.ts";
import { encode } from "./messages.ts";

const NAMES = ["a", "b", "c"];
const WALL_MS = 1_800_000_000_000;
const DAY_MS = 86_400_000;

class Cluster {
  readonly clock = new VirtualClock();
  readonly random = seededRandom(7);
  readonly bus = new MemoryBus({ random: this.random, setTimer: this.clock.setTimer });
  readonly refusals = new Refusals({ now: this.clock.now });
  readonly transports = new Map<string, MemoryTransport>();
  readonly all = new Map<string, Membership>();
  readonly heard: string[] = [];

  constructor() {
    for (const name of NAMES) this.start(name);
  }

  start(name: string): void {
    const transport = this.bus.connect(name);
    const membership = new Membership({
      ...{ name, transport, incarnation: WALL_MS + this.clock.now() },
      ...{ now: this.clock.now, wallClock: () => WALL_MS + this.clock.now() },
      ...{ random: this.random, setTimer: this.clock.setTimer, refusals: this.refusals },
    });
    membership.setKnown(NAMES);
    membership.onStatus((other, status) => this.heard.push(`${name}: ${other} is ${status}`));
    this.transports.set(name, transport);
    this.all.set(name, membership);
  }

  stop(): void {
    for (const membership of this.all.values()) membership.stop();
  }

  statuses(by: string): string {
    return this.all
      .get(by)!
      .members()
      .map(({ name, status }) => `${name} ${status}`)
      .join(", ");
  }
}

describe("three members on a transport", () => {
  test("know each other, find out who is gone, and that it is back", async () => {
    const cluster = new Cluster();
    await cluster.clock.advance(5000);
    assert.equal(cluster.statuses("a"), "b alive, c alive");
    for (const member of cluster.all.get("a")!.members()) {
      assert.ok(cluster.clock.now() - member.heardMs! < 2000, "heard of late");
      assert.ok(member.incarnation >= WALL_MS);
    }
    cluster.bus.partition([["c"]]);
    await cluster.clock.advance(8000);
    assert.equal(cluster.statuses("a"), "b alive, c dead");
    assert.equal(cluster.statuses("c"), "a suspect, b suspect", "it doubts itself first");
    await cluster.clock.advance(30_000);
    assert.equal(cluster.statuses("c"), "a dead, b dead");
    assert.ok(cluster.heard.indexOf("a: c is suspect") < cluster.heard.indexOf("a: c is dead"));
    cluster.bus.heal();
    await cluster.clock.advance(30_000);
    for (const name of NAMES) assert.doesNotMatch(cluster.statuses(name), /dead/);
    cluster.stop();
  });

  test("count what is no message, and go on", async () => {
    const cluster = new Cluster();
    await cluster.clock.advance(1000);
    const [b, c] = [cluster.transports.get("b")!, cluster.transports.get("c")!];
    const tell = { type: "tell", seq: 0, target: "", claims: [], incarnation: 1 } as const;
    const forAll = memberMessages("b", "a");
    b.publish(forAll, Buffer.from("no message"));
    b.publish(forAll, new Uint8Array(10_000));
    b.publish(forAll, encode({ ...tell, incarnation: WALL_MS + 3 * DAY_MS }));
    b.publish(memberMessages("a", "a"), encode(tell));
    c.publish(forAll, encode(tell).subarray(1));
    await cluster.clock.advance(1000);
    assert.deepEqual(cluster.refusals.counts, {
      "member-malformed": 2,
      "member-oversized": 1,
      "member-future": 1,
      "member-namesake": 1,
    });
    assert.equal(cluster.statuses("a"), "b alive, c alive");
    cluster.stop();
  });

  test("outlive a lie: who is called dead and lives is alive again at once", async () => {
    const cluster = new Cluster();
    await cluster.clock.advance(2000);
    const { incarnation } = cluster.all.get("a")!.members()[1]!;
    const claims = [{ name: "c", status: "dead", incarnation, by: "" }] as const;
    const lie = { type: "tell", seq: 0, target: "", claims, incarnation: 1 } as const;
    cluster.transports.get("b")!.publish(memberMessages("b", "a"), encode(lie));
    await cluster.clock.advance(50);
    assert.equal(cluster.statuses("a"), "b alive, c dead");
    await cluster.clock.advance(1500);
    assert.equal(cluster.statuses("a"), "b alive, c alive");
    assert.ok(cluster.all.get("c")!.incarnation > incarnation);
    cluster.stop();
  });

  test("a member that stopped says and hears nothing", async () => {
    const cluster = new Cluster();
    await cluster.clock.advance(1000);
    cluster.stop();
    const { length } = cluster.heard;
    await cluster.clock.advance(10_000);
    assert.equal(cluster.heard.length, length);
  });
});
