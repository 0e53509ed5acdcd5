/**
 * Open vSwitch with its user-space data path as a peer, with processes and a database of its own,
 * in a namespace of its own. Its pipeline does for the same packets what ours does: port security,
 * connection tracking, a hundred rules, routing with MAC and TTL rewrite, output.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Driver } from "@rhone/cli/namespaces";
import { run, runOrThrow } from "@rhone/cli/run";
import type { Path } from "./flood.ts";
import { pin, ROUTER_PROCESSOR } from "./topology.ts";

const SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema";
const CLIENT = "10.1.0.10";
const SERVER = "10.2.0.10";
const ROUTER_MAC = "02:00:00:00:00:aa";
const RULES = 100;

export interface OpenVSwitch {
  readonly path: Path;
  /** "on AF_XDP", say. */
  readonly mode: string;
  /** Its thread polls without end: it only runs between these two, or it would slow the others. */
  readonly resume: () => void;
  readonly pause: () => void;
  readonly end: () => Promise<void>;
}

/** How a switch reaches its ports; the pipeline behind them is the same. */
export interface PortKind {
  readonly mode: string;
  /** The build of ovs-vswitchd: a name or a path. */
  readonly program: string;
  /** Whether frames come as they would from a wire: with checksums, in one piece. */
  readonly isWire: boolean;
  /** More columns of the database's one row. */
  readonly settings: readonly string[];
  /** Columns of an interface that stands for a device. */
  readonly columns: (device: string) => readonly string[];
}

const AF_XDP: PortKind = {
  mode: "on AF_XDP",
  program: "ovs-vswitchd",
  isWire: true,
  settings: [],
  columns: () => ["type=afxdp"],
};
const AF_PACKET: PortKind = {
  mode: "on AF_PACKET",
  program: "ovs-vswitchd",
  isWire: false,
  settings: [],
  columns: () => ["type=system"],
};

export async function hasOpenVSwitch(): Promise<boolean> {
  return (await run(["sh", "-c", "command -v ovs-vswitchd ovsdb-tool"])).code === 0;
}

let count = 0;

/** Throws Error with what a program said; nothing is left then. */
export function startOpenVSwitch(driver: Driver): Promise<OpenVSwitch> {
  return startOpenVSwitchOn(driver === "af-xdp" ? AF_XDP : AF_PACKET);
}

/** Throws Error with what a program said; nothing is left then. */
export async function startOpenVSwitchOn(kind: PortKind): Promise<OpenVSwitch> {
  const prefix = `rhone-bench${process.pid}-ovs${++count}`;
  const [host, client, server] = [`${prefix}-host`, `${prefix}-client`, `${prefix}-server`];
  const directory = mkdtempSync(join(tmpdir(), "rhone-bench-ovs-"));
  const daemons: number[] = [];
  const end = async (): Promise<void> => {
    for (const pid of daemons) process.kill(pid, "SIGKILL");
    await sleep(200);
    for (const namespace of [host, client, server]) await run(["ip", "netns", "del", namespace]);
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    await connect(host, client, server, kind);
    daemons.push(...(await startDaemons(host, directory, kind)));
    await configure(host, client, server, directory, kind);
    for (const pid of daemons) await pin(pid, ROUTER_PROCESSOR);
    await sleep(500);
  } catch (error) {
    await end();
    throw error;
  }
  return {
    path: {
      ...{ client, server, from: CLIENT, to: SERVER, nextHopMac: ROUTER_MAC },
      pids: () => daemons.slice(0, 1),
    },
    mode: kind.mode,
    resume: () => process.kill(daemons[0]!, "SIGCONT"),
    pause: () => process.kill(daemons[0]!, "SIGSTOP"),
    end,
  };
}

async function connect(
  host: string,
  client: string,
  server: string,
  kind: PortKind,
): Promise<void> {
  for (const namespace of [host, client, server])
    await runOrThrow(["ip", "netns", "add", namespace]);
  for (const [end, namespace] of [
    ["client", client],
    ["server", server],
  ] as const) {
    const link = ["link", "add", end, "netns", host, "type", "veth", "peer", "name", "eth0"];
    await runOrThrow(["ip", ...link, "netns", namespace]);
    await runOrThrow(["ip", "-n", host, "link", "set", end, "up"]);
    await runOrThrow(["ip", "-n", namespace, "link", "set", "eth0", "up"]);
    const offloads = ["tx", kind.isWire ? "off" : "on"];
    await runOrThrow(["ip", "netns", "exec", namespace, "ethtool", "-K", "eth0", ...offloads]);
    await run(["ip", "netns", "exec", host, "ethtool", "-K", end, "gro", "on"]);
  }
}

async function configure(
  host: string,
  client: string,
  server: string,
  directory: string,
  kind: PortKind,
): Promise<void> {
  const database = `unix:${directory}/db.sock`;
  const vsctl = (...argv: readonly string[]): Promise<string> =>
    runOrThrow(["ip", "netns", "exec", host, "ovs-vsctl", `--db=${database}`, ...argv]);
  await vsctl("--no-wait", "init");
  await vsctl("set", "Open_vSwitch", ".", "other_config:pmd-cpu-mask=0x2", ...kind.settings);
  await vsctl("add-br", "br", "--", "set", "bridge", "br", "datapath_type=netdev");
  for (const [i, port] of ["client", "server"].entries()) {
    const set = ["set", "interface", port, `ofport_request=${i + 1}`, ...kind.columns(port)];
    await vsctl("add-port", "br", port, "--", ...set);
    const error = (await vsctl("get", "interface", port, "error")).trim();
    if (error !== "[]") throw new Error(`Open vSwitch ${kind.mode}, port ${port}: ${error}`);
  }
  const mac = async (namespace: string): Promise<string> => {
    const cat = ["cat", "/sys/class/net/eth0/address"];
    return (await runOrThrow(["ip", "netns", "exec", namespace, ...cat])).trim();
  };
  const [clientMac, serverMac] = [await mac(client), await mac(server)];
  const flows = join(directory, "flows");
  writeFileSync(flows, flowTable(clientMac, serverMac));
  const ofctl = [
    "ovs-ofctl",
    "-O",
    "OpenFlow14",
    "replace-flows",
    `unix:${directory}/br.mgmt`,
    flows,
  ];
  await runOrThrow(["ip", "netns", "exec", host, ...ofctl]);
}

/** The process ids of ovs-vswitchd and ovsdb-server. */
async function startDaemons(host: string, directory: string, kind: PortKind): Promise<number[]> {
  const env = {
    ...process.env,
    ...{ OVS_RUNDIR: directory, OVS_LOGDIR: directory, OVS_DBDIR: directory },
    RUNTIME_DIRECTORY: directory, // DPDK's.
  };
  await runOrThrow(["ovsdb-tool", "create", `${directory}/conf.db`, SCHEMA]);
  const start = (name: string, program: string, ...argv: readonly string[]): void => {
    const pidfile = `--pidfile=${directory}/${name}.pid`;
    const common = [pidfile, `--unixctl=${directory}/${name}.ctl`, "--verbose=off"];
    const command = ["netns", "exec", host, program, ...argv, ...common];
    spawn("ip", command, { env, stdio: "ignore", detached: true }).unref();
  };
  const listen = `--remote=punix:${directory}/db.sock`;
  start("ovsdb-server", "ovsdb-server", `${directory}/conf.db`, listen);
  await sleep(500);
  start("ovs-vswitchd", kind.program, `unix:${directory}/db.sock`);
  await sleep(1000);
  return ["ovs-vswitchd", "ovsdb-server"].map((name) =>
    Number(readFileSync(`${directory}/${name}.pid`, "utf8")),
  );
}

function flowTable(clientMac: string, serverMac: string): string {
  const admit = (port: number, mac: string, address: string): string =>
    `table=0,priority=10,in_port=${port},dl_src=${mac},ip,nw_src=${address},` +
    `actions=ct(table=1,zone=${port})`;
  const deny = Array.from(
    { length: RULES },
    (_, i) =>
      `table=1,priority=100,tcp,nw_dst=172.16.${i}.0/24,tp_dst=22,ct_state=+trk,actions=drop`,
  );
  const route = (to: string, mac: string, port: number): string =>
    `table=2,priority=10,ip,dl_dst=${ROUTER_MAC},nw_dst=${to},actions=mod_dl_src:${ROUTER_MAC},` +
    `mod_dl_dst:${mac},dec_ttl,ct(table=3,zone=${port})`;
  return [
    "table=0,priority=0,actions=drop",
    admit(1, clientMac, CLIENT),
    admit(2, serverMac, SERVER),
    ...deny,
    "table=1,priority=10,ip,ct_state=+trk+est,actions=resubmit(,2)",
    "table=1,priority=9,ip,ct_state=+trk+new,actions=ct(commit,zone=NXM_NX_CT_ZONE[]),resubmit(,2)",
    "table=1,priority=0,actions=drop",
    route(SERVER, serverMac, 2),
    route(CLIENT, clientMac, 1),
    "table=2,priority=0,actions=drop",
    `table=3,priority=10,ip,nw_dst=${SERVER},ct_state=+est,actions=output:2`,
    `table=3,priority=9,ip,nw_dst=${SERVER},ct_state=+new,actions=ct(commit,zone=2),output:2`,
    `table=3,priority=10,ip,nw_dst=${CLIENT},ct_state=+est,actions=output:1`,
    `table=3,priority=9,ip,nw_dst=${CLIENT},ct_state=+new,actions=ct(commit,zone=1),output:1`,
    "table=3,priority=0,actions=drop",
    "",
  ].join("\n");
}
