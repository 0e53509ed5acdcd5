/** The kernel as a peer: two namespaces joined by its bridge, or by VXLAN between two bridges. */
import { run, runOrThrow } from "@rhone/cli/run";

export interface KernelPath {
  readonly client: string;
  readonly server: string;
  readonly serverAddress: string;
  readonly end: () => Promise<void>;
}

async function ip(...argv: readonly string[]): Promise<void> {
  await runOrThrow(["ip", ...argv]);
}

/** A namespace that is new, or already there, with a veth to a new one whose end is eth0. */
export async function plugInto(host: string, namespace: string, end: string): Promise<void> {
  if ((await run(["ip", "netns", "pids", host])).code !== 0) await ip("netns", "add", host);
  await ip("netns", "add", namespace);
  const link = ["link", "add", end, "netns", host, "type", "veth"];
  await ip(...link, "peer", "name", "eth0", "netns", namespace);
  await ip("-n", host, "link", "set", end, "up");
  await ip("-n", namespace, "link", "set", "eth0", "up");
  // So that it polls for what a generator redirects into it.
  await runOrThrow(["ip", "netns", "exec", host, "ethtool", "-K", end, "gro", "on"]);
}

/** A client or a server, with a veth into the namespace of its bridge. */
async function plug(prefix: string, end: string, host: string, address: string): Promise<void> {
  const namespace = `${prefix}-${end}`;
  await plugInto(host, namespace, end);
  await ip("-n", host, "link", "set", end, "master", "bridge");
  await ip("-n", namespace, "address", "add", `${address}/24`, "dev", "eth0");
}

async function makeBridge(namespace: string): Promise<void> {
  await ip("netns", "add", namespace);
  await ip("-n", namespace, "link", "add", "bridge", "type", "bridge");
  await ip("-n", namespace, "link", "set", "bridge", "up");
}

export async function removeNamespaces(namespaces: readonly string[]): Promise<void> {
  for (const namespace of namespaces) await ip("netns", "del", namespace);
}

export async function startBridge(): Promise<KernelPath> {
  const prefix = `rhone-bench${process.pid}-kb`;
  const host = `${prefix}-host`;
  await makeBridge(host);
  await plug(prefix, "client", host, "10.8.0.1");
  await plug(prefix, "server", host, "10.8.0.2");
  const namespaces = [host, `${prefix}-client`, `${prefix}-server`];
  return {
    client: `${prefix}-client`,
    server: `${prefix}-server`,
    serverAddress: "10.8.0.2",
    end: () => removeNamespaces(namespaces),
  };
}

export async function startVxlan(): Promise<KernelPath> {
  const prefix = `rhone-bench${process.pid}-kv`;
  const hosts = [`${prefix}-left`, `${prefix}-right`] as const;
  for (const host of hosts) await makeBridge(host);
  const link = ["link", "add", "underlay", "netns", hosts[0], "type", "veth"];
  await ip(...link, "peer", "name", "underlay", "netns", hosts[1]);
  for (const [i, host] of hosts.entries()) {
    const [own, other] = [`10.9.0.${i + 1}`, `10.9.0.${2 - i}`];
    await ip("-n", host, "address", "add", `${own}/24`, "dev", "underlay");
    await ip("-n", host, "link", "set", "underlay", "up");
    const vxlan = ["link", "add", "vxlan", "type", "vxlan", "id", "7", "dstport", "4789"];
    await ip("-n", host, ...vxlan, "local", own, "remote", other);
    await ip("-n", host, "link", "set", "vxlan", "master", "bridge", "up");
  }
  await plug(prefix, "client", hosts[0], "10.8.0.1");
  await plug(prefix, "server", hosts[1], "10.8.0.2");
  for (const end of ["client", "server"]) {
    await ip("-n", `${prefix}-${end}`, "link", "set", "eth0", "mtu", "1450");
  }
  return {
    client: `${prefix}-client`,
    server: `${prefix}-server`,
    serverAddress: "10.8.0.2",
    end: () => removeNamespaces([...hosts, `${prefix}-client`, `${prefix}-server`]),
  };
}
