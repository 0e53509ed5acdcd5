/**
 * The load: UDP frames by eth0 of the namespace that it runs in, until it is told to end.
 *
 *   SECONDS SIZE SOURCE-MAC DESTINATION-MAC SOURCE DESTINATION
 */
import { LiveFrames } from "@rhone/netio/live-frames";
import { udpFrame } from "./udp-frame.ts";

const FLOWS = 64;
const [seconds, size, ...ends] = process.argv.slice(2);
// Without the frame check sequence.
const load = new LiveFrames("eth0", udpFrame(Number(size) - 4, 0, ends), FLOWS);
const endMs = performance.now() + Number(seconds) * 1000;
while (performance.now() < endMs) load.send();
load.close();
