/**
 * The network devices that a chassis lives by. A port that got one of them would take its frames
 * away from the kernel: the chassis would not hear the others any more, nor of the end of the port.
 * Run by the control thread.
 */
import { RouteTable } from "@rhone/netio/rtnetlink";
import { parseAddress } from "@rhone/wire/address";

const LOOPBACK = "lo";

/** By name, with why no port can have it. Asks the kernel each time: addresses move. */
export function ownDevices(underlay: string): ReadonlyMap<string, string> {
  const loopback = [LOOPBACK, `${LOOPBACK} is how programs of this host reach each other`] as const;
  const table = new RouteTable();
  try {
    const index = table.deviceOf(parseAddress(underlay)!);
    const link = index === null ? null : table.link(index);
    if (link === null || link.name === LOOPBACK) return new Map([loopback]);
    const use = `${link.name} has the address ${underlay}, by which the other chassis are reached`;
    return new Map([loopback, [link.name, use]]);
  } finally {
    table.close();
  }
}
