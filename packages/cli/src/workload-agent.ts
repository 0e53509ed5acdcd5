/**
 * Runs inside a workload's namespace while a lab is checked, as an ordinary program with ordinary
 * sockets: echoes TCP and UDP, and on request talks to the agents of other workloads or runs
 * `ping`. Requests come as lines of JSON on standard input, answers go the same way to standard
 * output.
 */
import { createHash, randomBytes } from "node:crypto";
import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createConnection, createServer, isIP } from "node:net";
import { createInterface } from "node:readline";
import { run } from "./run.ts";

export type AgentRequest =
  /** `ping` with these arguments. */
  | { readonly op: "ping"; readonly arguments: readonly string[] }
  /** Sends random bytes and expects the same back. */
  | { readonly op: "tcp"; readonly to: string; readonly size: number }
  /** Sends datagrams of random bytes, one after the other, and expects each back. */
  | { readonly op: "udp"; readonly to: string; readonly sizes: readonly number[] }
  /** ICMP and ICMPv6 echo requests that this workload has received so far. */
  | { readonly op: "echo-requests" };

export interface AgentAnswer {
  readonly ok: boolean;
  readonly detail: string;
}

/** RFC 862. */
const ECHO_PORT = 7;
const TCP_TIMEOUT_MS = 3000;
const UDP_TIMEOUT_MS = 3000;

function serveTcp(): Promise<unknown> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => socket.destroy());
    socket.pipe(socket);
  });
  return once(server.listen(ECHO_PORT, "::"), "listening");
}

function serveUdp(): Promise<unknown> {
  const socket = createSocket("udp6");
  socket.on("message", (message, { address, port }) => socket.send(message, port, address));
  socket.on("error", () => {}); // An ICMP error for an answer that nobody waits for any more.
  socket.bind(ECHO_PORT, "::");
  return once(socket, "listening");
}

async function talkTcp(to: string, size: number): Promise<AgentAnswer> {
  const sent = randomBytes(size);
  const received = createHash("sha256");
  let receivedSize = 0;
  const socket = createConnection({ host: to, port: ECHO_PORT });
  const { promise, resolve } = Promise.withResolvers<string>();
  socket.setTimeout(TCP_TIMEOUT_MS, () => resolve("timed out"));
  socket.on("error", ({ message }) => resolve(message));
  socket.on("data", (chunk) => {
    received.update(chunk);
    receivedSize += chunk.length;
  });
  socket.on("end", () => resolve(""));
  socket.end(sent);
  const failure = await promise;
  socket.destroy();
  if (failure !== "") return { ok: false, detail: `${failure} after ${receivedSize} bytes` };
  const isSame = received.digest("hex") === createHash("sha256").update(sent).digest("hex");
  return { ok: isSame, detail: isSame ? `${size} bytes both ways` : "other bytes came back" };
}

async function talkUdp(to: string, sizes: readonly number[]): Promise<AgentAnswer> {
  const socket = createSocket(isIP(to) === 6 ? "udp6" : "udp4");
  try {
    let errorText = "";
    socket.on("error", ({ message }) => {
      errorText = message;
    });
    for (const size of sizes) {
      const sent = randomBytes(size);
      const got = await exchange(socket, sent, to);
      if (got === null) return { ok: false, detail: errorText || `no answer to ${size} bytes` };
      if (!got.equals(sent)) return { ok: false, detail: `${size} bytes came back changed` };
    }
  } finally {
    socket.close();
  }
  return { ok: true, detail: `${sizes.length} datagrams both ways` };
}

function exchange(socket: DatagramSocket, sent: Buffer, to: string): Promise<Buffer | null> {
  const { promise, resolve } = Promise.withResolvers<Buffer | null>();
  const timer = setTimeout(() => resolve(null), UDP_TIMEOUT_MS);
  socket.once("message", resolve);
  socket.send(sent, ECHO_PORT, to);
  return promise.finally(() => {
    clearTimeout(timer);
    socket.removeListener("message", resolve);
  });
}

async function ping(options: readonly string[]): Promise<AgentAnswer> {
  const { code, stdout, stderr } = await run(["ping", ...options]);
  return { ok: code === 0, detail: (stdout + stderr).trim() };
}

function countEchoRequests(): AgentAnswer {
  const [names, values] = readFileSync("/proc/self/net/snmp", "utf8")
    .split("\n")
    .filter((line) => line.startsWith("Icmp:"))
    .map((line) => line.split(" "));
  const ofIpv4 = Number(values?.[names!.indexOf("InEchos")] ?? 0);
  const ofIpv6 = /^Icmp6InEchos\s+(\d+)$/m.exec(readFileSync("/proc/self/net/snmp6", "utf8"));
  return { ok: true, detail: String(ofIpv4 + Number(ofIpv6?.[1] ?? 0)) };
}

async function answer(request: AgentRequest): Promise<AgentAnswer> {
  try {
    switch (request.op) {
      case "ping":
        return await ping(request.arguments);
      case "tcp":
        return await talkTcp(request.to, request.size);
      case "udp":
        return await talkUdp(request.to, request.sizes);
      case "echo-requests":
        return countEchoRequests();
    }
  } catch (error) {
    return { ok: false, detail: (error as Error).message };
  }
}

function say(message: object): void {
  process.stdout.write(JSON.stringify(message) + "\n");
}

async function main(): Promise<void> {
  await Promise.all([serveTcp(), serveUdp()]);
  say({ ready: true });
  const lines = createInterface({ input: process.stdin });
  lines.on("line", (line) => {
    const { id, request } = JSON.parse(line) as { id: number; request: AgentRequest };
    answer(request).then((answered) => say({ id, ...answered }));
  });
  lines.on("close", () => process.exit(0)); // The lab is gone, or has no more questions.
}

await main();
