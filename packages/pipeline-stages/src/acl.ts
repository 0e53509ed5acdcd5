/** Stage 2, ACL: the rules for packets from the port that they came in by. */
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { FROM_PORT } from "@rhone/tables/acls";
import type { Batch, Core } from "./core.ts";
import { GOES_ON } from "./parse.ts";
import { answerFromPort } from "./reject.ts";
import { AWAITS_TABLES, judge } from "./rules.ts";

export function acl(core: Core, batch: Batch): void {
  const { slots } = batch;
  let kept = 0;
  for (let i = 0; i < batch.count; i++) {
    const slot = slots[i]!;
    const reason = judge(core, slot, FROM_PORT, packet.inPort(slot));
    if (reason === GOES_ON) slots[kept++] = slot;
    else if (reason === AWAITS_TABLES) continue;
    else if (reason !== DROP["acl-reject"] || !answerFromPort(core, slot, reason))
      core.drop(slot, reason);
  }
  batch.count = kept;
}
