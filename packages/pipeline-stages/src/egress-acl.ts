/** Stage 11, egress ACL: the rules for packets to the port that they go to. */
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { TO_PORT } from "@rhone/tables/acls";
import type { Batch, Core } from "./core.ts";
import { GOES_ON } from "./parse.ts";
import { answerToPort } from "./reject.ts";
import { AWAITS_TABLES, judge } from "./rules.ts";

export function egressAcl(core: Core, batch: Batch): void {
  const { slots } = batch;
  let kept = 0;
  for (let i = 0; i < batch.count; i++) {
    const slot = slots[i]!;
    const reason = judge(core, slot, TO_PORT, packet.outPort(slot));
    if (reason === GOES_ON) slots[kept++] = slot;
    else if (reason === AWAITS_TABLES) continue;
    else if (reason !== DROP["acl-reject"] || !answerToPort(core, slot)) core.drop(slot, reason);
  }
  batch.count = kept;
}
