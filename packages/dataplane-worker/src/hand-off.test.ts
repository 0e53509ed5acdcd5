import assert from "node:assert/strict";
import { test } from "node:test";
import { Core } from "@rhone/pipeline-stages/core";
import { GOES_ON } from "@rhone/pipeline-stages/parse";
import { buildTables, VM1, VM3 } from "@rhone/pipeline-stages/test-network";
import { COUNTERS_SIZE, Counters } from "@rhone/rings/counters";
import { DROP, type DropReasonName } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import { RULE_COUNTERS_SIZE, RuleCounters } from "@rhone/rings/rule-counters";
import { SlotAllocator } from "@rhone/rings/slot-allocator";
import { LOCATED_HERE } from "@rhone/tables/ports";
import { parseAddress } from "@rhone/wire/address";
import * as geneve from "@rhone/wire/geneve";
import * as resume from "@rhone/wire/resume";
import fc from "fast-check";
import {
  checkEndpoint,
  includeStamp,
  readRingPacket,
  readTunnelPacket,
  writeStamp,
} from "./hand-off.ts";
import { TableHistory } from "./table-history.ts";

const { bytes, view, smallCount, largeCount } = poolViews();
const tables = buildTables(7);
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

/**
 * What the tunnel reader says to the packet after `change` had the Geneve header and the option.
 */
function readChanged(change: (header: number, option: number) => void): number {
  makePacket();
  includeStamp(slot);
  const at = packet.frameAt(slot);
  packet.begin(slot, at, packet.length(slot), -1);
  change(at, at + geneve.BASE_SIZE);
  return readTunnelPacket(history, core, slot);
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
  assert.equal(packet.handOffsLeft(slot), 3);
  assert.equal(packet.ttlDecrements(slot), 1);
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

test("a flood goes on as a flood", () => {
  makePacket();
  packet.setOutPort(slot, packet.FLOOD);
  packet.setHandOffsLeft(slot, 4);
  writeStamp(tables, slot, resume.REASON_EGRESS);
  assert.equal(readRingPacket(history, core, slot), GOES_ON);
  assert.equal(packet.outPort(slot), packet.FLOOD);
});

test("hand-offs end after the fourth", () => {
  makePacket();
  for (let i = 0; i < 3; i++) assert.equal(writeStamp(tables, slot, 0), GOES_ON);
  assert.equal(writeStamp(tables, slot, 0), DROP["stamp-hand-offs"]);
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
  ["stamp-stage", "a stage without resume", (_, option) => view.setUint8(option + 4, 0x61)],
  ["stamp-generation", "a generation long gone", (_, option) => view.setUint32(option + 14, 6)],
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
  core.key.set(parseAddress("192.168.100.2")!);
  assert.equal(checkEndpoint(core, tables), GOES_ON);
  core.key.set(parseAddress("192.168.100.3")!);
  assert.equal(checkEndpoint(core, tables), DROP["tunnel-source-unknown"]);
});

test("no bytes make the reader throw, and none but a port here is ever reached", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(39), fc.nat(255)), { maxLength: 8 }), (changes) => {
      const reason = readChanged((header) => {
        for (const [at, value] of changes) view.setUint8(header + at, value);
      });
      if (reason !== GOES_ON || packet.outPort(slot) === packet.FLOOD) return;
      assert.equal(tables.ports.location(packet.outPort(slot)), LOCATED_HERE);
    }),
    { numRuns: 3000 },
  );
});

test("two generations are held, and a sender that is ahead is served with the newest", () => {
  const first = buildTables(3);
  const past = new TableHistory(first);
  assert.equal(past.find(2), null);
  assert.equal(past.find(3), first);
  const second = buildTables(5);
  past.adopt(second);
  assert.equal(past.find(3), first);
  assert.equal(past.find(4), first);
  assert.equal(past.find(5), second);
  assert.equal(past.find(9), second);
  const again = buildTables(5);
  past.adopt(again);
  assert.equal(past.find(3), first);
  assert.equal(past.find(5), again);
  past.adopt(buildTables(6));
  assert.equal(past.find(3), null);
});
