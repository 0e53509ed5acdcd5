import assert from "node:assert/strict";
import { test } from "node:test";
import type { Member, Status } from "./membership/claim.ts";
import { hubsOf, type Layout } from "./nats-layout.ts";
import { NatsPlacement } from "./nats-placement.ts";
import { VirtualClock } from "./virtual-clock.ts";

const NAMES = ["a", "b", "c", "d", "e", "f", "g", "h"];
const RULES = { meshMax: 4, hubCount: 3 };
const STEADY_MS = 10_000;

/** One chassis of eight, and what it is told of the others. */
class Scene {
  readonly clock = new VirtualClock();
  readonly members = new Map<string, Pick<Member, "status" | "heardMs">>();
  layouts: Layout[] = [];
  count = NAMES.length;
  moveCount = 0;
  readonly placement: NatsPlacement;

  constructor(name: string, rules: typeof RULES | null = RULES) {
    const endpoint = (address: string) => ({ address, port: 1 });
    const peers = NAMES.filter((other) => other !== name).map((other) => {
      return { name: other, route: endpoint(other), leaf: endpoint(other) };
    });
    this.placement = new NatsPlacement({
      ...{ name, rules, steadyMs: STEADY_MS },
      look: () => ({
        ...{ peers, count: this.count, layouts: this.layouts },
        routes: peers.map(({ route }) => route),
        memberOf: (peer) => this.members.get(peer),
      }),
      now: this.clock.now,
      setTimer: this.clock.setTimer,
    });
    this.placement.onPlace(() => this.moveCount++);
  }

  /** All are heard once. */
  async meet(): Promise<this> {
    for (const name of NAMES) this.members.set(name, { status: "alive", heardMs: 0 });
    this.placement.update();
    await this.clock.advance(1000);
    return this;
  }

  async become(name: string, status: Status, heardMs: number | null = 0): Promise<void> {
    this.members.set(name, { status, heardMs });
    this.placement.update();
    await this.clock.advance(1000);
  }

  get hubs(): readonly string[] {
    return this.placement.view.hubs;
  }
}

const HUBS = hubsOf({ living: NAMES, steady: NAMES }, 3);
const LEAVES = NAMES.filter((name) => !HUBS.includes(name));
const HUB = HUBS[0]!;
const LEAF = LEAVES[0]!;

test("a hub that is suspect stays one; one that is dead is replaced", async () => {
  const scene = await new Scene(LEAF).meet();
  await scene.become(HUB, "suspect");
  assert.deepEqual([scene.hubs, scene.moveCount], [HUBS, 0]);
  await scene.become(HUB, "dead");
  const left = NAMES.filter((name) => name !== HUB);
  assert.deepEqual(scene.hubs, hubsOf({ living: left, steady: left }, 3));
});

test("a hub that returns is one again when it has lived for a while", async () => {
  const scene = await new Scene(LEAF).meet();
  await scene.become(HUB, "dead");
  const { hubs } = scene;
  await scene.become(HUB, "alive");
  await scene.clock.advance(STEADY_MS / 2);
  assert.deepEqual(scene.hubs, hubs);
  await scene.clock.advance(STEADY_MS);
  assert.deepEqual(scene.hubs, HUBS);
});

test("a hub that comes for the first time is one at once, though it was missed", async () => {
  const scene = new Scene(LEAF);
  await scene.become(HUB, "dead", null);
  assert.ok(!scene.hubs.includes(HUB));
  await scene.become(HUB, "alive");
  assert.deepEqual(scene.hubs, HUBS);
});

test("one that dies again and again makes nobody move", async () => {
  const scene = await new Scene(LEAF).meet();
  await scene.become(HUB, "dead");
  const { moveCount } = scene;
  for (let round = 0; round < 20; round++) {
    await scene.become(HUB, "alive");
    await scene.clock.advance(STEADY_MS - 2000);
    await scene.become(HUB, "dead");
  }
  assert.equal(scene.moveCount, moveCount);
});

test("chassis that die at the same time are one reason to move", async () => {
  const scene = new Scene(LEAF);
  for (const hub of HUBS.slice(0, 2)) {
    scene.members.set(hub, { status: "dead", heardMs: 0 });
    scene.placement.update();
  }
  await scene.clock.advance(1000);
  assert.equal(scene.moveCount, 1);
});

test("the layout follows the size of the cluster, and what others say in between", async () => {
  const scene = new Scene(HUB);
  assert.deepEqual(scene.placement.view, { layout: "hubs", role: "hub", hubs: HUBS });
  scene.count = 3;
  scene.layouts = ["mesh", "mesh", "hubs"];
  scene.placement.update();
  await scene.clock.advance(1000);
  assert.deepEqual(scene.placement.view, { layout: "mesh", role: "mesh", hubs: [] });
  scene.layouts = ["hubs", "mesh", "hubs"];
  scene.placement.update();
  await scene.clock.advance(1000);
  assert.equal(scene.placement.view.layout, "hubs");
});

test("without links there is a mesh, and after the end no move", async () => {
  const plain = new Scene(HUB, null);
  assert.equal(plain.placement.view.role, "mesh");
  assert.ok(plain.placement.place.role === "mesh" && plain.placement.place.routes.length === 7);
  const scene = new Scene(LEAF);
  scene.placement.stop();
  await scene.become(HUB, "dead");
  assert.equal(scene.moveCount, 0);
});
