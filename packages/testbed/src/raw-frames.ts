/**
 * A program for workloads that sends frames as they are: lines of hexadecimal on standard input, by
 * the device eth0.
 */
import { text } from "node:stream/consumers";
import { openAfPacket } from "@rhone/netio/af-packet";
import { COUNTERS_SIZE, Counters } from "@rhone/rings/counters";
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import { SlotAllocator } from "@rhone/rings/slot-allocator";

const pool = poolViews();
const allocator = new SlotAllocator(pool, 0, 1, [null], []);
const counters = new Counters(new SharedArrayBuffer(COUNTERS_SIZE));
const port = openAfPacket("eth0", { index: 0, allocator, counters });
const slots = new Int32Array(1);
for (const line of (await text(process.stdin)).split("\n")) {
  if (line === "") continue;
  const frame = Buffer.from(line, "hex");
  const slot = allocator.takeSmall();
  const at = packet.defaultFrameAt(slot);
  packet.begin(slot, at, frame.length, 0);
  pool.bytes.set(frame, at);
  slots[0] = slot;
  port.transmit(slots, 1);
}
while (port.reclaim());
port.close();
