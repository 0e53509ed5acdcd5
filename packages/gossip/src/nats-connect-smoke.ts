/**
 * For tests, run as a program by Node and by Deno: gives up a connection whose server has died,
 * when its socket does not know that yet and writes to it fail. Prints a line when it has lived on.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import type { NatsConnectionImpl } from "@nats-io/transport-node";
import { connectNats } from "./nats-connect.ts";

const WRITES = 5;
const WRITE_MS = 30;
const ERRORS_MS = 500;
/** Greets, answers pings, and takes what it is sent. */
const SERVER = `
  const { createServer } = require("node:net");
  const info = { server_id: "x", version: "2.9.0", max_payload: 1000000, proto: 1, headers: true };
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.write("INFO " + JSON.stringify(info) + "\\r\\n");
    socket.on("data", (data) => {
      if (String(data).includes("PING")) socket.write("PONG\\r\\n");
    });
  });
  server.listen(0, "127.0.0.1", () => console.log(server.address().port));`;

function block(ms: number): void {
  const endMs = performance.now() + ms;
  while (performance.now() < endMs);
}

const argv = "Deno" in globalThis ? ["eval", "--ext=cjs", SERVER] : ["-e", SERVER];
const server = spawn(process.execPath, argv, { stdio: ["ignore", "pipe", "inherit"] });
process.on("exit", () => server.kill("SIGKILL"));
const [line] = (await once(server.stdout, "data")) as [Buffer];
const connection = await connectNats({ servers: [`127.0.0.1:${Number(String(line))}`] });
process.kill(server.pid!, "SIGKILL");
// In one turn, so that the socket hears of nothing.
block(2 * WRITE_MS);
for (let i = 0; i < WRITES; i++) {
  connection.flush().catch(() => {}); // A ping, at once.
  block(WRITE_MS);
}
(connection as NatsConnectionImpl).protocol.disconnect(); // As for want of an answer to pings.
await sleep(ERRORS_MS);
console.log("alive");
process.exit(0);
