import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { test } from "node:test";
import { ownDevices } from "./own-devices.ts";

test("the loopback device is no port's, and the underlay's device neither", () => {
  assert.deepEqual([...ownDevices("127.0.0.1").keys()], ["lo"]);
  for (const [device, addresses] of Object.entries(networkInterfaces())) {
    for (const { address, internal, scopeid } of addresses!) {
      if (internal || (scopeid ?? 0) > 0) continue;
      const own = ownDevices(address);
      assert.deepEqual([...own.keys()], ["lo", device]);
      assert.ok(own.get(device)!.includes(address));
    }
  }
});

test("where no device has the underlay address only the loopback device is taken", () => {
  assert.deepEqual([...ownDevices("203.0.113.77").keys()], ["lo"]);
});
