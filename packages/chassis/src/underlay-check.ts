/**
 * Whether the underlay device carries outer packets as long as the configuration says. Longer ones
 * would be dropped on the way, and nobody would tell their senders to make them shorter. Run by the
 * control thread.
 */
import type { HealthView } from "@rhone/api/context";
import { RouteTable } from "@rhone/netio/rtnetlink";
import { parseAddress } from "@rhone/wire/address";
import { type Config, tunnelMtu } from "./config.ts";

/** Asks the kernel each time: devices and their MTU change. */
export function underlayCheck(config: Config): HealthView["checks"][number] {
  const name = "underlay";
  const { underlay, underlayMtu } = config;
  const table = new RouteTable();
  try {
    const index = table.deviceOf(parseAddress(underlay)!);
    const link = index === null ? null : table.link(index);
    if (link === null) return { name, ok: false, detail: `no device has the address ${underlay}` };
    const device = `the device ${link.name} has an MTU of ${link.mtu}`;
    if (link.mtu < underlayMtu) {
      const lack = `less than the underlayMtu of ${underlayMtu}: long packets are lost`;
      return { name, ok: false, detail: `${device}, ${lack}` };
    }
    return { name, ok: true, detail: `${device}; workloads have ${tunnelMtu(config)}` };
  } finally {
    table.close();
  }
}
