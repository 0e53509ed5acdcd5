/** A forwarder without a pipeline, on the router's own ports, as a peer. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { runtimeCommand } from "@rhone/cli/runtime";
import type { Options } from "./case.ts";
import type { Path } from "./flood.ts";
import { plugInto, removeNamespaces } from "./kernel-peers.ts";
import { ROUTER_PROCESSOR } from "./topology.ts";

export interface PlainForwarder {
  readonly path: Path;
  readonly end: () => Promise<void>;
}

/** Throws Error with what a program said; nothing is left then. */
export async function startPlainForwarder(options: Options): Promise<PlainForwarder> {
  const prefix = `rhone-bench${process.pid}-plain`;
  const namespaces = ["host", "client", "server"].map((name) => `${prefix}-${name}`);
  const [host, client, server] = namespaces as [string, string, string];
  const end = () => removeNamespaces(namespaces);
  try {
    await plugInto(host, client, "client");
    await plugInto(host, server, "server");
    const script = fileURLToPath(new URL("./forward-plainly.ts", import.meta.url));
    const command = [...runtimeCommand(options.runtime), script, "client", "server"];
    const pinned = ["netns", "exec", host, "taskset", "-c", ROUTER_PROCESSOR, ...command];
    const forwarder = spawn("ip", pinned, { stdio: ["ignore", "pipe", "inherit"] });
    const ended = once(forwarder, "exit");
    const first = await Promise.race([once(forwarder.stdout, "data"), ended]);
    if (!String(first[0]).startsWith("ready")) throw new Error("the plain forwarder did not start");
    return {
      path: {
        ...{ client, server, from: "10.8.0.1", to: "10.8.0.2" },
        nextHopMac: "02:00:00:00:00:aa",
        pids: () => [forwarder.pid!],
      },
      end: async () => {
        forwarder.kill("SIGKILL");
        await ended;
        await end();
      },
    };
  } catch (error) {
    await end();
    throw error;
  }
}
