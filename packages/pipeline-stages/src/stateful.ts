/**
 * Stages 5 and 13: commit the connection of what the rules let pass, in the zone of the in-port
 * (stateful) and of the out-port (egress-stateful).
 */
import * as packet from "@rhone/rings/packet";
import { EGRESS_STATEFUL, STATEFUL } from "@rhone/rings/stage";
import { blockConnection, commit } from "./connection-tracking.ts";
import type { Batch, Core } from "./core.ts";
import { GOES_ON } from "./parse.ts";
import { isHome } from "./place.ts";
import { commitTranslated, translate } from "./translation.ts";

export function stateful(core: Core, batch: Batch): void {
  const { slots } = batch;
  let kept = 0;
  for (let i = 0; i < batch.count; i++) {
    const slot = slots[i]!;
    if (!isCommitted(core, slot, packet.inPort(slot), STATEFUL)) continue;
    if (translate(core, slot)) slots[kept++] = slot;
  }
  batch.count = kept;
}

export function egressStateful(core: Core, batch: Batch): void {
  const { slots } = batch;
  let kept = 0;
  for (let i = 0; i < batch.count; i++) {
    const slot = slots[i]!;
    if (isCommitted(core, slot, packet.outPort(slot), EGRESS_STATEFUL)) slots[kept++] = slot;
  }
  batch.count = kept;
}

/** False when the packet left the batch: to its owner, or dropped. */
function isCommitted(core: Core, slot: number, port: number, stage: number): boolean {
  if (!isHome(core, slot, port, stage)) return false;
  if (!core.isOwner(slot)) {
    core.handOver(slot, core.ownerOf(slot), stage);
    return false;
  }
  if ((packet.flags(slot) & packet.FLAG_DENIED) !== 0) {
    blockConnection(core, slot, port);
    core.allocator.give(slot);
    core.handedOver++; // It was counted where it was refused.
    return false;
  }
  const isTranslated = (packet.flags(slot) & packet.FLAG_TRANSLATED) !== 0;
  const reason = isTranslated ? commitTranslated(core, slot, port) : commit(core, slot, port);
  if (reason === GOES_ON) return true;
  core.drop(slot, reason);
  return false;
}
