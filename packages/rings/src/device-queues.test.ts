import assert from "node:assert/strict";
import { test } from "node:test";
import { DEVICES_MAX } from "./counters.ts";
import { DeviceQueues } from "./device-queues.ts";

const HASHES = Array.from({ length: 1000 }, (_, i) => Math.imul(i + 1, 0x9e37_79b1));

test("a device has one queue until somebody says otherwise", () => {
  const queues = new DeviceQueues();
  for (let device = 0; device < DEVICES_MAX; device++) {
    assert.ok(HASHES.every((hash) => queues.indexOf(device, hash) === device));
  }
});

test("flows are spread over the queues of their device, the same by every thread", () => {
  const buffer = DeviceQueues.create();
  const [writer, reader] = [new DeviceQueues(buffer), new DeviceQueues(buffer)];
  writer.set(7, [7, 250, 251]);
  const shares = new Map<number, number>();
  for (const hash of HASHES) {
    const queue = reader.indexOf(7, hash);
    shares.set(queue, (shares.get(queue) ?? 0) + 1);
    assert.equal(writer.indexOf(7, hash), queue);
    assert.equal(reader.indexOf(6, hash), 6);
  }
  assert.deepEqual([...shares.keys()].sort(), [250, 251, 7]);
  assert.ok([...shares.values()].every((share) => share > HASHES.length / 5));
  writer.set(7, [7]);
  assert.ok(HASHES.every((hash) => reader.indexOf(7, hash) === 7));
});
