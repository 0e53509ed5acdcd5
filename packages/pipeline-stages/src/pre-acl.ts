/**
 * Stages 1 and 10: bring the packet to the worker that owns its flow, and look its connection up,
 * in the zone of the in-port (pre-acl) and of the out-port (egress-pre-acl).
 */
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { EGRESS_PRE_ACL, PRE_ACL } from "@rhone/rings/stage";
import { lookUp } from "./connection-tracking.ts";
import type { Batch, Core } from "./core.ts";
import { resolveFragment } from "./fragment.ts";
import { GOES_ON } from "./parse.ts";
import { isHome } from "./place.ts";
import { isConflict, reverse } from "./translation.ts";

export function preAcl(core: Core, batch: Batch): void {
  const { slots } = batch;
  let kept = 0;
  for (let i = 0; i < batch.count; i++) {
    const slot = slots[i]!;
    if (!isHome(core, slot, packet.inPort(slot), PRE_ACL)) continue;
    if (!isReady(core, slot, PRE_ACL)) continue;
    lookUp(core, slot, packet.inPort(slot));
    if (isConflict(slot)) core.drop(slot, DROP["translation-conflict"]);
    else slots[kept++] = slot;
  }
  batch.count = kept;
}

export function egressPreAcl(core: Core, batch: Batch): void {
  const { slots } = batch;
  let kept = 0;
  for (let i = 0; i < batch.count; i++) {
    const slot = slots[i]!;
    if (!isHome(core, slot, packet.outPort(slot), EGRESS_PRE_ACL)) continue;
    if (!isReady(core, slot, EGRESS_PRE_ACL)) continue;
    lookUp(core, slot, packet.outPort(slot));
    if (reverse(core, slot, packet.outPort(slot))) slots[kept++] = slot;
  }
  batch.count = kept;
}

/** False when the packet left the batch: to its owner, to wait for the first fragment, dropped. */
function isReady(core: Core, slot: number, stage: number): boolean {
  if (!core.isOwner(slot)) {
    core.handOver(slot, core.ownerOf(slot), stage);
    return false;
  }
  const reason = resolveFragment(core, slot);
  if (reason !== GOES_ON) {
    if (core.holdOrphan(slot)) core.handedOver++;
    else core.drop(slot, reason);
    return false;
  }
  // The owner of the fragments now knows the flow, which may be another's.
  if (core.isOwner(slot)) return true;
  core.handOver(slot, core.ownerOf(slot), stage);
  return false;
}
