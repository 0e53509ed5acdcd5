/**
 * The plainest forwarder that our ports allow: what comes by one of two devices leaves by the other
 * as it is. What it takes is the price of AF_XDP here, and the router's part is the rest.
 *
 *   DEVICE DEVICE
 */
import { openAfXdp } from "@rhone/netio/af-xdp";
import { Poller } from "@rhone/netio/doorbell";
import { COUNTERS_SIZE, Counters } from "@rhone/rings/counters";
import { poolViews } from "@rhone/rings/pool";
import { SlotAllocator } from "@rhone/rings/slot-allocator";

const BATCH = 64;
const SLEEP_MS = 100;

const { smallCount, largeCount } = poolViews();
const counters = new Counters(new SharedArrayBuffer(COUNTERS_SIZE));
const allocator = new SlotAllocator({ smallCount, largeCount }, 0, 1, [null], []);
const [left, right] = process.argv
  .slice(2)
  .map((device, index) => openAfXdp(device, { index, allocator, counters }));
const poller = new Poller();
for (const port of [left!, right!]) poller.add(...port.descriptors);
const slots = new Int32Array(BATCH);
process.stdout.write("ready\n");
for (;;) {
  const toRight = left!.receive(slots, BATCH);
  right!.transmit(slots, toRight);
  const toLeft = right!.receive(slots, BATCH);
  left!.transmit(slots, toLeft);
  const isInFlight = [left!.reclaim(), right!.reclaim()].includes(true);
  if (toRight + toLeft === 0) poller.poll(isInFlight ? 0 : SLEEP_MS);
}
