/** Stage 15, output: to the device of the logical port, which this worker owns. */
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import type { Batch, Core } from "./core.ts";

export function output(core: Core, batch: Batch): void {
  const { devices } = core.outlets;
  const { ports } = core.tables;
  for (let i = 0; i < batch.count; i++) {
    const slot = batch.slots[i]!;
    const device = ports.device(packet.outPort(slot));
    if (device < 0) core.drop(slot, DROP["device-down"]);
    else if (!devices[device]!.add(slot)) core.drop(slot, DROP["batch-full"]);
  }
  batch.count = 0;
}
