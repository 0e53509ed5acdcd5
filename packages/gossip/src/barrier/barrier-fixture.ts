/** Chassis with a barrier on virtual time, with real stores and replicators. */
import assert from "node:assert/strict";
import type { Vector } from "@rhone/state/ledger";
import { createMemoryStore } from "@rhone/state/memory-store";
import type { Status } from "../membership/claim.ts";
import { MemoryBus } from "../memory-transport.ts";
import { Replicator } from "../replicator.ts";
import { seededRandom } from "../seeded-random.ts";
import { EDITIONS_HELD } from "../simulation/tables.ts";
import { VirtualClock } from "../virtual-clock.ts";
import { Barrier } from "./barrier.ts";
import { Gathering } from "./gathering.ts";

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
export class Member {
  readonly name: string;
  readonly begun: Begun[] = [];
  readonly compiled: Table[] = [];
  held = 0;
  holdMs = 1;
  readonly #cluster: Cluster;
  readonly store;
  readonly transport;
  readonly replicator: Replicator;
  readonly barrier: Barrier;
  readonly gathering: Gathering;

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
      ...{ self: name, editionsMax: EDITIONS_HELD, now, setTimer, vector: () => store.vector },
      begin: (edition) => {
        this.begun.push({ ...this.compiled.find((t) => t.edition === edition)!, atMs: now() });
        cluster.onBegin(this);
        this.gathering.onBegin();
      },
      hurry: () => this.gathering.follow(),
    });
    this.gathering = new Gathering({
      ...{ now, setTimer, waiting: () => this.barrier, editionsMax: EDITIONS_HELD },
      compile: (isUrgent) => this.#compile(isUrgent),
    });
    store.onChange((entries, source) => {
      const isAsked = entries.every(({ version }) => this.barrier.asks(version.origin));
      if (source === "local") this.gathering.markWritten();
      else if (isAsked) this.gathering.markAsked();
      else this.gathering.mark();
      this.barrier.onChange();
    });
    this.gathering.compile();
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

  #compile(isUrgent: boolean): void {
    const { setTimer } = this.#cluster.clock;
    const { vector, revision, root } = this.store;
    const edition = this.compiled.length + 1;
    const names = new Set(this.store.snapshot().switches.map(({ name }) => name));
    this.compiled.push({ edition, vector, revision, root, names });
    this.barrier.publish(edition, { vector, revision, root }, isUrgent);
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
}

interface Conditions {
  /** Those of a version without a barrier. */
  readonly old?: readonly string[];
  readonly delayMaxMs?: number;
  readonly seed?: number;
}

export class Cluster {
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
    for (const { barrier, gathering, replicator } of this.members) {
      gathering.stop();
      barrier.stop();
      replicator.stop();
    }
  }
}

/** A cluster whose members know each other. */
export async function withCluster(
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
export async function begins({ clock }: Cluster, from: Member, members: readonly Member[]) {
  const startMs = clock.now();
  const clockOf = from.store.vector[from.name]!;
  for (let i = 0; i < 2000; i++) {
    if (members.every(({ current }) => (current.vector[from.name] ?? 0) >= clockOf)) break;
    await clock.advance(1);
  }
  return clock.now() - startMs;
}
