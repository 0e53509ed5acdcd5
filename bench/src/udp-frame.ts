/** The frame that generators send. */
import { parseAddress, parseMac } from "@rhone/wire/address";
import * as ethernet from "@rhone/wire/ethernet";
import * as ipv4 from "@rhone/wire/ipv4";
import * as udp from "@rhone/wire/udp";

const PORT_FIRST = 1024;
const DISCARD = 9;

/**
 * UDP without checksum from port 1024 + `flow`. `ends` are source and destination MAC, source and
 * destination IPv4 address; `size` is without the frame check sequence.
 */
export function udpFrame(size: number, flow: number, ends: readonly string[]): Uint8Array {
  const [from, to] = ends.slice(0, 2).map((text) => parseMac(text)!);
  const [source, destination] = ends.slice(2).map((text) => parseAddress(text)![3]);
  const frame = new Uint8Array(size);
  const view = new DataView(frame.buffer);
  ethernet.write(view, 0, to!.high, to!.low, from!.high, from!.low, ethernet.ETHERTYPE_IPV4);
  ipv4.write(view, 14, size - 14, 64, ipv4.PROTOCOL_UDP, source!, destination!);
  udp.write(view, 34, PORT_FIRST + flow, DISCARD, size - 34);
  return frame;
}
