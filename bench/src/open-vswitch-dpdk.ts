/**
 * Open vSwitch with DPDK's AF_XDP ports as a peer: the pipeline of open-vswitch.ts behind DPDK's
 * driver instead of its own. Debian's packages openvswitch-switch-dpdk, librte-net-af-xdp23 and
 * librte-mempool-ring23; the options are those of "AF_XDP Poll Mode Driver", DPDK 22.11.
 */
import { run } from "@rhone/cli/run";
import { type OpenVSwitch, type PortKind, startOpenVSwitchOn } from "./open-vswitch.ts";

const PROGRAM = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk";
const DRIVERS = "/usr/lib/*/dpdk/pmds-*";
/**
 * Ordinary pages, so that nothing of the machine is set aside; and nothing is shared with other
 * processes. Without --legacy-mem Open vSwitch adds --in-memory, which --no-huge excludes.
 */
const DPDK_ARGUMENTS = "--no-huge --legacy-mem --no-shconf --no-telemetry --no-pci -m 512";

const NET_AF_XDP: PortKind = {
  mode: "with DPDK on net_af_xdp",
  program: PROGRAM,
  isWire: true,
  // With "try", ports say what is wrong; with "true", the process would end.
  settings: ["other_config:dpdk-init=try", `other_config:dpdk-extra="${DPDK_ARGUMENTS}"`],
  columns: (device) => {
    // A budget above 0 makes each poll that finds nothing a system call: not faster here.
    const port = `net_af_xdp_${device},iface=${device},force_copy=1,busy_budget=0`;
    return ["type=dpdk", `options:dpdk-devargs="${port}"`];
  },
};

export async function hasOpenVSwitchDpdk(): Promise<boolean> {
  const drivers = ["net_af_xdp", "mempool_ring"].map((name) => `${DRIVERS}/librte_${name}.so.*`);
  const found = `command -v ovsdb-tool && ls ${PROGRAM} ${drivers.join(" ")}`;
  return (await run(["sh", "-c", found])).code === 0;
}

/** Throws Error with what a program said; nothing is left then. */
export function startOpenVSwitchDpdk(): Promise<OpenVSwitch> {
  return startOpenVSwitchOn(NET_AF_XDP);
}
