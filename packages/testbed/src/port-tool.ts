/**
 * A program for workloads that sends UDP datagrams to several ports in turn, or counts what comes
 * to each, until its standard input ends. Prints the counts as JSON, by port.
 *
 *   send ADDRESS RATE FLOWS PORT…   RATE datagrams a second in all, from FLOWS source ports
 *   count PORT…
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";

export type PortCounts = Readonly<Record<string, number>>;

const TICK_MS = 2;
const SETTLE_MS = 500;
const RECEIVE_BUFFER_SIZE = 2 ** 22;

const [verb, ...rest] = process.argv.slice(2);
let isStopping = false;
process.stdin.resume().once("end", () => {
  isStopping = true;
});

async function send(address: string, rate: number, flows: number, ports: readonly number[]) {
  const sockets = Array.from({ length: flows }, () => createSocket("udp4"));
  for (const socket of sockets) {
    socket.on("error", () => {}); // Refused, for all that it knows.
    socket.bind(0);
    await once(socket, "listening");
  }
  const counts = new Map(ports.map((port) => [port, 0]));
  const startedMs = performance.now();
  process.stdout.write("ready\n");
  for (let sent = 0; !isStopping; await sleep(TICK_MS)) {
    const due = Math.floor(((performance.now() - startedMs) / 1000) * rate);
    if (due - sent > rate / 10) sent = due - rate / 10; // After a pause, not all in one go.
    for (; sent < due; sent++) {
      const port = ports[Math.floor(sent) % ports.length]!;
      counts.set(port, counts.get(port)! + 1);
      sockets[Math.floor(sent / ports.length) % flows]!.send("datagram", port, address);
    }
  }
  await sleep(SETTLE_MS);
  return counts;
}

async function count(ports: readonly number[]) {
  const counts = new Map(ports.map((port) => [port, 0]));
  for (const port of ports) {
    const socket = createSocket({ type: "udp4", recvBufferSize: RECEIVE_BUFFER_SIZE });
    socket.on("message", () => counts.set(port, counts.get(port)! + 1));
    socket.bind(port);
    await once(socket, "listening");
  }
  process.stdout.write("ready\n");
  while (!isStopping) await sleep(TICK_MS);
  return counts;
}

const counts =
  verb === "send"
    ? await send(rest[0]!, Number(rest[1]), Number(rest[2]), rest.slice(3).map(Number))
    : await count(rest.map(Number));
process.stdout.write(`${JSON.stringify(Object.fromEntries(counts))}\n`);
process.exit(0);
