import assert from "node:assert/strict";
import { test } from "node:test";
import type { XdpQueueState } from "@rhone/netio/movable-port";
import { createMemoryStore } from "@rhone/state/memory-store";
import type { State } from "@rhone/state/state";
import { type DeviceOpener, Devices } from "./devices.ts";

function stateWith(ports: readonly { name: string; device: string; chassis?: string }[]): State {
  const store = createMemoryStore("a");
  const documents = [
    { kind: "switch", name: "web" },
    ...ports.map(({ name, device, chassis = "a" }) => {
      return { kind: "port", name, switch: "web", addresses: [], chassis, device };
    }),
  ];
  const changes = documents.map((document) => ({ op: "put" as const, document }));
  assert.ok(store.transact(changes, "user").ok);
  return store.snapshot();
}

const OPENED = {
  type: "opened",
  index: 0,
  state: { driver: "tap", descriptor: 9 },
} as const;

/** Writes down what the data plane is asked for. */
class Recorder implements DeviceOpener {
  readonly calls: string[] = [];

  openDevice(index: number, device: string): void {
    this.calls.push(`open ${device} as ${index}`);
  }

  closeDevice(index: number): void {
    this.calls.push(`close ${index}`);
  }

  workerOf(): number {
    return 0;
  }
}

test("opens what is wanted here, once", () => {
  const recorder = new Recorder();
  const devices = new Devices("a", "af-packet", recorder, () => 0);
  const state = stateWith([
    { name: "vm1", device: "t1" },
    { name: "vm2", device: "t2" },
    { name: "vm3", device: "t3", chassis: "b" },
  ]);
  devices.follow(state);
  devices.follow(state);
  assert.deepEqual(recorder.calls, ["open t1 as 0", "open t2 as 1"]);
  assert.ok(devices.report(OPENED));
  assert.ok(!devices.report(OPENED));
  assert.deepEqual(
    devices.list().map(({ port, phase }) => `${port} ${phase}`),
    ["vm1 up", "vm2 opening"],
  );
});

test("tries a refused device again, and says why it was refused", () => {
  const recorder = new Recorder();
  const devices = new Devices("a", "af-packet", recorder, () => 0);
  devices.follow(stateWith([{ name: "vm1", device: "t1" }]));
  const refused = { type: "refused", index: 0, detail: "no such device" } as const;
  assert.ok(devices.report(refused), "peers must know why");
  assert.equal(devices.list()[0]!.detail, "no such device");
  assert.ok(!devices.report(refused), "and hear of it once");
  devices.retry();
  devices.retry();
  assert.deepEqual(recorder.calls, ["open t1 as 0", "open t1 as 0"]);
});

test("a device that goes away by itself is down, and tried again", () => {
  const devices = new Devices("a", "af-packet", new Recorder(), () => 0);
  devices.follow(stateWith([{ name: "vm1", device: "t1" }]));
  devices.report(OPENED);
  assert.ok(devices.report({ type: "closed", index: 0, detail: "the device is gone" }));
  assert.equal(devices.list()[0]!.phase, "refused");
});

test("another device for the same port opens when the old one is closed", () => {
  const recorder = new Recorder();
  const devices = new Devices("a", "af-packet", recorder, () => 0);
  devices.follow(stateWith([{ name: "vm1", device: "t1" }]));
  devices.report(OPENED);
  const changed = stateWith([{ name: "vm1", device: "t9" }]);
  devices.follow(changed);
  devices.follow(changed);
  devices.report({ type: "closed", index: 0, detail: "closed" });
  devices.follow(changed);
  assert.deepEqual(recorder.calls, ["open t1 as 0", "close 0", "open t9 as 0"]);
});

test("a device that has more queues than its port serves is opened again", () => {
  const recorder = new Recorder();
  let queues = 2;
  const devices = new Devices("a", "af-xdp", recorder, () => queues);
  const state = stateWith([{ name: "vm1", device: "t1" }]);
  devices.follow(state);
  const served = [0, 1].map((queue) => ({ queue }) as XdpQueueState);
  const port = { driver: "af-xdp", program: 9, ringSize: 64, queues: served, lent: [] } as const;
  devices.report({ type: "opened", index: 0, state: port });
  devices.retry();
  queues = 4;
  devices.retry();
  devices.retry();
  assert.ok(devices.report({ type: "closed", index: 0, detail: "closed" }));
  devices.follow(state);
  assert.deepEqual(recorder.calls, ["open t1 as 0", "close 0", "open t1 as 0"]);
});
