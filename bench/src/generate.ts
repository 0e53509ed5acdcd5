/**
 * The load: UDP frames by eth0 of the namespace that it runs in, until it is told to end.
 *
 *   SECONDS SIZE SOURCE-MAC DESTINATION-MAC SOURCE DESTINATION
 */
import { LiveFrames } from "@rhone/netio/live-frames";
import { parseAddress, parseMac } from "@rhone/wire/address";
import * as ethernet from "@rhone/wire/ethernet";
import * as ipv4 from "@rhone/wire/ipv4";
import * as udp from "@rhone/wire/udp";

const FLOWS = 64;
const [seconds, size, sourceMac, destinationMac, source, destination] = process.argv.slice(2);
const frame = new Uint8Array(Number(size) - 4); // Without the frame check sequence.
const view = new DataView(frame.buffer);
const to = parseMac(destinationMac!)!;
const from = parseMac(sourceMac!)!;
ethernet.write(view, 0, to.high, to.low, from.high, from.low, ethernet.ETHERTYPE_IPV4);
const length = frame.length - ethernet.HEADER_SIZE;
const [a, b] = [parseAddress(source!)![3], parseAddress(destination!)![3]];
ipv4.write(view, 14, length, 64, ipv4.PROTOCOL_UDP, a, b);
udp.write(view, 34, 1024, 9, length - 20);
const load = new LiveFrames("eth0", frame, FLOWS);
const endMs = performance.now() + Number(seconds) * 1000;
while (performance.now() < endMs) load.send();
load.close();
