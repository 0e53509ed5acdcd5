/**
 * Stage 14, egress port security: a secured port gets only what is addressed to it. The mirror
 * image of stage 0, at the chassis of the destination.
 */
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import { IPV4_MAPPED } from "@rhone/tables/ports";
import * as ethernet from "@rhone/wire/ethernet";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import type { Batch, Core } from "./core.ts";
import { GOES_ON } from "./parse.ts";

const MULTICAST_IPV4_FIRST = 224; // First byte; broadcast is above.

const view = poolViews().view;

export function egressPortSecurity(core: Core, batch: Batch): void {
  const { slots } = batch;
  let kept = 0;
  for (let i = 0; i < batch.count; i++) {
    const slot = slots[i]!;
    const reason = checkDestination(core, slot);
    if (reason === GOES_ON) slots[kept++] = slot;
    else core.drop(slot, reason);
  }
  batch.count = kept;
}

function checkDestination(core: Core, slot: number): number {
  const { ports } = core.tables;
  const port = packet.outPort(slot);
  const at = packet.frameAt(slot);
  if (!ports.isSecured(port) || ethernet.isMulticast(view, at)) return GOES_ON;
  const isOwnMac =
    ethernet.destinationHigh(view, at) === ports.macHigh(port) &&
    ethernet.destinationLow(view, at) === ports.macLow(port);
  if (!isOwnMac) return DROP["port-security-egress"];
  if (ports.addressCount(port) === 0 || isAddressOf(core, slot, port)) return GOES_ON;
  return DROP["port-security-egress"];
}

function isAddressOf(core: Core, slot: number, port: number): boolean {
  const { ports } = core.tables;
  const at = packet.l3At(slot);
  if (packet.etherType(slot) === ethernet.ETHERTYPE_IPV4) {
    const address = ipv4.destination(view, at);
    return (
      address >>> 24 >= MULTICAST_IPV4_FIRST || ports.hasAddress(port, 0, 0, IPV4_MAPPED, address)
    );
  }
  if (packet.etherType(slot) !== ethernet.ETHERTYPE_IPV6) return true;
  const first = ipv6.destinationWord(view, at, 0);
  return (
    first >>> 24 === 0xff ||
    ports.hasAddress(
      port,
      first,
      ipv6.destinationWord(view, at, 1),
      ipv6.destinationWord(view, at, 2),
      ipv6.destinationWord(view, at, 3),
    )
  );
}
