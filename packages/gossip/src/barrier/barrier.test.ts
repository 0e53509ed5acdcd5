/** The barrier between chassis on virtual time, with real stores and replicators. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Vector } from "@rhone/state/ledger";
import { createMemoryStore } from "@rhone/state/memory-store";
import type { Status } from "../membership/claim.ts";
import { MemoryBus } from "../memory-transport.ts";
import { Replicator } from "../replicator.ts";
import { seededRandom } from "../seeded-random.ts";
import { VirtualClock } from "../virtual-clock.ts";
import { ANSWER_WAIT_MS, Barrier, HOLD_WAIT_MS, RELEASE_WAIT_MS } from "./barrier.ts";

const GATHER_MS = 5;
const GATHER_OTHERS_MS = 30;
const PACE_MS = 25;
const PACE_ASKED_MS = 10;
const WAITING_MAX = 4;

interface Table {
  readonly edition: number;
  readonly revision: number;
  readonly root: string;
  readonly vector: Vector;
  /** What is written in it: nobody deletes anything here. */
  readonly names: ReadonlySet<string>;
}

interface Begun extends Table {
  readonly atMs: number;
}

/** One chassis: compiles as the controller does; its workers hold tables after `holdMs`. */
class Member {
  readonly name: string;
  readonly begun: Begun[] = [];
  readonly compiled: Table[] = [];
  held = 0;
  holdMs = 1;
  isUrgent = false;
  readonly #cluster: Cluster;
  readonly store;
  readonly transport;
  readonly replicator: Replicator;
  readonly barrier: Barrier;
  #cancel: (() => void) | null = null;
  #dueMs = 0;
  #isDammed = false;
  #compiledMs = Number.NEGATIVE_INFINITY;

  constructor(cluster: Cluster, name: string, hasBarrier: boolean) {
    const { now, setTimer } = cluster.clock;
    this.#cluster = cluster;
    this.name = name;
    this.store = createMemoryStore(name);
    this.transport = cluster.bus.connect(name);
    const self = { name, incarnation: 1, underlay: "10.0.0.1" };
    const { store, transport } = this;
    this.replicator = new Replicator({
      ...{ store, transport, self, now, setTimer, random: cluster.random },
    });
    this.barrier = new Barrier({
      ...{ self: name, now, setTimer, vector: () => store.vector },
      begin: (edition) => {
        this.begun.push({ ...this.compiled.find((t) => t.edition === edition)!, atMs: now() });
        cluster.onBegin(this);
        if (this.#isDammed) this.#mark(0, 0);
      },
      hurry: () => this.#mark(0, PACE_ASKED_MS),
    });
    store.onChange((_entries, source) => {
      this.#mark(source === "local" ? GATHER_MS : GATHER_OTHERS_MS);
      this.barrier.onChange();
    });
    this.compile();
    if (!hasBarrier) return;
    this.barrier.connect({ transport, want: (peer) => this.replicator.want(peer) });
  }

  get current(): Begun {
    return this.begun.at(-1)!;
  }

  write(...names: readonly string[]): void {
    for (const name of names) {
      const change = { op: "put", document: { kind: "switch", name } } as const;
      assert.ok(this.store.transact([change], "user").ok);
    }
  }

  compile(): void {
    this.#cancel?.();
    this.#cancel = null;
    this.#isDammed = this.barrier.waitingCount >= WAITING_MAX;
    if (this.#isDammed) return;
    const { now, setTimer } = this.#cluster.clock;
    this.#compiledMs = now();
    const { vector, revision, root } = this.store;
    const edition = this.compiled.length + 1;
    const names = new Set(this.store.snapshot().switches.map(({ name }) => name));
    this.compiled.push({ edition, vector, revision, root, names });
    this.barrier.publish(edition, { vector, revision, root }, this.isUrgent);
    setTimer(() => {
      this.held = Math.max(this.held, edition);
      this.barrier.hold(edition);
    }, this.holdMs);
  }

  /** What a packet of a generation runs under here. */
  find(revision: number): Table {
    const held = this.compiled.filter(({ edition }) => edition <= this.held);
    return held.findLast((table) => table.revision <= revision) ?? this.current;
  }

  #mark(gatherMs: number, paceMs = PACE_MS): void {
    const { now, setTimer } = this.#cluster.clock;
    const dueMs = Math.max(now() + gatherMs, this.#compiledMs + paceMs);
    if (this.#cancel !== null && this.#dueMs <= dueMs) return;
    this.#cancel?.();
    this.#dueMs = dueMs;
    this.#cancel = setTimer(() => this.compile(), dueMs - now());
  }
}

interface Conditions {
  /** Those of a version without a barrier. */
  readonly old?: readonly string[];
  readonly delayMaxMs?: number;
  readonly seed?: number;
}

class Cluster {
  readonly clock = new VirtualClock();
  readonly random: () => number;
  readonly bus: MemoryBus;
  readonly members: Member[] = [];
  /** Begins where somebody does not hold a write in it at all. */
  unheld = 0;
  /** Begins where somebody would run a packet of it under tables that lack a write in it. */
  early = 0;
  /** And those where the state there is any other. */
  mixed = 0;

  constructor(names: readonly string[], { old = [], delayMaxMs = 2, seed = 7 }: Conditions = {}) {
    this.random = seededRandom(seed);
    const { random, clock } = this;
    this.bus = new MemoryBus({ random, setTimer: clock.setTimer, delayMinMs: 1, delayMaxMs });
    for (const name of names) this.members.push(new Member(this, name, !old.includes(name)));
  }

  member(name: string): Member {
    return this.members.find((member) => member.name === name)!;
  }

  onBegin(member: Member): void {
    const { revision, root, names } = member.current;
    const others = this.members.filter((other) => other !== member && other.begun.length > 0);
    const found = others.map((other) => other.find(revision));
    const isIn = (table: Table): boolean => names.isSubsetOf(table.names);
    if (!found.every(isIn)) this.early++;
    if (!others.every((other) => isIn(other.find(Number.POSITIVE_INFINITY)))) this.unheld++;
    if (found.some((table) => table.root !== root)) this.mixed++;
  }

  status(name: string, status: Status): void {
    for (const { name: at, barrier } of this.members) {
      if (at !== name) barrier.onMember(name, status);
    }
  }

  stop(): void {
    for (const { barrier, replicator } of this.members) {
      barrier.stop();
      replicator.stop();
    }
  }
}

/** A cluster whose members know each other. */
async function withCluster(
  run: (cluster: Cluster, a: Member, b: Member, c: Member) => Promise<void>,
  conditions: Conditions = {},
): Promise<void> {
  const cluster = new Cluster(["a", "b", "c"], conditions);
  await cluster.clock.advance(100);
  for (const { name } of cluster.members) cluster.status(name, "alive");
  await cluster.clock.advance(2000);
  Object.assign(cluster, { early: 0, mixed: 0, unheld: 0 });
  const [a, b, c] = cluster.members;
  await run(cluster, a!, b!, c!);
  cluster.stop();
}

/** Milliseconds until all of `members` have begun what `from` has written. */
async function begins({ clock }: Cluster, from: Member, members: readonly Member[]) {
  const startMs = clock.now();
  const clockOf = from.store.vector[from.name]!;
  for (let i = 0; i < 2000; i++) {
    if (members.every(({ current }) => (current.vector[from.name] ?? 0) >= clockOf)) break;
    await clock.advance(1);
  }
  return clock.now() - startMs;
}

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
  assert.ok(elapsedMs <= GATHER_MS + 2, `${elapsedMs} ms`);
  cluster.stop();
});

test("writes without pause at one chassis begin one after the other, and never mixed", async () => {
  await withCluster(async (cluster, a, b, c) => {
    const before = [a, b, c].map(({ begun }) => begun.length);
    for (let i = 0; i < 500; i++) {
      a.write(`s${i}`);
      await cluster.clock.advance(2);
      assert.ok(a.barrier.waitingCount < 4, `${a.barrier.waitingCount} wait`);
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
      for (const member of members) member.write(`${member.name}${i}`);
      await cluster.clock.advance(2);
      for (const { name, barrier, compiled, current } of members) {
        assert.ok(barrier.waitingCount < 8, `${barrier.waitingCount} wait at ${name}`);
        // What workers hold: what is begun must be among them.
        assert.ok(compiled.length - current.edition < 8, `${name} has begun ${current.edition}`);
      }
    }
    for (const { begun } of members) assert.ok(begun.length >= 20, `${begun.length}`);
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
        members[Math.floor(cluster.random() * 3)]!.write(`s${i}`);
        await cluster.clock.advance(cluster.random() ** 3 * 120);
      }
      await cluster.clock.advance(3000);
      const overdue = members.reduce((sum, { barrier }) => sum + barrier.counts.overdue, 0);
      assert.deepEqual([overdue, cluster.unheld], [0, 0], `seed ${seed}`);
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
    a.compile(); // As when a device comes.
    await cluster.clock.advance(2);
    assert.equal(a.current.edition, edition + 1);
    cluster.bus.lossRate = 1;
    a.write("one");
    a.isUrgent = true;
    a.compile();
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
