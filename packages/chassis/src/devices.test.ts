import assert from "node:assert/strict";
import { test } from "node:test";
import type { XdpQueueState } from "@rhone/netio/movable-port";
import { createMemoryStore } from "@rhone/state/memory-store";
import type { State } from "@rhone/state/state";
import { type DeviceOpener, Devices } from "./devices.ts";

interface PortSpec {
  readonly name: string;
  readonly device: string;
  /** "a" when left out; null: none. */
  readonly chassis?: string | null;
  readonly migration?: object;
}

function stateWith(ports: readonly PortSpec[]): State {
  const store = createMemoryStore("a");
  const documents = [
    { kind: "switch", name: "web" },
    ...ports.map(({ chassis = "a", ...port }) => {
      const place = chassis === null ? {} : { chassis };
      return { kind: "port", switch: "web", addresses: [], ...port, ...place };
    }),
  ];
  const changes = documents.map((document) => ({ op: "put" as const, document }));
  assert.ok(store.transact(changes, "user").ok);
  return store.snapshot();
}

const OPENED = {
  type: "opened",
  index: 0,
  state: { driver: "tap", descriptor: 9, device: 0 },
  further: [],
} as const;

const machine = { queuesOf: () => 0, hasDevice: () => false, ownDevices: () => new Map() };

/** Writes down what the data plane is asked for. */
class Recorder implements DeviceOpener {
  readonly calls: string[] = [];

  openDevice(index: number, device: string): void {
    this.calls.push(`open ${device} as ${index}`);
  }

  closeDevice(index: number): void {
    this.calls.push(`close ${index}`);
  }

  fenceDevice(index: number, isFenced: boolean): void {
    if (isFenced) this.calls.push(`fence ${index}`);
  }

  workerOf(): number {
    return 0;
  }
}

test("opens what is wanted here, once", () => {
  const recorder = new Recorder();
  const devices = new Devices("a", "af-packet", recorder, machine);
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

test("a device that any chassis may have is opened where it is, and closed when it is gone", () => {
  const recorder = new Recorder();
  const present = new Set<string>();
  const here = { ...machine, hasDevice: (device: string) => present.has(device) };
  const devices = new Devices("a", "af-packet", recorder, here);
  const state = stateWith([
    { name: "vm1", device: "t1", chassis: null },
    { name: "vm2", device: "t2", chassis: null },
    { name: "vm3", device: "t2" },
  ]);
  devices.follow(state);
  assert.ok(!devices.isOutdated);
  present.add("t1").add("t2");
  assert.ok(devices.isOutdated);
  devices.follow(state);
  assert.ok(!devices.isOutdated);
  assert.deepEqual(
    recorder.calls,
    ["open t2 as 0", "open t1 as 1"],
    "t2 is of vm3, asked for here",
  );
  present.delete("t1");
  assert.ok(devices.isOutdated);
  devices.follow(state);
  assert.deepEqual(recorder.calls.slice(2), ["close 1"]);
});

test("the device of a port that moves here is opened beside the one that it moves from", () => {
  const port = { name: "vm1", device: "t1", migration: { chassis: "b", device: "t9" } };
  const [from, to] = [new Recorder(), new Recorder()];
  new Devices("a", "af-packet", from, machine).follow(stateWith([port]));
  new Devices("b", "af-packet", to, machine).follow(stateWith([port]));
  assert.deepEqual([from.calls, to.calls], [["open t1 as 0"], ["open t9 as 0"]]);
});

test("tries a refused device again, and says why it was refused", () => {
  const recorder = new Recorder();
  const devices = new Devices("a", "af-packet", recorder, machine);
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
  const devices = new Devices("a", "af-packet", new Recorder(), machine);
  devices.follow(stateWith([{ name: "vm1", device: "t1" }]));
  devices.report(OPENED);
  assert.ok(devices.report({ type: "closed", index: 0, detail: "the device is gone" }));
  assert.equal(devices.list()[0]!.phase, "refused");
});

test("another device for the same port opens when the old one is closed", () => {
  const recorder = new Recorder();
  const devices = new Devices("a", "af-packet", recorder, machine);
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
  const devices = new Devices("a", "af-xdp", recorder, { ...machine, queuesOf: () => queues });
  const state = stateWith([{ name: "vm1", device: "t1" }]);
  devices.follow(state);
  const served = [0, 1].map((queue) => ({ queue }) as XdpQueueState);
  const port = { driver: "af-xdp", program: 9, ringSize: 64, queues: served, lent: [] } as const;
  devices.report({ type: "opened", index: 0, state: { ...port, isNative: true }, further: [] });
  assert.equal(devices.list()[0]!.detail, "");
  devices.retry();
  queues = 4;
  devices.retry();
  devices.retry();
  assert.ok(devices.report({ type: "closed", index: 0, detail: "closed" }));
  devices.follow(state);
  assert.deepEqual(recorder.calls, ["open t1 as 0", "close 0", "open t1 as 0"]);
  devices.report({ type: "opened", index: 0, state: { ...port, isNative: false }, further: [] });
  assert.match(devices.list()[0]!.detail, /its driver has no XDP/);
});

test("the device of a gateway is opened at its members, shut, and nowhere else", () => {
  const store = createMemoryStore("a");
  const chassis = (name: string, i: number): object => {
    return { kind: "chassis", name, underlay: `192.168.0.${i}`, workers: 1, version: "1" };
  };
  const port = { kind: "port", name: "up", switch: "web", addresses: [], device: "u" };
  const put = (...documents: object[]): State => {
    const changes = documents.map((document) => ({ op: "put" as const, document }));
    assert.ok(store.transact(changes, "chassis").ok);
    return store.snapshot();
  };
  const gateway = { kind: "gateway", name: "g", members: [{ chassis: "a" }], witnesses: ["w"] };
  const state = put(
    ...[chassis("a", 1), chassis("w", 2), { kind: "switch", name: "web" }, gateway],
    { ...port, gateway: "g" },
  );
  const here = { ...machine, hasDevice: () => true };
  const [member, witness] = [new Recorder(), new Recorder()];
  const devices = new Devices("a", "af-packet", member, here);
  devices.follow(state);
  devices.report(OPENED);
  new Devices("w", "af-packet", witness, here).follow(state);
  assert.deepEqual(member.calls, ["fence 0", "open u as 0"]);
  assert.deepEqual(witness.calls, [], "although it has a device of that name");
  devices.follow(put({ ...port, chassis: "a" }));
  devices.report({ type: "closed", index: 0, detail: "closed" });
  devices.follow(store.snapshot());
  assert.deepEqual(member.calls.slice(2), ["close 0", "open u as 0"], "of no gateway any more");
});

test("what the chassis lives by is no port's, until it is that no more", () => {
  const recorder = new Recorder();
  const own = new Map([["eth0", "eth0 has the address 192.0.2.1"]]);
  const here = { ...machine, hasDevice: () => true, ownDevices: () => own };
  const devices = new Devices("a", "af-packet", recorder, here);
  const state = stateWith([
    { name: "vm1", device: "eth0" },
    { name: "vm2", device: "t2" },
    { name: "vm3", device: "eth0", chassis: null },
  ]);
  devices.follow(state);
  assert.deepEqual(recorder.calls, ["open t2 as 1"]);
  const [vm1, ...rest] = devices.list();
  assert.equal(vm1!.phase, "refused");
  assert.match(
    vm1!.detail,
    /^expected a device for a port, but eth0 has the address 192\.0\.2\.1$/,
  );
  assert.deepEqual(
    rest.map(({ port }) => port),
    ["vm2"],
    "vm3 is not found here",
  );
  assert.ok(!devices.isOutdated);
  devices.retry();
  assert.equal(recorder.calls.length, 1);
  own.clear();
  devices.retry();
  assert.deepEqual(recorder.calls.slice(1), ["open eth0 as 0"]);
});

test("a port that asks for what is not for ports goes without a trace", () => {
  const recorder = new Recorder();
  const here = { ...machine, ownDevices: () => new Map([["lo", "lo is the host's"]]) };
  const devices = new Devices("a", "af-packet", recorder, here);
  devices.follow(stateWith([{ name: "vm1", device: "lo" }]));
  assert.equal(devices.list().length, 1);
  devices.follow(stateWith([{ name: "vm1", device: "t1" }]));
  devices.follow(stateWith([{ name: "vm1", device: "t1" }]));
  assert.deepEqual(recorder.calls, ["open t1 as 0"]);
});
