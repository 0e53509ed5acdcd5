import assert from "node:assert/strict";
import { test } from "node:test";
import { getHeapStatistics } from "node:v8";
import * as tcp from "@rhone/wire/tcp";
import fc from "fast-check";
import {
  ack,
  CLIENT,
  connection,
  handshake,
  newEntry,
  read,
  SERVER,
  type Segment,
  syn,
  synAck,
  verdict,
  wordsOf,
} from "../test/segments.ts";
import * as connections from "./connections.ts";
import * as tracker from "./tcp-tracker.ts";

const { ACK, FIN, PSH, RST, SYN } = tcp;

test("a handshake leads to an established connection, and its timeouts follow the states", () => {
  const entry = newEntry();
  const timeouts = handshake.map(([isReply, segment]) => {
    read(segment);
    assert.equal(tracker.classify(entry, isReply), tracker.VALID);
    return tracker.track(entry, isReply);
  });
  assert.deepEqual(timeouts, [30_000, 30_000, 86_400_000]);
  assert.equal(connections.state(entry), tracker.ESTABLISHED);
});

test("a close from either end goes through its states to time wait", () => {
  for (const [first, second] of [
    [CLIENT, SERVER],
    [SERVER, CLIENT],
  ] as const) {
    const seqOf = (end: boolean): number => (end === CLIENT ? 101 : 501);
    const entry = connection(...handshake);
    const close = (end: boolean, flags: number, seq: number, ackOf: number): number => {
      read({ flags, seq, ack: ackOf });
      assert.equal(tracker.classify(entry, end), tracker.VALID);
      return tracker.track(entry, end);
    };
    assert.equal(close(first, FIN | ACK, seqOf(first), seqOf(second)), 900_000);
    assert.equal(close(second, ACK, seqOf(second), seqOf(first) + 1), 900_000);
    assert.equal(close(second, FIN | ACK, seqOf(second), seqOf(first) + 1), 30_000);
    assert.equal(close(first, ACK, seqOf(first) + 1, seqOf(second) + 1), 45_000);
    assert.equal(verdict(entry, CLIENT, { flags: SYN, seq: 9000 }), tracker.REOPENS);
  }
});

test("a reset closes within the window, and is nothing outside of it", () => {
  const entry = connection(...handshake);
  assert.equal(verdict(entry, SERVER, { flags: RST, seq: 501 + 2000 }), tracker.INVALID);
  assert.equal(verdict(entry, SERVER, { flags: RST, seq: 501 }), tracker.VALID);
  read({ flags: RST, seq: 501 });
  assert.equal(tracker.track(entry, SERVER), 10_000);
});

test("a refused SYN is answered by a reset without a sequence number", () => {
  const entry = connection(syn);
  assert.equal(verdict(entry, SERVER, { flags: RST | ACK, seq: 0, ack: 101 }), tracker.VALID);
  assert.equal(verdict(entry, SERVER, { flags: RST | ACK, seq: 0, ack: 9999 }), tracker.INVALID);
});

test("data must lie in the window that the receiver opened", () => {
  const entry = connection(...handshake);
  const data = { flags: ACK | PSH, ack: 501, payload: 500 };
  assert.equal(verdict(entry, CLIENT, { ...data, seq: 101 }), tracker.VALID);
  assert.equal(verdict(entry, CLIENT, { ...data, seq: 1101 }), tracker.VALID, "its first byte");
  assert.equal(verdict(entry, CLIENT, { ...data, seq: 1102 }), tracker.INVALID);
  assert.equal(verdict(entry, CLIENT, { ...data, seq: 101 - 1600 }), tracker.INVALID, "too old");
  assert.equal(verdict(entry, CLIENT, { ...data, seq: 101, ack: 502 }), tracker.INVALID);
  assert.equal(verdict(entry, CLIENT, { ...data, seq: 101, ack: 501 - 66_001 }), tracker.INVALID);
});

test("windows are scaled when both SYNs say so, and not when one does", () => {
  const pair = (clientScale: number | undefined, serverScale: number | undefined): number => {
    const scaled = (segment: Segment, scale: number | undefined): Segment =>
      scale === undefined ? segment : { ...segment, scale };
    return connection(
      [CLIENT, scaled(syn[1], clientScale)],
      [SERVER, scaled(synAck[1], serverScale)],
      ack,
      [SERVER, { flags: ACK, seq: 501, ack: 101 }],
    );
  };
  const far = { flags: ACK, ack: 501, payload: 1, seq: 101 + 7 * 1000 };
  assert.equal(verdict(pair(2, 3), CLIENT, far), tracker.VALID);
  assert.equal(verdict(pair(undefined, 3), CLIENT, far), tracker.INVALID);
  assert.equal(verdict(pair(2, undefined), CLIENT, far), tracker.INVALID);
});

test("sequence numbers go on over their end", () => {
  const top = 0xffff_ff00 | 0;
  const entry = connection(
    [CLIENT, { flags: SYN, seq: top }],
    [SERVER, { flags: SYN | ACK, seq: 500, ack: top + 1 }],
    [CLIENT, { flags: ACK, seq: top + 1, ack: 501 }],
    [CLIENT, { flags: ACK, seq: top + 1, ack: 501, payload: 600 }],
    [SERVER, { flags: ACK, seq: 501, ack: (top + 601) | 0 }],
  );
  assert.equal(connections.state(entry), tracker.ESTABLISHED);
  const next = { flags: ACK, seq: (top + 601) | 0, ack: 501, payload: 400 };
  assert.equal(verdict(entry, CLIENT, next), tracker.VALID);
});

test("two ends that call each other meet", () => {
  const entry = connection(
    syn,
    [SERVER, { flags: SYN, seq: 500 }],
    [CLIENT, { flags: SYN | ACK, seq: 100, ack: 501 }],
    [SERVER, { flags: SYN | ACK, seq: 500, ack: 101 }],
    ack,
  );
  assert.equal(connections.state(entry), tracker.ESTABLISHED);
});

test("a connection that is older than its entry is picked up", () => {
  const entry = connection(
    [CLIENT, { flags: ACK | PSH, seq: 7000, ack: 9000, payload: 10 }],
    [SERVER, { flags: ACK, seq: 9000, ack: 7010, window: 50 }],
    // Neither SYN was seen, so the window may be scaled by as much as there is.
    [CLIENT, { flags: ACK, seq: 7010 + 60_000, ack: 9000, payload: 100 }],
  );
  assert.equal(connections.state(entry), tracker.ESTABLISHED);
});

test("before the receiver has said anything, what is sent again is no older than a window", () => {
  const entry = connection(
    [CLIENT, { flags: ACK | PSH, seq: 7000, ack: 9000, payload: 500 }],
    [CLIENT, { flags: ACK | PSH, seq: 7500, ack: 9000, payload: 500 }],
  );
  read({ flags: ACK | PSH, seq: 7000, ack: 9000, payload: 500 });
  assert.equal(tracker.classify(entry, CLIENT), tracker.VALID);
});

test("what begins nothing: answers, resets, segments without a flag", () => {
  const begins = (flags: number): boolean => {
    read({ flags, seq: 1, ack: 1 });
    return tracker.mayBegin();
  };
  assert.deepEqual([SYN, ACK, PSH | ACK].map(begins), [true, true, true]);
  assert.deepEqual(
    [SYN | ACK, RST, RST | ACK, FIN | ACK, 0, PSH].map(begins),
    Array(6).fill(false),
  );
});

test("the fast path takes data of an established connection and tracks it as the stages do", () => {
  const slow = connection(...handshake);
  const fast = connection(...handshake);
  const segments: [boolean, Segment][] = [
    [CLIENT, { flags: ACK | PSH, seq: 101, ack: 501, payload: 300 }],
    [SERVER, { flags: ACK, seq: 501, ack: 401, window: 700 }],
    [SERVER, { flags: ACK | PSH, seq: 501, ack: 401, payload: 64 }],
    [CLIENT, { flags: ACK, seq: 401, ack: 565 }],
  ];
  for (const [isReply, segment] of segments) {
    read(segment);
    assert.equal(tracker.classify(slow, isReply), tracker.VALID);
    tracker.track(slow, isReply);
    assert.ok(tracker.trackSteady(fast, isReply));
    assert.deepEqual(wordsOf(fast), wordsOf(slow));
  }
  for (const flags of [SYN, FIN | ACK, RST, 0]) {
    read({ flags, seq: 401, ack: 565 });
    assert.equal(tracker.trackSteady(fast, CLIENT), false, `flags ${flags}`);
  }
  read({ flags: ACK, seq: 401 + 5000, ack: 565 });
  assert.equal(tracker.trackSteady(fast, CLIENT), false, "outside the window");
});

test("for any segments the fast path does what the stages do, or nothing", () => {
  const offset = fc.constantFrom(-70_000, -1500, -1, 0, 1, 64, 1500, 70_000);
  const steps = fc.record({
    isReply: fc.boolean(),
    flags: fc.constantFrom(ACK, ACK, ACK, ACK | PSH, ACK | FIN, RST, RST | ACK, SYN, SYN | ACK, 0),
    ahead: offset,
    acknowledged: offset,
    window: fc.constantFrom(0, 1, 1000, 65_535),
    payload: fc.constantFrom(0, 0, 1, 1448, 64_000), // The last is a super-frame's.
  });
  const begins = fc.constantFrom<readonly [boolean, Segment][]>(handshake, [ack]);
  fc.assert(
    fc.property(begins, fc.array(steps, { maxLength: 30 }), (begin, list) => {
      const [slow, fast] = [connection(...begin), connection(...begin)];
      const ends = [101, 501];
      for (const { isReply, flags, ahead, acknowledged, window, payload } of list) {
        const [own, other] = isReply ? [1, 0] : [0, 1];
        const seq = (ends[own]! + ahead) | 0;
        const segment = { flags, seq, ack: (ends[other]! + acknowledged) | 0, window, payload };
        const isValid = verdict(slow, isReply, segment) === tracker.VALID;
        const lifetime = isValid ? tracker.track(slow, isReply) : 0;
        const before = wordsOf(fast);
        if (tracker.trackSteady(fast, isReply)) {
          assert.ok(isValid);
          assert.equal(lifetime, 86_400_000);
        } else {
          assert.deepEqual(wordsOf(fast), before);
          if (isValid) tracker.track(fast, isReply);
        }
        assert.deepEqual(wordsOf(fast), wordsOf(slow));
        if (isValid) ends[own] = (seq + payload) | 0;
      }
      for (const entry of [slow, fast]) connections.remove(entry);
    }),
  );
});

test("a million segments allocate nothing", () => {
  const entry = connection(
    [CLIENT, { flags: SYN, seq: -2 }],
    [SERVER, { flags: SYN | ACK, seq: -2, ack: -1 }],
    [CLIENT, { flags: ACK, seq: -1, ack: -1 }],
  );
  const segment = { flags: ACK, seq: -1, ack: -1 }; // Both ends may send it.
  let steady = 0;
  const allocatedBy = (count: number): number => {
    const before = getHeapStatistics().total_allocated_bytes;
    for (let i = 0; i < count; i++) {
      const isReply = (i & 1) !== 0;
      read(segment);
      if (tracker.trackSteady(entry, isReply)) steady++;
      if (tracker.classify(entry, isReply) === tracker.VALID) tracker.track(entry, isReply);
    }
    return (getHeapStatistics().total_allocated_bytes - before) / count;
  };
  // The compiler may be late; what allocates for a segment does so in every round.
  let bytes = allocatedBy(1_000_000);
  for (let i = 1; i < 10 && bytes > 1; i++) bytes = allocatedBy(1_000_000);
  assert.ok(bytes <= 1, `expected at most 1 byte a segment, got ${bytes}`);
  assert.ok(steady >= 1_000_000);
});

test("a reset without a sequence number closes nothing that has begun", () => {
  const entry = connection(...handshake);
  assert.equal(verdict(entry, SERVER, { flags: RST }), tracker.INVALID);
  assert.equal(verdict(entry, CLIENT, { flags: RST }), tracker.INVALID);
  assert.equal(verdict(connection(syn), SERVER, { flags: RST }), tracker.INVALID, "no answer");
});

test("a reset that is not the very next is left to the receiver (RFC 5961 §3.2)", () => {
  const data = { flags: ACK, seq: 101, ack: 501, payload: 300 };
  const stateAfter = (seq: number): number => {
    // The client has acknowledged up to 501; the server has sent 100 bytes more.
    const sent = { flags: ACK, seq: 501, ack: 101, payload: 100 };
    const entry = connection(...handshake, [SERVER, sent], [CLIENT, data]);
    assert.equal(verdict(entry, SERVER, { flags: RST, seq }), tracker.VALID);
    read({ flags: RST, seq });
    const lifetime = tracker.track(entry, SERVER);
    const isOpen = connections.state(entry) === tracker.ESTABLISHED;
    assert.equal(lifetime, isOpen ? 86_400_000 : 10_000);
    assert.equal(verdict(entry, CLIENT, { ...data, seq: 401 }), tracker.VALID);
    return connections.state(entry);
  };
  assert.notEqual(stateAfter(501), tracker.ESTABLISHED, "what the client waits for");
  assert.notEqual(stateAfter(601), tracker.ESTABLISHED, "what the server would send");
  assert.equal(stateAfter(502), tracker.ESTABLISHED);
  assert.equal(stateAfter(1400), tracker.ESTABLISHED);
  const entry = connection(...handshake);
  assert.equal(verdict(entry, SERVER, { flags: RST, seq: 500 }), tracker.INVALID, "had already");
});

test("flags that no end sends together are no segment", () => {
  for (const flags of [SYN | FIN, SYN | FIN | ACK, SYN | RST, RST | FIN, SYN | FIN | RST | ACK]) {
    read({ flags, seq: 101, ack: 501 });
    assert.equal(tracker.mayBegin(), false);
    assert.equal(verdict(connection(...handshake), CLIENT, { flags, seq: 101, ack: 501 }), 1);
  }
});

test("a connection is picked up with a megabyte on its way", () => {
  const mebibyte = 2 ** 20;
  const data = { flags: ACK, seq: mebibyte, ack: 9000, payload: 1448, window: 500 };
  const picked = (): number => connection([CLIENT, data]);
  const answer = { flags: ACK, seq: 9000, window: 500 };
  assert.equal(verdict(picked(), SERVER, { ...answer, ack: 1448 }), tracker.VALID, "far behind");
  const ahead = { ...answer, ack: 2 * mebibyte };
  assert.equal(verdict(picked(), SERVER, ahead), tracker.VALID, "of segments that came before");
  const entry = connection([CLIENT, data], [SERVER, ahead]);
  assert.equal(verdict(entry, CLIENT, { ...data, seq: 2 * mebibyte }), tracker.VALID);
  assert.equal(verdict(entry, CLIENT, { ...data, seq: 1448 }), tracker.VALID, "sent again");
  assert.equal(verdict(entry, SERVER, { ...answer, ack: 2 ** 31 - 1 }), tracker.INVALID);
  // Nothing closes it by guessing.
  read({ flags: RST, seq: 9000 + 5000 });
  if (tracker.classify(entry, SERVER) === tracker.VALID) tracker.track(entry, SERVER);
  assert.equal(connections.state(entry), tracker.ESTABLISHED);
});

test("while only one end of an old connection is seen, it may go on sending", () => {
  const block = 60_000;
  const data = { flags: ACK, ack: 9000, payload: block, window: 1 };
  const entry = connection([CLIENT, { ...data, seq: 0 }]);
  for (let i = 1; i < 100; i++) {
    const next = { ...data, seq: i * block };
    assert.equal(verdict(entry, CLIENT, next), tracker.VALID, `block ${i}`);
    tracker.track(entry, CLIENT);
  }
});

test("a SYN that comes again, with or without its data, leaves the handshake whole", () => {
  const fast: [boolean, Segment] = [CLIENT, { flags: SYN, seq: 100, payload: 500 }];
  const entry = connection(fast, syn);
  const taken = { flags: SYN | ACK, seq: 500, ack: 601 };
  assert.equal(verdict(entry, SERVER, taken), tracker.VALID, "it had the data (RFC 7413)");
  const other = connection(syn, [CLIENT, { flags: SYN, seq: -5_000_000 }]);
  const answer = { ...taken, ack: -4_999_999 };
  assert.equal(verdict(other, SERVER, answer), tracker.VALID, "another number, before the first");
  assert.equal(verdict(other, SERVER, { ...taken, ack: 101 }), tracker.INVALID);
});

test("of two ends that call each other, the first may send a full window at once", () => {
  const entry = connection(
    syn,
    [SERVER, { flags: SYN, seq: 500 }],
    [SERVER, { flags: SYN | ACK, seq: 500, ack: 101 }],
    [CLIENT, { flags: SYN | ACK, seq: 100, ack: 501 }],
    [CLIENT, { flags: ACK, seq: 101, ack: 501, payload: 500 }],
    [CLIENT, { flags: ACK, seq: 601, ack: 501, payload: 500 }],
  );
  assert.equal(connections.state(entry), tracker.ESTABLISHED);
});

test("ends that both forgot their connection begin it anew", () => {
  const entry = connection(
    ...handshake,
    [CLIENT, { flags: SYN, seq: 7_000_000, scale: 2 }],
    [SERVER, { flags: SYN | ACK, seq: -9_000_000, ack: 7_000_001, scale: 3 }],
    [CLIENT, { flags: ACK, seq: 7_000_001, ack: -8_999_999, payload: 900 }],
    [SERVER, { flags: ACK, seq: -8_999_999, ack: 7_000_901, payload: 900 }],
  );
  assert.equal(connections.state(entry), tracker.ESTABLISHED);
  const far = { flags: ACK, seq: 7_000_901 + 7900, ack: -8_999_099 };
  assert.equal(verdict(entry, CLIENT, far), tracker.VALID, "the new windows are scaled");
  const late = { flags: ACK, seq: 101, ack: 501 };
  assert.equal(verdict(entry, CLIENT, late), tracker.INVALID, "the former connection is over");
});

test("a SYN alone, or an answer to another one, begins nothing anew", () => {
  const again: [boolean, Segment] = [CLIENT, { flags: SYN, seq: 7_000_000 }];
  const wrong = { flags: SYN | ACK, seq: -9_000_000, ack: 7_000_002 };
  for (const entry of [
    connection(...handshake, again),
    connection(...handshake, again, [SERVER, wrong]),
    connection(...handshake, [SERVER, { ...wrong, ack: 0 }]),
  ]) {
    assert.equal(connections.state(entry), tracker.ESTABLISHED);
    const data = { flags: ACK, seq: 101, ack: 501, payload: 100 };
    assert.equal(verdict(entry, CLIENT, data), tracker.VALID);
    assert.equal(verdict(entry, CLIENT, { ...data, seq: 7_000_001 }), tracker.INVALID);
  }
});
