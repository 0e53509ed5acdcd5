/**
 * What is dropped when a ring to another worker has too little room: packets of new flows first,
 * and of those the newest, so that a flood of beginnings does not end what has begun.
 */
import type { Core } from "@rhone/pipeline-stages/core";
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import * as ipv4 from "@rhone/wire/ipv4";
import * as tcp from "@rhone/wire/tcp";

const DROPPED = -1;

const view = poolViews().view;

/**
 * Drops `excess` of `slots[0..count)` under `reason`. The others move to the front in their order;
 * returns how many they are.
 */
export function dropExcess(
  core: Core,
  slots: Int32Array,
  count: number,
  excess: number,
  reason: number,
): number {
  let left = excess;
  for (let i = count - 1; i >= 0 && left > 0; i--) {
    if (!isOfNewFlow(slots[i]!)) continue;
    drop(core, slots, i, reason);
    left--;
  }
  for (let i = count - 1; i >= 0 && left > 0; i--) {
    if (slots[i] === DROPPED) continue;
    drop(core, slots, i, reason);
    left--;
  }
  let kept = 0;
  for (let i = 0; i < count; i++) if (slots[i] !== DROPPED) slots[kept++] = slots[i]!;
  return kept;
}

function drop(core: Core, slots: Int32Array, i: number, reason: number): void {
  core.stage = packet.stage(slots[i]!);
  core.drop(slots[i]!, reason);
  slots[i] = DROPPED;
}

/** Before the look-up only TCP says so itself. */
function isOfNewFlow(slot: number): boolean {
  if ((packet.connection(slot) & packet.CONNECTION_NEW) !== 0) return true;
  const at = packet.l4At(slot);
  if (at === 0 || packet.protocol(slot) !== ipv4.PROTOCOL_TCP) return false;
  return (tcp.flags(view, at) & (tcp.SYN | tcp.ACK)) === tcp.SYN;
}
