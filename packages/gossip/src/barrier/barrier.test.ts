/** The barrier between chassis on virtual time, with real stores and replicators. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ANSWER_WAIT_MS, HOLD_WAIT_MS, RELEASE_WAIT_MS } from "./barrier.ts";
import { begins, Cluster, withCluster } from "./barrier-fixture.ts";

test("a write begins everywhere when all hold it, and is known to all before", async () => {
  await withCluster(async (cluster, a, b, c) => {
    c.holdMs = 20;
    for (const writer of [a, b, c]) {
      writer.write("one", `of-${writer.name}`);
      const elapsedMs = await begins(cluster, writer, cluster.members);
      assert.ok(elapsedMs >= 20 && elapsedMs < 40, `${elapsedMs} ms`);
      const roots = new Set(cluster.members.map(({ current }) => current.root));
      assert.equal(roots.size, 1);
      await cluster.clock.advance(100);
    }
    assert.deepEqual([cluster.early, cluster.mixed], [0, 0]);
    assert.ok([a, b].every(({ barrier }) => barrier.waitingCount === 0));
  });
});

test("a chassis alone waits for its own workers only", async () => {
  const cluster = new Cluster(["a"]);
  const [a] = cluster.members;
  await cluster.clock.advance(100);
  a!.write("one");
  const elapsedMs = await begins(cluster, a!, [a!]);
  assert.ok(elapsedMs <= 2, `${elapsedMs} ms`);
  cluster.stop();
});

test("writes without pause at one chassis begin one after the other, and never mixed", async () => {
  await withCluster(async (cluster, a, b, c) => {
    const before = [a, b, c].map(({ begun }) => begun.length);
    for (let i = 0; i < 500; i++) {
      if (!a.barrier.isBusy) a.write(`s${i}`);
      await cluster.clock.advance(2);
      assert.ok(a.barrier.waitingCount <= 4, `${a.barrier.waitingCount} wait`);
    }
    for (const [i, { begun }] of [a, b, c].entries()) {
      const count = begun.length - before[i]!;
      assert.ok(count >= 20, `${count} generations in 1000 ms`);
    }
    assert.deepEqual([cluster.early, cluster.mixed], [0, 0]);
  });
});

test("writes of all at the same time begin, at the same time or not at all", async () => {
  await withCluster(async (cluster, ...members) => {
    for (let round = 0; round < 20; round++) {
      for (const member of members) {
        member.write(`${member.name}${round}`);
        await cluster.clock.advance(cluster.random() * 4);
      }
      for (const member of members) {
        const elapsedMs = await begins(cluster, member, members);
        assert.ok(elapsedMs < 100, `${elapsedMs} ms`);
      }
      await cluster.clock.advance(60);
    }
    assert.deepEqual([cluster.early, cluster.mixed], [0, 0]);
  });
});

test("writes without pause at all chassis still begin", async () => {
  await withCluster(async (cluster, ...members) => {
    for (let i = 0; i < 500; i++) {
      for (const member of members) {
        if (!member.barrier.isBusy) member.write(`${member.name}${i}`);
      }
      await cluster.clock.advance(2);
      for (const { name, barrier, compiled, current } of members) {
        assert.ok(barrier.waitingCount < 8, `${barrier.waitingCount} wait at ${name}`);
        // What workers hold: what is begun must be among them.
        assert.ok(compiled.length - current.edition < 8, `${name} has begun ${current.edition}`);
      }
    }
    for (const { begun } of members) {
      assert.ok(begun.length >= 6, `${begun.length}`);
    }
  });
});

test("a chassis that hangs holds up one change, for as long as the limit", async () => {
  await withCluster(async (cluster, a, b, c) => {
    cluster.bus.partition([["a", "b"], ["c"]]);
    a.write("one");
    const firstMs = await begins(cluster, a, [a, b]);
    assert.ok(firstMs >= ANSWER_WAIT_MS && firstMs < ANSWER_WAIT_MS + 30, `${firstMs} ms`);
    a.write("two");
    const secondMs = await begins(cluster, a, [a, b]);
    assert.ok(secondMs < 40, `${secondMs} ms`);
    cluster.bus.heal();
    await cluster.clock.advance(2000);
    assert.equal(c.current.root, a.current.root);
    cluster.early = 0;
    a.write("three"); // By its answer it takes part again.
    await begins(cluster, a, [a, b, c]);
    await cluster.clock.advance(100);
    cluster.early = 0;
    c.holdMs = 30;
    a.write("four");
    const lastMs = await begins(cluster, a, [a, b, c]);
    assert.ok(lastMs >= 30 && lastMs < 60, `${lastMs} ms`);
    assert.equal(cluster.early, 0);
  });
});

test("nobody waits for a chassis that is dead", async () => {
  await withCluster(async (cluster, a, b) => {
    cluster.bus.partition([["a", "b"], ["c"]]);
    a.write("one");
    await cluster.clock.advance(40);
    assert.notEqual(a.current.root, a.store.root);
    cluster.status("c", "dead");
    assert.equal(a.current.root, a.store.root);
    await cluster.clock.advance(5);
    assert.equal(b.current.root, a.store.root);
    b.write("two");
    const elapsedMs = await begins(cluster, b, [a, b]);
    assert.ok(elapsedMs < 40, `${elapsedMs} ms`);
  });
});

test("the write of an origin that falls silent begins after a time", async () => {
  await withCluster(async (cluster, a, b, c) => {
    a.holdMs = 1000; // Others hold it before it can say so.
    a.write("one");
    await cluster.clock.advance(20);
    cluster.bus.partition([["b", "c"], ["a"]]);
    const elapsedMs = await begins(cluster, a, [b, c]);
    assert.ok(elapsedMs < RELEASE_WAIT_MS, `${elapsedMs} ms`);
    assert.ok(elapsedMs > RELEASE_WAIT_MS - 30, `${elapsedMs} ms`);
    b.write("two");
    const nextMs = await begins(cluster, b, [b]);
    assert.ok(nextMs <= ANSWER_WAIT_MS + 30, `${nextMs} ms`);
  });
});

test("who misses the word to begin asks for it", async () => {
  await withCluster(async (cluster, a, _b, c) => {
    a.write("one");
    for (let i = 0; i < 100 && c.held < c.compiled.length + 1; i++) {
      if ((c.compiled.at(-1)!.vector["a"] ?? 0) >= a.store.vector["a"]!) break;
      await cluster.clock.advance(1);
    }
    await cluster.clock.advance(3); // Its answer is on its way.
    cluster.bus.partition([["a", "b"], ["c"]]);
    await cluster.clock.advance(10);
    cluster.bus.heal();
    const elapsedMs = await begins(cluster, a, [c]);
    assert.ok(elapsedMs < 100, `${elapsedMs} ms`);
  });
});

test("who missed the change itself is waited for while it fetches it", async () => {
  await withCluster(async (cluster, a) => {
    cluster.bus.lossRate = 1;
    a.write("one");
    cluster.bus.lossRate = 0;
    const elapsedMs = await begins(cluster, a, cluster.members);
    assert.ok(elapsedMs < 100, `${elapsedMs} ms`);
    assert.equal(cluster.early, 0);
  });
});

test("with loss, repetition and disorder everything begins in the end", async () => {
  await withCluster(async (cluster, ...members) => {
    cluster.bus.lossRate = 0.2;
    cluster.bus.repeatRate = 0.2;
    for (let i = 0; i < 300; i++) {
      members[i % 3]!.write(`s${i}`);
      await cluster.clock.advance(cluster.random() * 20);
    }
    cluster.bus.lossRate = 0;
    await cluster.clock.advance(4000);
    for (const { store, current } of members) assert.equal(current.root, store.root);
    assert.equal(new Set(members.map(({ store }) => store.root)).size, 1);
  });
});

test("however late, often and out of order: nobody begins what another does not hold", async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const conditions = { seed, delayMaxMs: seed * 2 };
    await withCluster(async (cluster, ...members) => {
      cluster.bus.repeatRate = 0.3;
      for (let i = 0; i < 60; i++) {
        const member = members[Math.floor(cluster.random() * 3)]!;
        if (!member.barrier.isBusy) member.write(`s${i}`);
        await cluster.clock.advance(cluster.random() ** 3 * 120);
      }
      await cluster.clock.advance(3000);
      const overdue = members.reduce((sum, { barrier }) => sum + barrier.counts.overdue, 0);
      const apart = members.reduce((sum, { barrier }) => sum + barrier.counts.apart, 0);
      const seen = [overdue, apart, cluster.unheld, cluster.early, cluster.mixed];
      assert.deepEqual(seen, [0, 0, 0, 0, 0], `seed ${seed}`);
      for (const { store, current } of members) assert.equal(current.root, store.root);
    }, conditions);
  }
});

test("a chassis of a version that knows no barrier is not waited for", async () => {
  await withCluster(
    async (cluster, a, b) => {
      a.write("one");
      const elapsedMs = await begins(cluster, a, [a, b]);
      assert.ok(elapsedMs < 40, `${elapsedMs} ms`);
    },
    { old: ["c"] },
  );
});

test("what only its own workers need to hold does not wait for others", async () => {
  await withCluster(async (cluster, a) => {
    const { edition } = a.current;
    a.gathering.compile(); // As when a device comes.
    await cluster.clock.advance(2);
    assert.equal(a.current.edition, edition + 1);
    cluster.bus.lossRate = 1;
    a.write("one");
    a.gathering.compile(true);
    await cluster.clock.advance(2);
    assert.equal(a.current.edition, edition + 2);
  });
});

test("a worker that hangs holds up the chassis for as long as the limit", async () => {
  await withCluster(async (cluster, a, b, c) => {
    a.holdMs = 10_000;
    a.write("one");
    const elapsedMs = await begins(cluster, a, [a, b, c]);
    assert.ok(elapsedMs >= HOLD_WAIT_MS && elapsedMs < HOLD_WAIT_MS + 60, `${elapsedMs} ms`);
  });
});

test("however slow: nobody begins what meets anything else at another chassis", async () => {
  for (let seed = 1; seed <= 30; seed++) {
    const conditions = { seed, delayMaxMs: 20 };
    await withCluster(async (cluster, ...members) => {
      for (let i = 0; i < 60; i++) {
        for (const member of members) member.holdMs = 1 + cluster.random() ** 3 * 60;
        members[0]!.write(`s${i}`);
        await cluster.clock.advance(cluster.random() * 150);
      }
      await cluster.clock.advance(3000);
      const overdue = members.reduce((sum, { barrier }) => sum + barrier.counts.overdue, 0);
      const apart = members.reduce((sum, { barrier }) => sum + barrier.counts.apart, 0);
      const seen = [overdue, apart, cluster.early, cluster.mixed];
      assert.deepEqual(seen, [0, 0, 0, 0], `seed ${seed}`);
      for (const { store, current } of members) assert.equal(current.root, store.root);
    }, conditions);
  }
});
