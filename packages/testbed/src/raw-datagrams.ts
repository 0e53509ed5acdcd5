/**
 * A program that sends UDP datagrams as they are: lines of hexadecimal on standard input.
 *
 *   SOURCE DESTINATION PORT
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { text } from "node:stream/consumers";

const [source, destination, port] = process.argv.slice(2);
const socket = createSocket("udp4");
socket.bind(0, source);
await once(socket, "listening");
for (const line of (await text(process.stdin)).split("\n")) {
  if (line === "") continue;
  const sent = Promise.withResolvers<void>();
  socket.send(Buffer.from(line, "hex"), Number(port), destination, () => sent.resolve());
  await sent.promise;
}
socket.close();
