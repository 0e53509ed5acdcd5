/** Ports over AF_XDP move between workers with what the kernel has, and workers die meanwhile. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { MessagePort } from "node:worker_threads";
import type { Command } from "@rhone/dataplane-worker/plan";
import { enterOwnNetwork, ip } from "@rhone/netio/test-network";
import { assertAllSlots, start, until } from "./test-dataplane.ts";

const LIMIT = { timeout: 60_000 };
const DEVICES = ["veth0", "veth1", "veth2", "veth3"];
type Adoption = Extract<Command, { type: "adopt" }>;

before(() => {
  enterOwnNetwork();
  for (const device of DEVICES) {
    ip("link", "add", device, "type", "veth", "peer", "name", `peer-${device}`);
    for (const end of [device, `peer-${device}`]) ip("link", "set", end, "up");
  }
});

/** How far a new owner comes with what the kernel has; where it dies then, nobody is told. */
const DEATHS = {
  "before it has noted a slot": () => 0,
  "when it has noted half of the slots": (lent: number) => lent >> 1,
  "when it has noted all slots": (lent: number) => lent,
};

for (const [when, notedOf] of Object.entries(DEATHS)) {
  test(`a new owner dies ${when}: each is somewhere`, LIMIT, async (t) => {
    const { dataplane, lost, reports } = start(t, 1);
    await until("a worker", () => dataplane.isComplete);
    for (const [index, device] of DEVICES.entries()) dataplane.openDevice(index, device, "af-xdp");
    const opened = () => reports.filter(({ type }) => type === "opened").length;
    await until("the devices to be open", () => opened() === DEVICES.length);
    await assertAllSlots(dataplane);

    let deaths = 0;
    const { postMessage } = MessagePort.prototype;
    t.mock.method(
      MessagePort.prototype,
      "postMessage",
      function (this: MessagePort, message: Command, ...rest: []) {
        const isLethal = message.type === "adopt" && message.state !== null && deaths++ === 0;
        postMessage.call(this, isLethal ? lethal(message, notedOf) : message, ...rest);
      },
    );
    dataplane.scale(2);
    await until("the death", () => lost.length === 1);
    await until("its replacement", () => dataplane.isComplete);
    await until("the devices to be open again", () => opened() > DEVICES.length);
    await assertAllSlots(dataplane);
    assert.equal(lost.length, 1, JSON.stringify(lost));
    assert.equal(reports.filter(({ type }) => type === "refused").length, 0);
  });
}

/** The worker that obeys it dies when it has noted some of the slots, and before it says so. */
function lethal(command: Adoption, notedOf: (lent: number) => number): unknown {
  const { state } = command;
  assert.ok(state?.driver === "af-xdp" && state.lent.length > 1);
  const lent = state.lent.slice(0, notedOf(state.lent.length));
  return { ...command, state: { ...state, lent, queues: null } };
}
