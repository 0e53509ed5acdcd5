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
import type { Path } from "./forwarding.ts";
import { pin, ROUTER_PROCESSOR } from "./topology.ts";

const SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema";
const CLIENT = "10.1.0.10";
const SERVER = "10.2.0.10";
const ROUTER_MAC = "02:00:00:00:00:aa";
const RULES = 100;

export interface OpenVSwitch {
  readonly path: Path;
  /** "on AF_XDP" or "on AF_PACKET". */
  readonly mode: string;
  /** Its thread polls without end: it only runs between these two, or it would slow the others. */
  readonly resume: () => void;
  readonly pause: () => void;
  readonly end: () => Promise<void>;
}

export async function hasOpenVSwitch(): Promise<boolean> {
  return (await run(["sh", "-c", "command -v ovs-vswitchd ovsdb-tool"])).code === 0;
}

let count = 0;

/** Throws Error with what a program said; nothing is left then. */
export async function startOpenVSwitch(driver: Driver): Promise<OpenVSwitch> {
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
    await connect(host, client, server, driver);
    daemons.push(...(await startDaemons(host, directory)));
    await configure(host, client, server, directory, driver);
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
    mode: driver === "af-xdp" ? "on AF_XDP" : "on AF_PACKET",
    resume: () => process.kill(daemons[0]!, "SIGCONT"),
    pause: () => process.kill(daemons[0]!, "SIGSTOP"),
    end,
  };
}

async function connect(
  host: string,
  client: string,
  server: string,
  driver: Driver,
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
    const [feature, state] = driver === "af-xdp" ? ["tx", "off"] : ["tx", "on"];
    await runOrThrow(["ip", "netns", "exec", namespace, "ethtool", "-K", "eth0", feature, state]);
    await run(["ip", "netns", "exec", host, "ethtool", "-K", end, "gro", "on"]);
  }
}

async function configure(
  host: string,
  client: string,
  server: string,
  directory: string,
  driver: Driver,
): Promise<void> {
  const type = driver === "af-xdp" ? "afxdp" : "system";
  const database = `unix:${directory}/db.sock`;
  const vsctl = (...argv: readonly string[]): Promise<string> =>
    runOrThrow(["ip", "netns", "exec", host, "ovs-vsctl", `--db=${database}`, ...argv]);
  await vsctl("--no-wait", "init");
  await vsctl("set", "Open_vSwitch", ".", "other_config:pmd-cpu-mask=0x2");
  await vsctl("add-br", "br", "--", "set", "bridge", "br", "datapath_type=netdev");
  for (const [i, port] of ["client", "server"].entries()) {
    const set = ["set", "interface", port, `type=${type}`, `ofport_request=${i + 1}`];
    await vsctl("add-port", "br", port, "--", ...set);
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
async function startDaemons(host: string, directory: string): Promise<number[]> {
  const env = {
    ...process.env,
    ...{ OVS_RUNDIR: directory, OVS_LOGDIR: directory, OVS_DBDIR: directory },
  };
  await runOrThrow(["ovsdb-tool", "create", `${directory}/conf.db`, SCHEMA]);
  const start = (name: string, ...argv: readonly string[]): void => {
    const pidfile = `--pidfile=${directory}/${name}.pid`;
    const common = [pidfile, `--unixctl=${directory}/${name}.ctl`, "--verbose=off"];
    const command = ["netns", "exec", host, name, ...argv, ...common];
    spawn("ip", command, { env, stdio: "ignore", detached: true }).unref();
  };
  start("ovsdb-server", `${directory}/conf.db`, `--remote=punix:${directory}/db.sock`);
  await sleep(500);
  start("ovs-vswitchd", `unix:${directory}/db.sock`);
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
