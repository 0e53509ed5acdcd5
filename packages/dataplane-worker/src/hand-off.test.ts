import assert from "node:assert/strict";
import { test } from "node:test";
import { Core } from "@rhone/pipeline-stages/core";
import { GOES_ON } from "@rhone/pipeline-stages/parse";
import { buildTables, PEER, VM1, VM3 } from "@rhone/pipeline-stages/test-network";
import { COUNTERS_SIZE, Counters } from "@rhone/rings/counters";
import { DROP, type DropReasonName } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import { RULE_COUNTERS_SIZE, RuleCounters } from "@rhone/rings/rule-counters";
import { SlotAllocator } from "@rhone/rings/slot-allocator";
import type { EndpointKeys, KeyWords } from "@rhone/tables/endpoints";
import { LOCATED_HERE, STANDBY } from "@rhone/tables/ports";
import { parseAddress } from "@rhone/wire/address";
import * as geneve from "@rhone/wire/geneve";
import * as resume from "@rhone/wire/resume";
import fc from "fast-check";
import {
  includeStamp,
  readRingPacket,
  readTunnelPacket,
  readyForRing,
  writeStamp,
} from "./hand-off.ts";
import { writeTag } from "./stamp-tag.ts";
import { TableHistory } from "./table-history.ts";

const { bytes, view, smallCount, largeCount } = poolViews();
const KEY: KeyWords = [1, -2, 3, -4];
const OLD_KEY: KeyWords = [5, 6, 7, 8];
const NEXT_KEY: KeyWords = [9, 10, 11, 12];
const peerKeys: EndpointKeys = { send: KEY, receive: [KEY, OLD_KEY, NEXT_KEY] };
const tables = buildTables(7, [], peerKeys);
const history = new TableHistory(tables);
const core = new Core(
  0,
  new Counters(new SharedArrayBuffer(COUNTERS_SIZE)),
  new SlotAllocator({ smallCount, largeCount }, 0, 1, [null], []),
  tables,
  new RuleCounters(new SharedArrayBuffer(RULE_COUNTERS_SIZE)),
);
const slot = core.allocator.takeSmall();

/** A packet from vm3 at the other chassis to vm1 here, with its stamp in front. */
function makePacket(): void {
  const at = packet.defaultFrameAt(slot);
  packet.begin(slot, at, 60, -1);
  bytes.fill(0, at, at + 60);
  view.setUint16(at + 12, 0x88b5); // A local experiment: nothing to parse behind it.
  packet.setStage(slot, 8);
  packet.setDatapath(slot, 0);
  packet.setInPort(slot, VM3);
  packet.setOutPort(slot, VM1);
  packet.setGeneration(slot, 7);
  packet.setIdentity(slot, 0x80000001 | 0);
  packet.setOrigin(slot, 2);
  packet.setFlags(slot, packet.FLAG_ROUTED | packet.FLAG_FROM_TUNNEL);
  packet.setFlowHash(slot, 0x12345678);
  packet.setTtlDecrements(slot, 1);
  assert.equal(writeStamp(tables, slot, resume.REASON_EGRESS), GOES_ON);
}

type Change = (header: number, option: number) => void;

/**
 * What the tunnel reader says to the packet after `change` had the Geneve header and the option,
 * before the tag was written: the sender has the key and makes a mistake.
 */
function readChanged(change: Change): number {
  return readFrom(PEER, change, () => {});
}

/** As `readChanged`, with a change on the way too, and from any address. */
function readFrom(source: string, change: Change, onTheWay: Change, held = history): number {
  makePacket();
  includeStamp(slot);
  const at = packet.frameAt(slot);
  packet.begin(slot, at, packet.length(slot), -1);
  change(at, at + geneve.BASE_SIZE);
  writeTag(tables, slot, 0);
  onTheWay(at, at + geneve.BASE_SIZE);
  core.key.set(parseAddress(source)!);
  return readTunnelPacket(held, core, slot);
}

test("what a stamp carries arrives at the other side", () => {
  assert.equal(
    readChanged(() => {}),
    GOES_ON,
  );
  assert.equal(packet.frameAt(slot), packet.defaultFrameAt(slot));
  assert.equal(packet.length(slot), 60);
  assert.equal(packet.stage(slot), 8);
  assert.equal(packet.inPort(slot), VM3);
  assert.equal(packet.outPort(slot), VM1);
  assert.equal(packet.generation(slot), 7);
  assert.equal(packet.identity(slot), 0x80000001);
  assert.equal(packet.origin(slot), 2);
  assert.equal(packet.flags(slot), packet.FLAG_ROUTED | packet.FLAG_FROM_TUNNEL);
  assert.equal(packet.handOffsLeft(slot), packet.HAND_OFFS_MAX - 1);
  assert.equal(packet.ttlDecrements(slot), 1);
});

test("a port that went to another chassis is reached there, also under older tables", () => {
  const away = new Map([[VM1, STANDBY]]);
  const gone = buildTables(8, [], peerKeys, new Map(), [], [], [], away);
  const before = readChanged(() => {});
  const held = new TableHistory(gone, tables);
  const after = readFrom(
    PEER,
    () => {},
    () => {},
    held,
  );
  assert.deepEqual([before, after], [GOES_ON, GOES_ON]);
  assert.equal(packet.generation(slot), 8, "under the old ones it would be delivered here");
  assert.equal(gone.ports.location(packet.outPort(slot)), 0);
  const elsewhere: Change = (_, option) => view.setUint16(option + 8, VM3 + 1);
  assert.notEqual(
    readFrom(PEER, elsewhere, () => {}, held),
    GOES_ON,
    "others have no device here",
  );
});

test("what began under tables of which we hold none goes on under the newest", () => {
  const longGone: Change = (_, option) => view.setUint32(option + 14, 6);
  const ahead: Change = (_, option) => view.setUint32(option + 14, 8);
  for (const change of [longGone, ahead]) {
    assert.equal(readChanged(change), GOES_ON);
    assert.equal(packet.generation(slot), 7);
    assert.equal(packet.outPort(slot), VM1);
  }
});

test("a packet through a ring keeps what the stamp has no room for", () => {
  makePacket();
  packet.setGsoType(slot, 1);
  packet.setFlags(slot, packet.flags(slot) | packet.FLAG_REPLY_TO_INGRESS);
  packet.setInPort(slot, packet.NO_PORT);
  assert.equal(readRingPacket(history, core, slot), GOES_ON);
  assert.equal(packet.inPort(slot), VM3);
  assert.equal(packet.flowHash(slot), 0x12345678);
  assert.equal(packet.gsoType(slot), 1);
  assert.notEqual(packet.flags(slot) & packet.FLAG_REPLY_TO_INGRESS, 0);
});

test("a packet that never crossed to another chassis goes through a ring", () => {
  for (const isHeld of [true, false]) {
    const at = packet.defaultFrameAt(slot);
    packet.begin(slot, at, 60, 0);
    packet.setStage(slot, 1);
    packet.setDatapath(slot, 0);
    packet.setInPort(slot, VM1);
    packet.setGeneration(slot, 7);
    assert.equal(readyForRing(tables, slot, isHeld), GOES_ON);
    assert.equal(readRingPacket(history, core, slot), GOES_ON);
    assert.equal(packet.inPort(slot), VM1);
    assert.equal(packet.enteredBy(slot), VM1);
    assert.equal(packet.handOffsLeft(slot), packet.HAND_OFFS_MAX);
    assert.equal(packet.ringHopsLeft(slot), packet.RING_HOPS_MAX - 1);
  }
});

test("only a worker that holds the packet's tables gets it without a stamp", () => {
  const stampAt = packet.defaultFrameAt(slot) - resume.HEADER_SIZE;
  for (const isHeld of [true, false]) {
    makePacket();
    bytes.fill(0, stampAt, stampAt + resume.HEADER_SIZE);
    assert.equal(readyForRing(tables, slot, isHeld), GOES_ON);
    const stamp = bytes.subarray(stampAt, stampAt + resume.HEADER_SIZE);
    assert.equal(
      stamp.some((byte) => byte !== 0),
      !isHeld,
    );
    assert.equal(readRingPacket(history, core, slot), GOES_ON);
    assert.equal(packet.flags(slot), packet.FLAG_ROUTED | packet.FLAG_FROM_TUNNEL);
    assert.equal(packet.inPort(slot), VM3);
    assert.equal(packet.outPort(slot), VM1);
  }
});

test("an unstamped packet whose tables are gone is dropped by name", () => {
  makePacket();
  assert.equal(readyForRing(tables, slot, true), GOES_ON);
  const reason = readRingPacket(new TableHistory(buildTables(8)), core, slot);
  assert.equal(reason, DROP["stamp-generation"]);
});

test("tables with the same number are told apart: their rows may mean something else", () => {
  const others = buildTables(7);
  const both = new TableHistory(others, tables);
  makePacket();
  assert.equal(readyForRing(tables, slot, true), GOES_ON);
  assert.equal(readRingPacket(both, core, slot), GOES_ON);
  assert.equal(both.at(both.foundAge), tables);
  assert.equal(packet.generation(slot), 7);
  makePacket();
  assert.equal(readyForRing(tables, slot, false), GOES_ON);
  assert.equal(readRingPacket(new TableHistory(others), core, slot), GOES_ON, "by its stamp");
});

test("with a stamp or without, packets of the same tables go on under the same", () => {
  const newer = buildTables(7);
  const held = new TableHistory(newer, tables);
  // The worker did not hold them when the first one went there, and did when the second one went.
  for (const isHeld of [false, true]) {
    makePacket();
    assert.equal(readyForRing(tables, slot, isHeld), GOES_ON);
    assert.equal(readRingPacket(held, core, slot), GOES_ON);
    assert.equal(held.at(held.foundAge), tables, "or the second one overtakes the first");
    assert.equal(packet.generation(slot), 7);
  }
});

test("what is of tables that are gone, or not here yet, keeps its place among the others", () => {
  const [older, newer, begun] = [buildTables(7), buildTables(7), buildTables(7)];
  const held = new TableHistory(begun, newer, older);
  const ahead = buildTables(7);
  const ages = [tables, older, newer, begun, ahead].map((own) => {
    makePacket();
    assert.equal(readyForRing(own, slot, false), GOES_ON);
    assert.equal(readRingPacket(held, core, slot), GOES_ON);
    return held.foundAge;
  });
  assert.deepEqual(ages, [2, 2, 1, 0, 0]);
});

test("a flood goes on as a flood", () => {
  makePacket();
  packet.setOutPort(slot, packet.FLOOD);
  packet.setHandOffsLeft(slot, 4);
  writeStamp(tables, slot, resume.REASON_EGRESS);
  assert.equal(readRingPacket(history, core, slot), GOES_ON);
  assert.equal(packet.outPort(slot), packet.FLOOD);
});

test("a packet crosses ten times to another chassis and sixteen times to a worker", () => {
  const cross = () => writeStamp(tables, slot, 0);
  const hop = () => readyForRing(tables, slot, true);
  for (const [go, other, left] of [
    [cross, hop, 9], // One is made already.
    [hop, cross, 16],
  ] as const) {
    makePacket();
    for (let i = 0; i < left; i++) assert.equal(go(), GOES_ON);
    assert.equal(go(), DROP["stamp-hand-offs"]);
    assert.equal(other(), GOES_ON);
  }
});

const OTHER_OPTION = 0x0102;

const refusals: readonly [DropReasonName, string, (header: number, option: number) => void][] = [
  ["tunnel-version", "an unknown version", (header) => view.setUint8(header, 0x48)],
  ["tunnel-malformed", "options longer than the packet", (header) => view.setUint8(header, 0x3f)],
  ["tunnel-malformed", "options that do not add up", (_, option) => view.setUint8(option + 3, 31)],
  ["tunnel-control", "a control packet", (header) => view.setUint8(header + 1, 0xc0)],
  ["tunnel-protocol", "a payload that is IP", (header) => view.setUint16(header + 2, 0x0800)],
  ["tunnel-malformed", "a clear C bit", (header) => view.setUint8(header + 1, 0)],
  ["tunnel-no-stamp", "no stamp", (_, option) => view.setUint16(option, OTHER_OPTION, false)],
  ["stamp-hand-offs", "more hand-offs than there are", (_, o) => view.setUint8(o + 5, 0xa0)],
  ["stamp-stage", "a stage without resume", (_, option) => view.setUint8(option + 4, 0x61)],
  ["stamp-datapath", "an unknown network", (header) => view.setUint32(header + 4, 999 << 8)],
  ["stamp-port", "an unknown port", (_, option) => view.setUint16(option + 8, 999)],
  ["stamp-port", "no egress port", (_, option) => view.setUint16(option + 8, 0)],
  [
    "stamp-not-here",
    "a port that is elsewhere",
    (_, option) => view.setUint16(option + 8, VM3 + 1),
  ],
];

for (const [reason, what, change] of refusals) {
  test(`refuses ${what} as ${reason}`, () => {
    const changed = (header: number, option: number): void => {
      change(header, option);
      // Without its critical bit, the foreign option alone is harmless.
      if (reason === "tunnel-no-stamp") view.setUint8(option + 2, 0x01);
    };
    assert.equal(readChanged(changed), DROP[reason]);
  });
}

test("refuses a foreign critical option", () => {
  const change = (_: number, option: number): void => view.setUint16(option, OTHER_OPTION);
  assert.equal(readChanged(change), DROP["tunnel-unknown-critical"]);
});

test("knows the tunnel endpoints and nobody else", () => {
  const nothing: Change = () => {};
  assert.equal(readFrom(PEER, nothing, nothing), GOES_ON);
  assert.equal(readFrom("192.168.100.3", nothing, nothing), DROP["tunnel-source-unknown"]);
});

test("a key of the hour before or behind is good, any other is not", () => {
  const nothing: Change = () => {};
  const tryKey = (key: KeyWords): number => {
    const sender = buildTables(7, [], { send: key, receive: [key, key, key] });
    return readFrom(PEER, nothing, () => {
      makePacket();
      includeStamp(slot);
      packet.begin(slot, packet.frameAt(slot), packet.length(slot), -1);
      writeTag(sender, slot, 0);
    });
  };
  assert.equal(tryKey(OLD_KEY), GOES_ON);
  assert.equal(tryKey(NEXT_KEY), GOES_ON);
  assert.equal(tryKey([1, -2, 3, 4]), DROP["stamp-tag"]);
});

/** Inner frames by what they are, with the bytes of headers that a tag has to cover. */
const FRAMES: Readonly<Record<string, [frame: Uint8Array, headers: number]>> = {
  "unknown payload": [Uint8Array.from({ length: 60 }, (_, i) => (i === 12 ? 0x88 : 0xb5)), 22],
  "IPv4 and TCP with options": [innerFrame(0x0800, ipv4Header(6), tcpHeader(32)), 14 + 20 + 32],
  "IPv4 and UDP": [innerFrame(0x0800, ipv4Header(17), Array(20).fill(1)), 14 + 20 + 8],
  "IPv6 and TCP": [innerFrame(0x86dd, ipv6Header(6), tcpHeader(20)), 14 + 40 + 20],
  "IPv6, destination options and UDP": [
    innerFrame(0x86dd, ipv6Header(60), [17, 0, 1, 4, 0, 0, 0, 0], Array(20).fill(1)),
    14 + 40 + 8 + 8,
  ],
};

function innerFrame(etherType: number, ...headers: readonly number[][]): Uint8Array {
  const payload = Array.from({ length: 16 }, () => 0x61);
  const addresses = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
  const parts = [addresses, [etherType >>> 8, etherType & 0xff], ...headers, payload];
  return Uint8Array.from(parts.flat());
}

function ipv4Header(protocol: number): number[] {
  return [0x45, 0, 0, 60, 0, 1, 0, 0, 64, protocol, 0, 0, 10, 0, 1, 12, 10, 0, 1, 10];
}

function ipv6Header(next: number): number[] {
  return [0x60, 0, 0, 0, 0, 40, next, 64, ...Array(32).fill(0xfd)];
}

function tcpHeader(size: number): number[] {
  return [...Array(12).fill(3), (size / 4) << 4, 0x10, ...Array(size - 14).fill(1)];
}

for (const [what, [frame, headers]] of Object.entries(FRAMES)) {
  test(`a flipped bit in stamp or headers is found: ${what}`, () => {
    const nothing: Change = () => {};
    const put: Change = (header) => {
      bytes.set(frame, header + resume.HEADER_SIZE);
      packet.setLength(slot, resume.HEADER_SIZE + frame.length);
    };
    const reason = readFrom(PEER, put, nothing);
    assert.notEqual(reason, DROP["stamp-tag"]);
    for (let bit = 0; bit < (resume.HEADER_SIZE + headers) * 8; bit++) {
      const flip: Change = (header) => {
        const at = header + (bit >>> 3);
        view.setUint8(at, view.getUint8(at) ^ (1 << (bit & 7)));
      };
      const found = readFrom(PEER, put, flip);
      assert.notEqual(found, GOES_ON, `bit ${bit}`);
      if (bit >= resume.HEADER_SIZE * 8) assert.equal(found, DROP["stamp-tag"], `bit ${bit}`);
    }
  });
}

test("without the key nothing that can be written gets in", () => {
  const changes = fc.array(fc.tuple(fc.nat(61), fc.nat(255)), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(changes, (list) => {
      const reason = readFrom(
        PEER,
        () => {},
        (header) => {
          for (const [at, value] of list) view.setUint8(header + at, value);
          writeTagOf([7, 7, 7, 7]);
          if (list.length > 4) for (let i = 32; i < 40; i++) view.setUint8(header + i, 0);
        },
      );
      assert.notEqual(reason, GOES_ON);
    }),
    { numRuns: 2000 },
  );
});

function writeTagOf(key: KeyWords): void {
  writeTag(buildTables(7, [], { send: key, receive: [key, key, key] }), slot, 0);
}

/** Stages that run at the chassis of the out-port and nowhere else. */
const AT_THE_DESTINATION = [8, 10, 12, 13, 14, 15];

test("no bytes make the reader throw, and none but a port here is ever reached", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(39), fc.nat(255)), { maxLength: 8 }), (changes) => {
      const reason = readChanged((header) => {
        for (const [at, value] of changes) view.setUint8(header + at, value);
      });
      if (reason !== GOES_ON || packet.outPort(slot) === packet.FLOOD) return;
      // Earlier stages, and those that are placed here, work for ports elsewhere.
      if (!AT_THE_DESTINATION.includes(packet.stage(slot))) return;
      assert.equal(tables.ports.location(packet.outPort(slot)), LOCATED_HERE);
    }),
    { numRuns: 3000 },
  );
});
