import assert from "node:assert/strict";
import { test } from "node:test";
import { NOBODY } from "@rhone/rings/buckets";
import fc from "fast-check";
import { firstAllotment, isIdle, nextAllotment } from "./next-allotment.ts";

const first = firstAllotment([0, 1], 4);

function devicesOf(map: Uint8Array): [number, number][] {
  return [...map.entries()].filter(([, owner]) => owner !== NOBODY);
}

test("the first one shares buckets and sockets, and devices belong to nobody", () => {
  assert.equal(first.edition, 1);
  assert.equal(first.owners.filter((owner) => owner === 0).length, 128);
  assert.deepEqual([...first.sockets], [0, 1, 0, 1]);
  assert.deepEqual(devicesOf(first.devices), []);
});

test("wishes that are granted already make no new one", () => {
  assert.equal(
    nextAllotment(first, { owners: [0, 1], newcomers: [], running: [0, 1], devices: [] }),
    first,
  );
});

test("a device that is opened or closed leaves the others where they are", () => {
  const wishes = { owners: [0, 1], newcomers: [], running: [0, 1] };
  const two = nextAllotment(first, { ...wishes, devices: [3, 5, 7] });
  assert.deepEqual(devicesOf(two.devices), [
    [3, 0],
    [5, 1],
    [7, 0],
  ]);
  const closed = nextAllotment(two, { ...wishes, devices: [3, 7] });
  assert.deepEqual(devicesOf(closed.devices), [
    [3, 0],
    [7, 0],
  ]);
  const opened = nextAllotment(closed, { ...wishes, devices: [3, 7, 9] });
  assert.equal(opened.devices[9], 1);
});

test("whoever goes keeps nothing, and is waited for once more", () => {
  const wishes = { newcomers: [], running: [0, 1, 2], devices: [1, 2, 3] };
  const three = nextAllotment(first, { ...wishes, owners: [0, 1, 2] });
  const two = nextAllotment(three, { ...wishes, owners: [0, 1] });
  assert.ok(isIdle(two, 2) && !isIdle(three, 2));
  assert.deepEqual(two.workers, [0, 1, 2]);
});

test("a newcomer begins with a few buckets, and gets its share when it is none any more", () => {
  const wishes = { owners: [0, 1, 2], running: [0, 1, 2], devices: [1, 2, 3] };
  const before = nextAllotment(first, { ...wishes, owners: [0, 1], newcomers: [] });
  const begun = nextAllotment(before, { ...wishes, newcomers: [2] });
  assert.equal(begun.owners.filter((owner) => owner === 2).length, 8);
  assert.deepEqual(begun.devices, before.devices);
  assert.deepEqual(begun.sockets, before.sockets);
  assert.equal(nextAllotment(begun, { ...wishes, newcomers: [2] }), begun);
  const full = nextAllotment(begun, { ...wishes, newcomers: [] });
  assert.equal(full.owners.filter((owner) => owner === 2).length, 85);
  assert.ok(full.devices.includes(2) && full.sockets.includes(2));
});

test("newcomers among themselves share everything", () => {
  const wishes = { owners: [2, 3], newcomers: [2, 3], running: [0, 1, 2, 3], devices: [1] };
  const next = nextAllotment(first, wishes);
  assert.equal(next.owners.filter((owner) => owner === 2).length, 128);
});

test("everything wanted has one of the owners, whatever was before", () => {
  const workers = fc.uniqueArray(fc.nat(7), { minLength: 1, maxLength: 8 });
  const devices = fc.uniqueArray(fc.nat(255), { maxLength: 20 });
  const change = fc.tuple(workers, devices, fc.nat(255));
  fc.assert(
    fc.property(fc.array(change, { maxLength: 8 }), (changes) => {
      let allotment = first;
      for (const [crew, used, fresh] of changes) {
        const owners = crew.toSorted((a, b) => a - b);
        const indices = used.toSorted((a, b) => a - b);
        const newcomers = owners.filter((worker) => ((fresh >> worker) & 1) === 1);
        const wishes = { owners, newcomers, running: owners, devices: indices };
        allotment = nextAllotment(allotment, wishes);
        for (const owner of allotment.owners) assert.ok(owners.includes(owner));
        for (const owner of allotment.sockets) assert.ok(owners.includes(owner));
        assert.deepEqual(
          devicesOf(allotment.devices).map(([index]) => index),
          indices,
        );
      }
    }),
  );
});
