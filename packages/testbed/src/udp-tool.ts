/**
 * A program for workloads that sends or counts UDP datagrams.
 *
 *   send ADDRESS PORT FLOWS EACH   EACH datagrams from each of FLOWS source ports
 *   count PORT COUNT TIMEOUT       prints how many came, at COUNT or after TIMEOUT ms
 */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";

async function send(address: string, port: number, flows: number, each: number): Promise<void> {
  for (let flow = 0; flow < flows; flow++) {
    const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
    socket.on("error", () => {}); // Nobody listens there: not the question.
    for (let i = 0; i < each; i++) {
      const sent = Promise.withResolvers<void>();
      socket.send(`datagram ${i} of flow ${flow}`, port, address, () => sent.resolve());
      await sent.promise;
    }
    socket.close();
  }
}

async function count(port: number, wanted: number, timeoutMs: number): Promise<number> {
  const socket: Socket = createSocket("udp6");
  let received = 0;
  const enough = Promise.withResolvers<void>();
  socket.on("message", () => {
    if (++received === wanted) enough.resolve();
  });
  socket.bind(port, "::");
  await once(socket, "listening");
  process.stdout.write("listening\n");
  const timer = setTimeout(() => enough.resolve(), timeoutMs);
  await enough.promise;
  clearTimeout(timer);
  socket.close();
  return received;
}

const [verb, ...rest] = process.argv.slice(2);
if (verb === "send") await send(rest[0]!, Number(rest[1]), Number(rest[2]), Number(rest[3]));
else process.stdout.write(`${await count(Number(rest[0]), Number(rest[1]), Number(rest[2]))}\n`);
