/**
 * A program for workloads that holds one end of a UDP flow whose ports are known, so that a test
 * can say which half of it still runs. For each line of its standard input it prints how many
 * datagrams it has sent and received, as JSON; it ends when its standard input does.
 *
 *   send PORT ADDRESS PEER     sends from PORT to PEER all the time
 *   ask PORT ADDRESS PEER      the same until the first answer comes, then nothing more
 *   answer PORT                from the first datagram on, sends to who sent that all the time
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createInterface } from "node:readline";

export interface StreamCounts {
  readonly sent: number;
  readonly received: number;
}

const PERIOD_MS = 5;

const [verb, port, address, peer] = process.argv.slice(2);
const socket = createSocket("udp4");
let [sent, received] = [0, 0];
let to = verb === "answer" ? null : { address: address!, port: Number(peer) };

socket.on("error", () => {}); // Refused, for all that it knows.
socket.on("message", (_, from) => {
  received++;
  if (verb === "answer") to = from;
});
socket.bind(Number(port));
await once(socket, "listening");
process.stdout.write("ready\n");
const timer = setInterval(() => {
  if (to === null || (verb === "ask" && received > 0)) return;
  sent++;
  socket.send("datagram", to.port, to.address);
}, PERIOD_MS);
for await (const _ of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify({ sent, received } satisfies StreamCounts)}\n`);
}
clearInterval(timer);
socket.close();
