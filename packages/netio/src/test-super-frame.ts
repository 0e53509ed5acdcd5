/** TCP and UDP super-frames of every shape, for tests. */
import * as packet from "@rhone/rings/packet";
import { type SuperFrame, transportChecksum } from "./segment.golden.ts";
import { findHeaders, type TestWorker } from "./test-worker.ts";

export interface Shape {
  readonly isTcp: boolean;
  readonly isIpv4: boolean;
  readonly optionWords: number;
  readonly flags: number;
  readonly sequence: number;
  readonly identification: number;
  readonly payloadSize: number;
  readonly segmentSize: number;
  readonly seed: number;
}

/** An Ethernet frame that holds more payload than a segment may. */
export function superFrame(given: Shape): SuperFrame {
  const { isTcp, isIpv4, flags, sequence, identification, payloadSize, segmentSize } = given;
  const optionWords = isTcp ? given.optionWords : 0;
  const l3 = 14;
  const l4 = l3 + (isIpv4 ? 20 : 40);
  const headersSize = l4 + (isTcp ? 20 + optionWords * 4 : 8);
  const frame = new Uint8Array(headersSize + payloadSize).map(
    (_, i) => (i * 31 + given.seed) & 255,
  );
  const view = new DataView(frame.buffer);
  view.setUint16(12, isIpv4 ? 0x0800 : 0x86dd);
  if (isIpv4) {
    view.setUint16(l3, 0x4500);
    view.setUint16(l3 + 2, frame.length - l3);
    view.setUint16(l3 + 4, identification);
    view.setUint16(l3 + 6, 0x4000);
    frame[l3 + 9] = isTcp ? 6 : 17;
  } else {
    view.setUint32(l3, 0x6000_0000);
    view.setUint16(l3 + 4, frame.length - l3 - 40);
    frame[l3 + 6] = isTcp ? 6 : 17;
  }
  if (isTcp) {
    view.setUint32(l4 + 4, sequence);
    frame[l4 + 12] = (5 + optionWords) << 4;
    frame[l4 + 13] = flags;
  } else {
    view.setUint16(l4 + 4, frame.length - l4);
  }
  return { frame, l3, l4, isTcp, isIpv4, segmentSize };
}

/** The super-frame in a slot, with its offload words and headers found. */
export function superPacket(
  worker: TestWorker,
  { frame, isTcp, isIpv4, segmentSize }: SuperFrame,
): number {
  const slot = worker.packet(frame);
  findHeaders(slot);
  packet.setGsoType(slot, isTcp ? (isIpv4 ? 1 : 4) : 5);
  packet.setGsoSize(slot, segmentSize);
  packet.setIdentity(slot, 4711);
  return slot;
}

/** Where the transport checksum is in the frame. */
export function checksumAt({ l4, isTcp }: SuperFrame): number {
  return l4 + (isTcp ? 16 : 6);
}

/** What a sender writes there that leaves the rest to its device: the pseudo header's sum. */
export function pseudoHeaderSum(whole: SuperFrame): number {
  const { frame, l4 } = whole;
  const addresses = 0xffff - transportChecksum(frame.slice(0, l4), whole);
  return (addresses + frame.length - l4) % 0xffff;
}

/** The frame with that value as its transport checksum. */
export function withChecksum(whole: SuperFrame, value: number): Uint8Array {
  const frame = whole.frame.slice();
  new DataView(frame.buffer).setUint16(checksumAt(whole), value);
  return frame;
}
