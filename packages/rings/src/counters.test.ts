import assert from "node:assert/strict";
import { test } from "node:test";
import { COUNTERS_SIZE, Counters, DEVICES_MAX, TUNNEL_DEVICE } from "./counters.ts";
import { DROP, DROP_REASON_COUNT, dropReasonName, dropReasonText } from "./drop-reason.ts";

test("every counter has a place of its own", () => {
  const counters = new Counters(new SharedArrayBuffer(COUNTERS_SIZE));
  counters.countStage(15, 3);
  counters.countDrop(15, DROP_REASON_COUNT - 1);
  counters.countReceived(0, 1, 60);
  counters.countSent(DEVICES_MAX - 1, 2, 120);
  counters.countPortDrop(TUNNEL_DEVICE, 0);
  counters.countLoop();
  counters.countPopped(9);
  assert.deepEqual(counters.stage(15), { packets: 3, batches: 1, drops: 1 });
  assert.deepEqual(counters.stage(14), { packets: 0, batches: 0, drops: 0 });
  assert.equal(counters.dropped(DROP_REASON_COUNT - 1), 1);
  assert.equal(counters.dropped(0), 1);
  const none = { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0, drops: 0 };
  assert.deepEqual(counters.device(0), { ...none, rxPackets: 1, rxBytes: 60 });
  assert.deepEqual(counters.device(DEVICES_MAX - 1), { ...none, txPackets: 2, txBytes: 120 });
  assert.deepEqual(counters.device(TUNNEL_DEVICE), { ...none, drops: 1 });
  assert.deepEqual(counters.worker(), { loops: 1, sleeps: 0, pushed: 0, popped: 9 });
});

test("every drop reason has a name of its own and a sentence", () => {
  const names = Array.from({ length: DROP_REASON_COUNT }, (_, i) => dropReasonName(i));
  assert.equal(new Set(names).size, DROP_REASON_COUNT);
  for (const name of names) assert.match(dropReasonText(DROP[name]), /^[A-Z].*\.$/);
  assert.throws(() => dropReasonName(DROP_REASON_COUNT), /expected a drop reason from 0 to/);
});
