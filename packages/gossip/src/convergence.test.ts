import assert from "node:assert/strict";
import { test } from "node:test";
import type { Disk } from "@rhone/state/disk";
import { createMemoryStore } from "@rhone/state/memory-store";
import { BEHIND_MS } from "@rhone/state/write-behind";
import { Convergence, type Level } from "./convergence.ts";
import type { Status } from "./membership/claim.ts";
import { MemoryBus } from "./memory-transport.ts";
import { Replicator } from "./replicator.ts";
import { seededRandom } from "./seeded-random.ts";
import { VirtualClock } from "./virtual-clock.ts";

const NAMES = ["a", "b", "c"];

/** Three chassis; each runs what it holds after the time in `lagMs`. */
class Cluster {
  readonly clock = new VirtualClock();
  readonly random = seededRandom(3);
  readonly bus = new MemoryBus({
    ...{ random: this.random, setTimer: this.clock.setTimer, delayMinMs: 1, delayMaxMs: 2 },
  });
  readonly status: Record<string, Status> = { a: "alive", b: "alive", c: "alive" };
  readonly lagMs: Record<string, number> = { a: 5, b: 10, c: 20 };
  /** Whose disks take nothing more. */
  readonly full = new Set<string>();
  /** What the disk of each was given. */
  readonly kept: Record<string, string[]> = { a: [], b: [], c: [] };
  readonly members = NAMES.map((name) => this.#start(name));

  #start(name: string) {
    const { now, setTimer } = this.clock;
    const disk: Disk = {
      write: (records) => {
        if (this.full.has(name)) throw new Error("database or disk is full");
        for (const record of records) this.kept[name]!.push(record.name);
      },
      close() {},
    };
    const store = createMemoryStore(name, { disk, setTimer });
    const transport = this.bus.connect(name);
    const self = { name, incarnation: 1, underlay: "10.0.0.1" };
    const options = { store, transport, now, setTimer };
    const replicator = new Replicator({ ...options, self, random: this.random });
    const convergence = new Convergence({
      ...options,
      self: name,
      members: () =>
        NAMES.filter((other) => other !== name).map((other) => {
          return { name: other, status: this.status[other]! };
        }),
      waitApplied: (timeoutMs) => this.#run(this.lagMs[name]!, timeoutMs),
      want: (peer) => replicator.want(peer),
    });
    return { store, replicator, convergence, transport };
  }

  #run(lagMs: number, timeoutMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      this.clock.setTimer(() => resolve(lagMs <= timeoutMs), Math.min(lagMs, timeoutMs));
    });
  }

  /** A change at `a`: its vector. */
  write(name: string): Readonly<Record<string, number>> {
    const { store } = this.members[0]!;
    const document = { kind: "switch", name };
    assert.ok(store.transact([{ op: "put", document }], "user").ok);
    return { a: store.vector["a"]! };
  }

  /** Milliseconds until it was answered, whether it was reached, and who runs it. */
  async reach(vector: Readonly<Record<string, number>>, level: Level, timeoutMs = 3000) {
    const startMs = this.clock.now();
    let endMs = -1;
    const asked = this.members[0]!.convergence.reach(vector, level, timeoutMs).then((progress) => {
      endMs = this.clock.now();
      return progress;
    });
    for (let i = 0; i < 1000 && endMs < 0; i++) await this.clock.advance(5);
    const { isReached, chassis } = await asked;
    const running = chassis.filter(({ isApplied }) => isApplied).map(({ name }) => name);
    return { elapsedMs: endMs - startMs, isReached, running: running.join(), chassis };
  }

  stop(): void {
    for (const { convergence, replicator } of this.members) {
      convergence.stop();
      replicator.stop();
    }
  }
}

async function withCluster(run: (cluster: Cluster) => Promise<void>): Promise<void> {
  const cluster = new Cluster();
  await cluster.clock.advance(1500);
  await run(cluster);
  cluster.stop();
}

test("each level waits for those that it names, and for nobody else", async () => {
  await withCluster(async (cluster) => {
    const { a, b, c } = { a: 5, b: 10, c: 20 };
    const local = await cluster.reach(cluster.write("one"), "local");
    assert.deepEqual([local.isReached, local.running, local.elapsedMs], [true, "a", a]);
    const quorum = await cluster.reach(cluster.write("two"), "quorum");
    assert.equal(quorum.running, "a,b");
    assert.ok(quorum.elapsedMs >= b && quorum.elapsedMs < c, `${quorum.elapsedMs} ms`);
    const applied = await cluster.reach(cluster.write("three"), "applied");
    assert.deepEqual([applied.isReached, applied.running], [true, "a,b,c"]);
    assert.ok(applied.elapsedMs >= c && applied.elapsedMs < c + 10, `${applied.elapsedMs} ms`);
  });
});

test("who missed the message fetches what it is asked about", async () => {
  await withCluster(async (cluster) => {
    cluster.bus.lossRate = 1;
    const vector = cluster.write("lost");
    cluster.bus.lossRate = 0;
    const { isReached, running, elapsedMs } = await cluster.reach(vector, "applied");
    assert.deepEqual([isReached, running], [true, "a,b,c"]);
    assert.ok(elapsedMs < 200, `${elapsedMs} ms`);
  });
});

test("a chassis that is cut off holds up who waits for all, not the others", async () => {
  await withCluster(async (cluster) => {
    cluster.bus.partition([["a", "b"], ["c"]]);
    const vector = cluster.write("web");
    const quorum = await cluster.reach(vector, "quorum");
    assert.deepEqual([quorum.isReached, quorum.running], [true, "a,b"]);
    const late = await cluster.reach(vector, "applied", 500);
    assert.deepEqual([late.isReached, late.running], [false, "a,b"]);
    assert.deepEqual(late.chassis[2], {
      ...{ name: "c", status: "alive", isHeld: false, isApplied: false, revision: null },
    });
    cluster.clock.setTimer(() => {
      cluster.status["c"] = "dead";
    }, 700);
    const dead = await cluster.reach(vector, "applied");
    assert.deepEqual([dead.isReached, dead.running], [true, "a,b"]);
    assert.equal((await cluster.reach(vector, "quorum")).isReached, true);
    cluster.status["b"] = "dead";
    assert.equal((await cluster.reach(vector, "quorum", 300)).isReached, false);
  });
});

test("who cannot apply it says so", async () => {
  await withCluster(async (cluster) => {
    cluster.lagMs["b"] = Number.POSITIVE_INFINITY;
    const { isReached, chassis } = await cluster.reach(cluster.write("web"), "applied", 2500);
    assert.equal(isReached, false);
    const [, b, c] = chassis;
    assert.deepEqual([b!.isHeld, b!.isApplied, c!.isApplied], [true, false, true]);
    assert.equal(b!.revision, 1);
  });
});

test("a quorum has it on its disks, where others need not have it yet", async () => {
  await withCluster(async (cluster) => {
    for (const name of NAMES) cluster.lagMs[name] = 1;
    const applied = await cluster.reach(cluster.write("one"), "applied");
    assert.deepEqual([applied.running, cluster.kept["b"]], ["a,b,c", []]);
    const quorum = await cluster.reach(cluster.write("two"), "quorum");
    assert.equal(quorum.isReached, true);
    assert.ok(quorum.elapsedMs < BEHIND_MS, `${quorum.elapsedMs} ms`);
    assert.deepEqual([...cluster.kept["b"]!].sort(), ["one", "two"]);
    cluster.full.add("b").add("c");
    const vector = cluster.write("three");
    assert.equal((await cluster.reach(vector, "applied")).running, "a,b,c");
    const full = await cluster.reach(vector, "quorum", 300);
    assert.deepEqual([full.isReached, full.running], [false, "a"]);
    cluster.clock.setTimer(() => cluster.full.delete("c"), 200);
    const after = await cluster.reach(vector, "quorum");
    assert.deepEqual([after.isReached, after.running], [true, "a,c"]);
  });
});

test("who was asked does not run what it does not hold, and fetches it", async () => {
  await withCluster(async (cluster) => {
    const future = { a: cluster.write("web")["a"]! + 1000 };
    for (const level of ["local", "applied", "quorum"] as const) {
      const { isReached, running, chassis } = await cluster.reach(future, level, 300);
      assert.deepEqual([isReached, running], [false, ""], level);
      assert.ok(chassis.every(({ isHeld }) => !isHeld));
    }
    assert.equal((await cluster.reach({ stranger: 1 }, "local", 300)).isReached, false);

    cluster.bus.partition([["a"], ["b", "c"]]);
    const { store } = cluster.members[1]!;
    assert.ok(store.transact([{ op: "put", document: { kind: "switch", name: "db" } }], "user").ok);
    await cluster.clock.advance(100);
    cluster.bus.heal();
    const news = await cluster.reach({ b: store.vector["b"]! }, "local", 500);
    assert.deepEqual([news.isReached, news.running], [true, "a"]);
    assert.ok(news.elapsedMs < 200, `${news.elapsedMs} ms`);
  });
});

test("nonsense is not answered", async () => {
  await withCluster(async (cluster) => {
    const { transport } = cluster.members[0]!;
    const answer = transport.request("rhone.req.b.applied", new Uint8Array([1]), 100);
    const refused = assert.rejects(answer, /no answer/);
    await cluster.clock.advance(200);
    await refused;
  });
});
