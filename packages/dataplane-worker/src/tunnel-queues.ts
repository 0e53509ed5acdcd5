/**
 * Queues of the underlay device as devices of the data plane: they are allotted to workers, move
 * and outlive a worker as those do. They have the last device indices; a chassis whose tunnel does
 * without AF_XDP has none.
 */
import { DEVICES_MAX } from "@rhone/rings/counters";

/** Device index of a queue of the tunnel. */
export function indexOfQueue(queue: number): number {
  return DEVICES_MAX - 1 - queue;
}

/** The queue that a device index stands for, -1 for one of a port; `count` queues are there. */
export function queueOfIndex(index: number, count: number): number {
  const queue = DEVICES_MAX - 1 - index;
  return queue < count ? queue : -1;
}
