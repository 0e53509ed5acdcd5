import assert from "node:assert/strict";
import { closeSync, fstatSync, openSync } from "node:fs";
import { test } from "node:test";
import type { PortState } from "@rhone/netio/movable-port";
import { PortLedger } from "./port-ledger.ts";

const DEVICE = 3;
const [FIRST, SECOND] = [0, 1];

type TapState = Extract<PortState, { driver: "tap" }>;

function anOpenPort(): TapState {
  return { driver: "tap", descriptor: openSync("/dev/null", "r"), device: DEVICE };
}

/** Of one device that a worker has open. */
function make(holder: number | null) {
  const ledger = new PortLedger();
  const state = anOpenPort();
  ledger.want(DEVICE, "tap1", "tap");
  ledger.get(DEVICE)!.holder = holder;
  ledger.open(DEVICE, state);
  return { ledger, state };
}

function isOpen({ descriptor }: TapState): boolean {
  try {
    fstatSync(descriptor);
    return true;
  } catch {
    return false;
  }
}

test("what its worker has to close is closed for it when it dies", () => {
  const { ledger, state } = make(FIRST);
  assert.equal(ledger.close(DEVICE), FIRST);
  assert.deepEqual(ledger.indices, []);
  assert.deepEqual(ledger.closeFor(SECOND), []);
  assert.ok(isOpen(state), "its worker may still be about to");
  assert.deepEqual(ledger.closeFor(FIRST), [DEVICE]);
  assert.ok(!isOpen(state));
});

test("what was opened after it was to be closed is closed as well", () => {
  const ledger = new PortLedger();
  ledger.want(DEVICE, "tap1", "tap");
  ledger.get(DEVICE)!.holder = FIRST;
  ledger.close(DEVICE);
  const state = anOpenPort();
  ledger.open(DEVICE, state);
  assert.deepEqual(ledger.closeFor(FIRST), [DEVICE]);
  assert.ok(!isOpen(state));
});

test("what its worker has closed is left alone: the descriptor may be another's by now", () => {
  const { ledger, state } = make(FIRST);
  ledger.close(DEVICE);
  ledger.closed(DEVICE);
  assert.deepEqual(ledger.closeFor(FIRST), []);
  assert.ok(isOpen(state));
  closeSync(state.descriptor);
});

test("what a dead worker had and nobody has taken over is closed at once", () => {
  const { ledger, state } = make(FIRST);
  ledger.orphan(FIRST);
  assert.equal(ledger.close(DEVICE), null);
  assert.ok(!isOpen(state));
});

test("what was passed on to somebody who is dead waits for another one", () => {
  const { ledger, state } = make(FIRST);
  ledger.pass(DEVICE, state, SECOND);
  assert.deepEqual(ledger.unheld(), []);
  ledger.pass(DEVICE, state, null);
  assert.deepEqual(
    ledger.unheld().map(([index, entry]) => [index, entry.state]),
    [[DEVICE, state]],
  );
  ledger.pass(DEVICE, null, SECOND);
  assert.deepEqual(
    ledger.unheld().map(([, entry]) => entry.state),
    [null],
  );
  closeSync(state.descriptor);
});
