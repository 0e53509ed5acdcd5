import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, encode, type Message } from "@rhone/gossip/codec";
import { MemoryBus, type MemoryTransport } from "@rhone/gossip/memory-transport";
import { Refusals } from "@rhone/gossip/refusals";
import * as subjects from "@rhone/gossip/subjects";
import { VirtualClock } from "@rhone/gossip/virtual-clock";
import { bindingName } from "@rhone/state/claim";
import { createMemoryStore } from "@rhone/state/memory-store";
import type { Change, Store } from "@rhone/state/store";
import { type MovedPage, RECORD_WORDS, VERSION } from "@rhone/tables/moved-connections";
import { pino } from "pino";
import { ConnectionMoves } from "./connection-moves.ts";

const ZONE = { vni: 7, port: 3 };

/** So many connections, each told from the others by its ports. */
function recordsOf(count: number): Int32Array {
  const records = new Int32Array(count * RECORD_WORDS);
  for (let i = 0; i < count; i++) {
    records[i * RECORD_WORDS + VERSION] = 4;
    records[i * RECORD_WORDS + 10] = i;
  }
  return records;
}

/** One chassis, without a data plane. */
interface Party {
  readonly moves: ConnectionMoves;
  readonly store: Store;
  readonly refusals: Refusals;
  readonly transport: MemoryTransport;
  /** The connections of the port here. */
  held: Int32Array;
  readonly taken: number[];
  forgotten: number;
  isSettled: boolean;
}

class World {
  readonly clock = new VirtualClock();
  readonly bus = new MemoryBus({ random: () => 0.5, setTimer: this.clock.setTimer });
  readonly dead = new Set<string>();
  readonly parties = new Map<string, Party>();

  constructor(...names: string[]) {
    for (const name of names) this.parties.set(name, this.#join(name));
    for (const [i, name] of names.entries()) {
      const document = { kind: "chassis", name, underlay: `192.168.0.${i + 1}`, version: "1" };
      this.write({ op: "put", document: { ...document, workers: 1, workersMax: 1 } });
    }
    this.write({ op: "put", document: { kind: "switch", name: "s" } });
    this.port({ chassis: "a" });
    this.claim("a", 1);
  }

  at(name: string): Party {
    return this.parties.get(name)!;
  }

  /** As if gossip took no time. */
  write(change: Change): void {
    for (const { store } of this.parties.values()) {
      const result = store.transact([change], "chassis");
      assert.ok(result.ok, JSON.stringify(result));
    }
  }

  port(fields: object): void {
    const document = { kind: "port", name: "vm", switch: "s", addresses: [], device: "vm" };
    this.write({ op: "put", document: { ...document, ...fields } });
  }

  claim(chassis: string, epoch: number, standby = false): void {
    const name = bindingName("vm", chassis);
    const document = { kind: "binding", name, port: "vm", chassis, epoch, standby, up: true };
    this.write({ op: "put", document });
  }

  #join(name: string): Party {
    const store = createMemoryStore(name);
    const transport = this.bus.connect(name);
    const refusals = new Refusals({ now: this.clock.now });
    const party = { store, refusals, transport, held: new Int32Array(), taken: [] as number[] };
    const rest = { forgotten: 0, isSettled: true };
    const moves = new ConnectionMoves({
      ...{ self: name, store, transport, refusals },
      devices: () => [{ port: "vm", phase: "up" }],
      isDead: (chassis) => this.dead.has(chassis),
      zoneOf: () => ZONE,
      collect: (_, after, limit): MovedPage => {
        const end = (after + limit) * RECORD_WORDS;
        const { held } = this.at(name);
        return {
          records: held.slice(after * RECORD_WORDS, end),
          next: end < held.length ? after + limit : null,
        };
      },
      take: (_, records) => {
        const { isSettled, taken } = this.at(name);
        if (isSettled) taken.push(records.length / RECORD_WORDS);
        return isSettled;
      },
      forget: () => {
        this.at(name).forgotten++;
        return true;
      },
      setTimer: this.clock.setTimer,
      log: pino({ level: "silent" }),
    });
    return Object.assign(party, rest, { moves });
  }
}

test("who stands by asks beforehand, and twice more when the port is its own", async () => {
  const world = new World("a", "b");
  const [a, b] = [world.at("a"), world.at("b")];
  a.held = recordsOf(3000);
  await world.clock.advance(1000);
  world.port({ chassis: "a", migration: { chassis: "b", device: "vm" } });
  world.claim("b", 2, true);
  await world.clock.advance(100);
  const pages = [1260, 1260, 480];
  assert.deepEqual(b.taken.splice(0), pages, "as many as a message holds");
  world.claim("b", 2, true);
  await world.clock.advance(5000);
  assert.deepEqual([b.taken, a.forgotten], [[], 0], "once is enough");
  world.claim("b", 2);
  await world.clock.advance(100);
  assert.deepEqual(b.taken.splice(0), pages);
  await world.clock.advance(200);
  assert.deepEqual(b.taken.splice(0), pages, "of those that came after the first time");
  await world.clock.advance(10_000);
  assert.deepEqual(b.taken, []);
  assert.ok(a.forgotten > 0);
  assert.deepEqual(a.moves.counts, { arrived: 0, departed: 6000 });
  assert.deepEqual(b.moves.counts, { arrived: 9000, departed: 0 });
  assert.equal(b.forgotten, 0);
});

test("a port that comes back at once finds its connections: nobody forgot them", async () => {
  const world = new World("a", "b");
  world.port({}); // It may be anywhere.
  world.at("a").held = recordsOf(1);
  world.claim("b", 2);
  await world.clock.advance(1000);
  assert.deepEqual(world.at("b").taken, [1, 1]);
  world.claim("a", 3);
  await world.clock.advance(10_000);
  assert.equal(world.at("a").forgotten, 0);
});

test("a dead chassis is not asked, and one that does not answer three times", async () => {
  const world = new World("a", "b");
  world.port({});
  world.dead.add("a");
  world.claim("b", 2);
  await world.clock.advance(5000);
  assert.deepEqual(world.at("b").taken, []);
  world.claim("a", 3);
  await world.clock.advance(1000);
  world.dead.delete("a");
  let requests = 0;
  world.at("a").moves.stop();
  world.at("a").transport.subscribe(subjects.connections("a"), () => requests++);
  world.claim("b", 4);
  await world.clock.advance(5000);
  assert.equal(requests, 3);
  assert.deepEqual(world.at("b").taken, []);
});

test("connections wait until the workers can take them", async () => {
  const world = new World("a", "b");
  world.port({});
  world.at("a").held = recordsOf(1);
  world.at("b").isSettled = false;
  world.claim("b", 2);
  await world.clock.advance(500);
  assert.deepEqual(world.at("b").taken, []);
  world.at("b").isSettled = true;
  await world.clock.advance(50);
  assert.deepEqual(world.at("b").taken, [1]);
});

test("only who claims the port is answered, maybe a little later", async () => {
  const world = new World("a", "b", "c");
  world.at("a").held = recordsOf(1);
  const ask = async (): Promise<Message | null> => {
    const request = { type: "connections-request", from: "c", port: "vm", after: 0 } as const;
    const data = encode({ ...request, isLast: false });
    await world.clock.advance(1);
    const { transport } = world.at("c");
    const reply = transport.request(subjects.connections("a"), data, 1000).catch(() => null);
    await world.clock.advance(100);
    world.claim("c", 1, isLate);
    await world.clock.advance(2000);
    const answer = await reply;
    return answer === null ? null : decode(answer);
  };
  let isLate = true;
  assert.equal((await ask())?.type, "connections-reply");
  isLate = false;
  world.write({ op: "delete", kind: "binding", name: bindingName("vm", "c") });
  world.claim = () => {};
  assert.equal(await ask(), null);
  assert.deepEqual(world.at("a").refusals.counts, { "connections-no-claim": 1 });
});

test("answers that nobody makes are refused and counted", async () => {
  const good = { type: "connections-reply", from: "a", layout: 1, next: null } as const;
  const records = new Uint8Array(recordsOf(1).buffer);
  const flawed = recordsOf(1);
  flawed[VERSION] = 5;
  const answers = [
    new Uint8Array([1, 2, 3]),
    encode({ ...good, from: "x", records }),
    encode({ ...good, layout: 2, records }),
    encode({ ...good, records: new Uint8Array(flawed.buffer) }),
    encode({ ...good, records: records.subarray(4) }),
  ];
  for (const answer of answers) {
    const world = new World("a", "b");
    world.port({});
    world.at("a").moves.stop();
    world.at("a").transport.subscribe(subjects.connections("a"), (_, respond) => respond(answer));
    world.claim("b", 2);
    await world.clock.advance(2000);
    assert.deepEqual(world.at("b").taken, []);
    assert.deepEqual(world.at("b").refusals.counts, { "connections-malformed": 1 });
  }
});
