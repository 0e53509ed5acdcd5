/**
 * For tests, run as a program by Node and by Deno: three chassis with real servers agree, lose one
 * server, and agree again. Prints the milliseconds that each step took as one line of JSON.
 *
 * With the argument `hold`: starts one server, prints its process id, and waits to be killed; the
 * second argument is the directory to use.
 */
import process from "node:process";
import { setInterval } from "node:timers";
import { freePorts, NatsCluster } from "./nats-cluster-fixture.ts";
import { NatsServer } from "./nats-server.ts";

if (process.argv[2] === "hold") await hold(process.argv[3] ?? "");
else await smoke();

async function smoke(): Promise<void> {
  const cluster = new NatsCluster();
  try {
    await cluster.start(3);
    const meshMs = await cluster.connected(10_000);
    cluster.put(0, "web");
    const changeMs = await cluster.converged(1, 5000);
    process.kill(cluster.chassis[1]!.server.state.pid ?? 0, "SIGKILL");
    cluster.put(0, "db");
    const repairMs = await cluster.converged(2, 10_000);
    console.log(JSON.stringify({ meshMs, changeMs, repairMs }));
  } finally {
    await cluster.stop();
  }
}

async function hold(directory: string): Promise<void> {
  const [clientPort, clusterPort] = await freePorts(2);
  const server = new NatsServer({
    name: "hold",
    clientPort: clientPort!,
    underlay: "127.0.0.1",
    clusterPort: clusterPort!,
    leafPort: 1,
    place: { role: "mesh", routes: [] },
    directory,
  });
  await server.start();
  console.log(String(server.state.pid));
  setInterval(() => {}, 1000);
}
