/**
 * Stage 15, output: to the device of the logical port. A device, or each of its queues, belongs to
 * one worker; a frame for another's goes to that worker as it is, with nothing left to do but to
 * send it.
 */
import { NOBODY } from "@rhone/rings/buckets";
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import type { Batch, Core } from "./core.ts";
import { keepEgress } from "./flow-decision.ts";

/** This stage's number: a packet that a worker gets with it is only to be sent. */
export const DELIVERY = 15;

export function output(core: Core, batch: Batch): void {
  for (let i = 0; i < batch.count; i++) {
    const slot = batch.slots[i]!;
    keepEgress(core, slot);
    deliver(core, slot, packet.outPort(slot));
  }
  batch.count = 0;
}

/** To the outlet of the port's device, or of the worker that has it. */
export function deliver(core: Core, slot: number, port: number): void {
  const device = core.tables.ports.device(port);
  if (device < 0) {
    core.drop(slot, DROP["device-down"]);
    return;
  }
  const queue = core.queues.indexOf(device, packet.flowHash(slot));
  packet.setDevice(slot, queue);
  packet.setStage(slot, DELIVERY);
  sendOff(core, slot, queue);
}

/** The same with a packet that has nothing left to do but to leave by `device`. */
export function sendOff(core: Core, slot: number, device: number): void {
  const owner = core.deviceOwners[device]!;
  if (owner === NOBODY) {
    core.drop(slot, DROP["device-down"]);
    return;
  }
  const isHere = owner === core.worker;
  const outlet = isHere ? core.outlets.devices[device]! : core.workerOutlet(owner);
  if (!outlet.add(slot)) core.drop(slot, DROP["batch-full"]);
}
