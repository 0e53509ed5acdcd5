import assert from "node:assert/strict";
import { closeSync, fstatSync, openSync } from "node:fs";
import { test } from "node:test";
import type { PortState } from "@rhone/netio/movable-port";
import { DeviceQueues } from "@rhone/rings/device-queues";
import { FURTHER_QUEUES_MAX, FurtherQueues } from "./further-queues.ts";
import { PortLedger } from "./port-ledger.ts";

const FIRST = 192;
const DEVICE = 3;
const HASHES = Array.from({ length: 200 }, (_, i) => Math.imul(i + 1, 0x9e37_79b1));

function make() {
  const ledger = new PortLedger();
  const shared = new DeviceQueues();
  const further = new FurtherQueues(ledger, shared, FIRST);
  /** Device indices of the queues that a device sends by. */
  const sendsBy = (device = DEVICE): number[] => {
    const used = new Set(HASHES.map((hash) => shared.indexOf(device, hash)));
    return [...used].sort((a, b) => a - b);
  };
  return { ledger, further, sendsBy };
}

function states(count: number): (PortState & { readonly descriptor: number })[] {
  return Array.from({ length: count }, () => {
    return { driver: "tap", descriptor: openSync("/dev/null", "r"), device: DEVICE };
  });
}

function isOpen(descriptor: number): boolean {
  try {
    fstatSync(descriptor);
    return true;
  } catch {
    return false;
  }
}

test("a device sends by its queues from when all of them are served", () => {
  const { ledger, further, sendsBy } = make();
  const opened = states(2);
  further.take(DEVICE, "tap1", opened);
  assert.deepEqual(ledger.indices, [FIRST, FIRST + 1]);
  assert.deepEqual(
    ledger.unheld().map(([, { state }]) => state),
    opened,
  );
  assert.deepEqual([...further.names().values()], ["tap1 queue 1", "tap1 queue 2"]);
  further.serve(FIRST);
  assert.deepEqual(sendsBy(), [DEVICE]);
  further.serve(FIRST + 1);
  assert.deepEqual(sendsBy(), [DEVICE, FIRST, FIRST + 1]);
  assert.deepEqual(sendsBy(DEVICE + 1), [DEVICE + 1]);
  further.lose(FIRST);
  assert.deepEqual(sendsBy(), [DEVICE]);
  assert.deepEqual(ledger.indices, [FIRST + 1]);
  for (const { descriptor } of opened) closeSync(descriptor);
});

test("a fenced device sends by its first queue", () => {
  const { further, sendsBy } = make();
  const opened = states(1);
  further.setNarrow(DEVICE, true);
  further.take(DEVICE, "tap1", opened);
  further.serve(FIRST);
  assert.deepEqual(sendsBy(), [DEVICE]);
  closeSync(opened[0]!.descriptor);
});

test("queues go with their device, and their indices are free when they are closed", () => {
  const { ledger, further, sendsBy } = make();
  const opened = states(2);
  further.take(DEVICE, "tap1", opened);
  ledger.get(FIRST)!.holder = 1;
  further.serve(FIRST);
  further.serve(FIRST + 1);
  assert.deepEqual(further.takeFrom(DEVICE), [FIRST, FIRST + 1]);
  assert.deepEqual(sendsBy(), [DEVICE]);
  assert.equal(further.close(FIRST), 1, "its worker closes it");
  assert.equal(further.close(FIRST + 1), null);
  assert.equal(isOpen(opened[1]!.descriptor), false);
  const again = states(1);
  further.take(DEVICE, "tap1", again);
  assert.deepEqual(ledger.indices, [FIRST + 1]);
  further.lose(FIRST);
  further.take(DEVICE + 1, "tap2", again);
  assert.deepEqual(ledger.indices, [FIRST, FIRST + 1]);
  for (const { descriptor } of [opened[0]!, again[0]!]) closeSync(descriptor);
});

test("queues that nobody wants, or that there is no index for, are closed", () => {
  const { ledger, further } = make();
  const unwanted = states(1);
  further.take(DEVICE, null, unwanted);
  assert.equal(isOpen(unwanted[0]!.descriptor), false);
  const many = states(FURTHER_QUEUES_MAX + 1);
  further.take(DEVICE, "tap1", many);
  assert.equal(ledger.indices.length, FURTHER_QUEUES_MAX);
  const open = many.filter(({ descriptor }) => isOpen(descriptor));
  assert.equal(open.length, FURTHER_QUEUES_MAX);
  for (const { descriptor } of open) closeSync(descriptor);
});
