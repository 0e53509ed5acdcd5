/**
 * A steady load: small UDP frames of many flows by eth0 of the namespace that it runs in, until
 * SIGTERM. Then it prints how many the device took. With a RATE of 0 as many as it takes.
 *
 *   RATE SOURCE-MAC DESTINATION-MAC SOURCE DESTINATION
 */

import { setImmediate as pass, setTimeout as sleep } from "node:timers/promises";
import { openAfPacket } from "@rhone/netio/af-packet";
import { COUNTERS_SIZE, Counters } from "@rhone/rings/counters";
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import { SlotAllocator } from "@rhone/rings/slot-allocator";
import { udpFrame } from "./udp-frame.ts";

const FLOWS = 1000;
const SIZE = 60;
/** Frames of one call at most, as a veth with an XDP program queues few: the rest is left out. */
const BURST_MAX = 192;
const DEVICE = 0;

const [rate, ...ends] = process.argv.slice(2);
const { bytes, smallCount, largeCount } = poolViews();
const counters = new Counters(new SharedArrayBuffer(COUNTERS_SIZE));
const allocator = new SlotAllocator({ smallCount, largeCount }, 0, 1, [null], []);
const port = openAfPacket("eth0", { index: DEVICE, allocator, counters });
const frames = Array.from({ length: FLOWS }, (_, flow) => udpFrame(SIZE, flow, ends));
const slots = new Int32Array(BURST_MAX);

let isOver = false;
process.on("SIGTERM", () => {
  isOver = true;
});
const startMs = performance.now();
let made = 0;
while (!isOver) {
  const isAtMost = Number(rate) === 0;
  await (isAtMost ? pass() : sleep(1));
  const elapsedMs = performance.now() - startMs;
  const due = isAtMost ? made + BURST_MAX : Math.floor((elapsedMs / 1000) * Number(rate));
  const count = Math.min(BURST_MAX, due - made);
  for (let i = 0; i < count; i++) {
    const slot = allocator.takeSmall();
    const frameAt = packet.defaultFrameAt(slot);
    bytes.set(frames[(made + i) % FLOWS]!, frameAt);
    packet.begin(slot, frameAt, SIZE, DEVICE);
    slots[i] = slot;
  }
  port.transmit(slots, count);
  made = due;
}
process.stdout.write(`${counters.device(DEVICE).txPackets}\n`);
port.close();
