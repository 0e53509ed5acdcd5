/**
 * Placement: brings packets to where a stage runs that need not run where they are, at another
 * worker or another chassis. Only the chassis that has the packet's port sends it away, so nobody
 * sends it on; the next stage with state brings it back.
 */
import * as packet from "@rhone/rings/packet";
import { POST_ROUTING } from "@rhone/rings/stage";
import { endpointOf, PLACED_HERE } from "@rhone/tables/placement";
import { LOCATED_HERE } from "@rhone/tables/ports";
import type { Batch, Core } from "./core.ts";
import { addToChassis, fits } from "./to-chassis.ts";

/** Moves those of a batch to an outlet that run `stage` elsewhere. */
export function place(core: Core, batch: Batch, stage: number): void {
  const where = core.tables.placement.of(stage);
  if (where === PLACED_HERE || where === core.worker) return;
  const { slots } = batch;
  let kept = 0;
  for (let i = 0; i < batch.count; i++) {
    const slot = slots[i]!;
    if (!isMovable(core, slot, stage)) slots[kept++] = slot;
    else if (where >= 0) {
      packet.setFlags(slot, packet.flags(slot) | packet.FLAG_PLACED);
      core.handOver(slot, where, stage);
    } else if (fits(core, slot) && addToChassis(core, slot, endpointOf(where), stage)) {
      core.handedOver++;
    } else slots[kept++] = slot; // It can as well be done here.
  }
  batch.count = kept;
}

/**
 * Whether a packet's state for `stage` is at this chassis. If not, the packet goes there, and false
 * is the answer; a port that is nowhere is for a later stage to say.
 */
export function isHome(core: Core, slot: number, port: number, stage: number): boolean {
  const location = port < 0 ? LOCATED_HERE : core.tables.ports.location(port);
  if (location < 0) return true;
  if (!addToChassis(core, slot, location, stage)) return true;
  core.handedOver++;
  return false;
}

function isMovable(core: Core, slot: number, stage: number): boolean {
  // A later fragment's ports are known here only, and an answer that was made here is on its way.
  const unmovable = packet.FLAG_FRAGMENT | packet.FLAG_REPLY_TO_INGRESS | packet.FLAG_FROM_RULE;
  const flags = packet.flags(slot) & (unmovable | packet.FLAG_TRACKED);
  if (flags !== packet.FLAG_TRACKED) return false;
  const port = stage < POST_ROUTING ? packet.inPort(slot) : packet.outPort(slot);
  return port >= 0 && core.tables.ports.location(port) === LOCATED_HERE;
}
