/** For tests: a cluster of replicators on one virtual clock and a bus in memory. */
import assert from "node:assert/strict";
import { createMemoryStore } from "@rhone/state/memory-store";
import type { Store } from "@rhone/state/store";
import { MemoryBus, type MemoryTransport } from "./memory-transport.ts";
import { Replicator } from "./replicator.ts";
import { seededRandom } from "./seeded-random.ts";
import { VirtualClock } from "./virtual-clock.ts";

export interface Member {
  readonly name: string;
  readonly store: Store;
  readonly transport: MemoryTransport;
  replicator: Replicator;
}

export class Cluster {
  readonly clock = new VirtualClock();
  readonly bus: MemoryBus;
  readonly members: Member[] = [];
  /** Of all members together: what was not taken, "reason who", and how often. */
  readonly refused = new Map<string, number>();
  readonly #random: () => number;
  #incarnation = 0;

  constructor(names: readonly string[], seed = 1) {
    this.#random = seededRandom(seed);
    const { setTimer } = this.clock;
    this.bus = new MemoryBus({ random: this.#random, setTimer, delayMinMs: 0.2, delayMaxMs: 3 });
    for (const name of names) this.join(name);
  }

  join(name: string, store = createMemoryStore(name)): Member {
    const transport = this.bus.connect(name);
    const member = { name, store, transport, replicator: this.#replicate(name, store, transport) };
    this.members.push(member);
    return member;
  }

  /** Stops the chassis' process and starts it again; its store is on disk. */
  restart(member: Member): void {
    member.replicator.stop();
    member.replicator = this.#replicate(member.name, member.store, member.transport);
  }

  get isConverged(): boolean {
    return new Set(this.members.map((member) => member.replicator.hash)).size === 1;
  }

  /** Milliseconds until all hold the same. */
  async converge(withinMs: number): Promise<number> {
    const startMs = this.clock.now();
    while (!this.isConverged && this.clock.now() - startMs < withinMs) await this.clock.advance(5);
    assert.ok(this.isConverged, `not the same after ${withinMs} ms`);
    const [first, ...others] = this.members.map((member) => member.store.entries());
    for (const entries of others) assert.deepEqual(entries, first);
    return this.clock.now() - startMs;
  }

  #replicate(name: string, store: Store, transport: MemoryTransport): Replicator {
    const { now, setTimer } = this.clock;
    const self = { name, incarnation: ++this.#incarnation, underlay: "10.0.0.1" };
    const onRefusal = (reason: string, who: string): void => {
      const what = `${reason} ${who}`;
      this.refused.set(what, (this.refused.get(what) ?? 0) + 1);
    };
    const random = this.#random;
    return new Replicator({ store, transport, self, now, setTimer, random, onRefusal });
  }
}

export function put(member: Member | undefined, name: string, description = "x"): void {
  const document = { kind: "switch", name, description };
  const result = member!.store.transact([{ op: "put", document }], "user");
  assert.equal(result.ok, true);
}
