import assert from "node:assert/strict";
import { test } from "node:test";
import { PICK_UP_MS, PICK_UP_WINDOW_SIZE, PickUpWindow } from "./pick-up-window.ts";

/** What the workers of the same chassis see. */
function make() {
  const buffer = new SharedArrayBuffer(PICK_UP_WINDOW_SIZE);
  return { control: new PickUpWindow(buffer), worker: new PickUpWindow(buffer) };
}

test("it is closed until somebody opens it, and after its time", () => {
  const { control, worker } = make();
  assert.equal(worker.isOpen(0), false);
  control.open(1000);
  assert.equal(worker.isOpen(1000), true);
  assert.equal(worker.isOpen(1000 + PICK_UP_MS), true);
  assert.equal(worker.isOpen(1000 + PICK_UP_MS + 1), false);
});

test("it is closed for good, also when the clock's bits come round", () => {
  const { control, worker } = make();
  control.open(0);
  control.close();
  assert.equal(worker.isOpen(0), false);
});

test("it is open where the clock's bits come round", () => {
  const { control, worker } = make();
  const nowMs = 2 ** 31 - 5;
  control.open(nowMs);
  assert.equal(worker.isOpen((nowMs + PICK_UP_MS) | 0), true);
  assert.equal(worker.isOpen((nowMs + PICK_UP_MS + 1) | 0), false);
});
