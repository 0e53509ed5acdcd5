/**
 * A program that takes one queue of a device for itself, so that nobody else gets it, until its
 * standard input ends.
 *
 *   xdp-holder.ts DEVICE QUEUE
 */
import { openAfXdp } from "@rhone/netio/af-xdp";
import { COUNTERS_SIZE, Counters } from "@rhone/rings/counters";
import { poolViews } from "@rhone/rings/pool";
import { SlotAllocator } from "@rhone/rings/slot-allocator";

const [device, queue] = process.argv.slice(2);
const { smallCount, largeCount } = poolViews();
const context = {
  index: 0,
  allocator: new SlotAllocator({ smallCount, largeCount }, 0, 1, [null], []),
  counters: new Counters(new SharedArrayBuffer(COUNTERS_SIZE)),
};
const port = openAfXdp(device!, context, { queue: Number(queue) });
process.stdout.write("held\n");
process.stdin.resume().once("end", () => {
  port.close();
  process.exit(0);
});
