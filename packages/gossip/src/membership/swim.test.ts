import assert from "node:assert/strict";
import { test } from "node:test";
import type { Claim, Status } from "./claim.ts";
import { CLAIMS_MAX, type Message } from "./messages.ts";
import { begin, dueMs, type Effect, type Event, MEMBERS_MAX, type State } from "./state.ts";
import { step } from "./swim.ts";

/** One machine, the others played by the test. */
class Machine {
  state: State = begin("a", 100, 0);
  nowMs = 0;

  constructor(names: readonly string[]) {
    this.feed({ type: "known", nowMs: 0, names });
  }

  feed(event: Event): Effect[] {
    const { state, effects } = step(this.state, event);
    this.state = state;
    return effects;
  }

  hear(from: string, type: Message["type"], fields: Partial<Message> = {}) {
    const message = { type, seq: 0, target: "", incarnation: 1, claims: [], ...fields };
    return sentOf(this.feed({ type: "message", nowMs: this.nowMs, from, message }));
  }

  tell(claims: readonly Claim[]): void {
    this.hear("z", "tell", { claims });
  }

  /** Lets time pass to the next tick. */
  tick(lateMs = 0): Effect[] {
    this.nowMs = dueMs(this.state) + lateMs;
    return this.feed({ type: "tick", nowMs: this.nowMs, lateMs, entropy: 1 });
  }

  /** All ticks up to that time. */
  until(nowMs: number): Sent[] {
    const sent = [];
    while (dueMs(this.state) <= nowMs) sent.push(...sentOf(this.tick()));
    return sent;
  }

  status(name: string): Status | undefined {
    return this.state.members.get(name)?.status;
  }
}

type Sent = Message & { readonly to: string; readonly way: string };

function sentOf(effects: readonly Effect[]): Sent[] {
  return effects.flatMap((effect) => {
    return effect.type === "send" ? [{ ...effect.message, to: effect.to, way: effect.way }] : [];
  });
}

function claim(name: string, status: Status, incarnation: number): Claim {
  return { name, status, incarnation, by: status === "suspect" ? "z" : "" };
}

test("of two claims the later incarnation counts, and of the same the worse", () => {
  const order: [Status, number][] = [
    ["alive", 1],
    ["suspect", 1],
    ["dead", 1],
    ["alive", 2],
    ["suspect", 2],
    ["dead", 3],
    ["suspect", 4],
  ];
  for (const [i, [status, incarnation]] of order.entries()) {
    for (const [earlier, at] of order.slice(0, i)) {
      const machine = new Machine(["b"]);
      machine.tell([claim("b", "alive", 1), claim("b", status, incarnation)]);
      machine.tell([claim("b", earlier, at)]);
      assert.equal(machine.status("b"), status, `${earlier} ${at} after ${status} ${incarnation}`);
    }
  }
});

test("whoever is accused and lives says so, and doubts itself", () => {
  const machine = new Machine(["b"]);
  const [ack] = machine.hear("b", "ping", { seq: 7, claims: [claim("a", "suspect", 100)] });
  assert.deepEqual([ack?.type, ack?.seq, ack?.incarnation], ["ack", 7, 101]);
  assert.equal(machine.state.health, 1);
  machine.tell([claim("a", "dead", 100)]);
  assert.equal(machine.state.incarnation, 101, "an old accusation was answered already");
  machine.tell([claim("a", "alive", 500)]);
  assert.equal(machine.state.incarnation, 501, "what an earlier start of us said is outdone");
});

test("who is accused learns of it with any message to it", () => {
  const machine = new Machine(["b"]);
  machine.tell([claim("b", "alive", 1), claim("b", "suspect", 1)]);
  const [ack] = machine.hear("b", "ping", { seq: 3 });
  assert.deepEqual(ack?.claims[0], claim("b", "suspect", 1));
  machine.hear("b", "ack", { incarnation: 2 });
  assert.equal(machine.status("b"), "alive");
});

test("a probe without an answer goes through others, then the member is suspect, then dead", () => {
  const machine = new Machine(["b"]);
  const probe = sentOf(machine.tick()).find(({ type }) => type === "ping")!;
  assert.equal(probe.to, "b");
  machine.hear("c", "tell");
  const asked = machine.until(250).filter(({ type }) => type === "ping-request");
  assert.deepEqual(
    asked.map(({ to, target, seq }) => [to, target, seq]),
    [["c", "b", probe.seq]],
  );
  machine.hear("c", "nack", { seq: probe.seq });
  while (machine.status("b") === "alive") machine.tick();
  assert.equal(machine.nowMs, 500);
  assert.equal(machine.state.health, 0, "c said that it got no answer either");
  const heard = answering(machine, "c");
  while (machine.status("b") === "suspect") heard();
  assert.equal(machine.status("b"), "dead");
});

/** A tick; each ping to `name` is answered. */
function answering(machine: Machine, name: string): () => void {
  return () => {
    for (const { to, type, seq } of sentOf(machine.tick())) {
      if (to === name && type === "ping") machine.hear(name, "ack", { seq });
    }
  };
}

test("a ping goes one way first and all ways then, and is answered where it came from", () => {
  const machine = new Machine(["b"]);
  const waysOf = (sent: readonly Sent[]) => sent.map(({ to, type, way }) => `${to} ${type} ${way}`);
  const pings = (sent: readonly Sent[]) => waysOf(sent.filter(({ type }) => type === "ping"));
  assert.deepEqual(pings(sentOf(machine.tick())), ["b ping once"]);
  assert.deepEqual(pings(machine.until(250)), ["b ping surely"]);
  assert.deepEqual(waysOf(machine.hear("b", "ping", { seq: 7 })), ["b ack back"]);
});

test("who was heard of late is not asked, and a suspect is asked at once", () => {
  const machine = new Machine(["b", "c"]);
  const pinged = (sent: readonly Sent[]) => {
    return sent.filter(({ type, way }) => type === "ping" && way === "once").map(({ to }) => to);
  };
  machine.nowMs = 400;
  for (const name of ["b", "c"]) machine.hear(name, "ping", { seq: 1 });
  assert.deepEqual(pinged(machine.until(1000)), []);
  machine.nowMs = 1000;
  machine.hear("b", "ping", { seq: 2 });
  assert.deepEqual(pinged(machine.until(1500)), ["c"]);
  const [c] = [...machine.state.members.values()].filter(({ name }) => name === "c");
  machine.hear("c", "ack", { seq: machine.state.probe!.seq });
  machine.tell([claim("c", "suspect", c!.incarnation + 1)]);
  assert.deepEqual(pinged(machine.until(machine.nowMs)), ["c"]);
});

test("an answer through another counts, one that nobody was asked for does not", () => {
  const machine = new Machine(["b"]);
  const probe = sentOf(machine.tick()).find(({ type }) => type === "ping")!;
  machine.hear("c", "ack", { seq: probe.seq });
  assert.notEqual(machine.state.probe, null, "c was not asked");
  machine.until(250);
  machine.hear("c", "ack", { seq: probe.seq + 1 });
  assert.notEqual(machine.state.probe, null, "not the number of the probe");
  machine.hear("c", "ack", { seq: probe.seq });
  assert.equal(machine.state.probe, null);
});

test("a ping for another is passed on, answered in its number, or said to be in vain", () => {
  const machine = new Machine(["b", "c"]);
  const [ping] = machine.hear("b", "ping-request", { seq: 9, target: "c" });
  assert.deepEqual([ping?.to, ping?.type], ["c", "ping"]);
  const [ack] = machine.hear("c", "ack", { seq: ping!.seq });
  assert.deepEqual([ack?.to, ack?.type, ack?.seq], ["b", "ack", 9]);
  machine.hear("b", "ping-request", { seq: 10, target: "c" });
  const nack = machine.until(400).find(({ type }) => type === "nack");
  assert.deepEqual([nack?.to, nack?.seq], ["b", 10]);
  assert.deepEqual(machine.hear("b", "ping-request", { seq: 11, target: "nobody" }), []);
});

test("time in which we did not run ourselves is held against nobody", () => {
  const machine = new Machine(["b", "c"]);
  machine.tell([claim("b", "alive", 1), claim("b", "suspect", 1)]);
  machine.tick(60_000);
  assert.equal(machine.status("b"), "suspect");
  assert.equal(machine.state.health, 7);
});

test("memory and messages stay bounded, whoever claims whatever", () => {
  const machine = new Machine(["b"]);
  for (let i = 0; i < MEMBERS_MAX + 100; i += 10) {
    machine.tell(Array.from({ length: 10 }, (_, j) => claim(`n${i + j}`, "alive", 1)));
  }
  assert.equal(machine.state.members.size, MEMBERS_MAX);
  assert.deepEqual(machine.hear("stranger", "ping", { seq: 1 }), []);
  machine.tell([claim("unknown", "dead", 1), claim("unknown", "suspect", 1)]);
  assert.equal(machine.status("unknown"), undefined);
  for (let i = 0; i < 200; i++) machine.hear("b", "ping-request", { seq: i, target: "n1" });
  assert.equal(machine.state.relays.length, 64);
  for (const { claims } of sentOf(machine.tick())) assert.ok(claims.length <= CLAIMS_MAX);
});

test("the dead that nobody names are forgotten after an hour, the others are not", () => {
  const machine = new Machine(["b", "c"]);
  for (const name of ["b", "c"]) machine.tell([claim(name, "dead", 5)]);
  machine.feed({ type: "known", nowMs: machine.nowMs, names: ["b"] });
  machine.nowMs += 3_600_000;
  machine.feed({ type: "tick", nowMs: machine.nowMs, lateMs: 0, entropy: 1 });
  assert.equal(machine.status("b"), "dead");
  assert.equal(machine.status("c"), undefined);
});
