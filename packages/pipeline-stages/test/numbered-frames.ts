/** Frames with a number in their last two bytes, to see in which order those of a flow leave. */
import assert from "node:assert/strict";
import * as ethernet from "@rhone/wire/ethernet";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import * as tcp from "@rhone/wire/tcp";
import { viewOf } from "./frames.ts";

const L3_AT = ethernet.HEADER_SIZE;
const NUMBER_SIZE = 2;
const WAY_SHIFT = 12;

/**
 * Writes a number, 1 to 4095, into the last bytes of what `assertInOrder` looks at, and by which of
 * 16 ways it came: two flows may become one on theirs.
 */
export function number(frame: Uint8Array, value: number, way = 0): void {
  const at = numberAt(frame);
  if (at >= 0) viewOf(frame).setUint16(at, (way << WAY_SHIFT) | value);
}

/** Of one outlet: what has the same ends and came one way left in the order in which it came. */
export function assertInOrder(frames: readonly Uint8Array[]): void {
  const last = new Map<string, number>();
  for (const frame of frames) {
    const at = numberAt(frame);
    if (at < 0) continue;
    const ends = isV4(frame) ? frame.subarray(26, 38) : frame.subarray(22, 58);
    const written = viewOf(frame).getUint16(at);
    const way = written >>> WAY_SHIFT;
    const value = written & ((1 << WAY_SHIFT) - 1);
    const flow = `${protocolOf(frame)} ${Buffer.from(ends).toString("hex")} by way ${way}`;
    assert.ok(value > (last.get(flow) ?? 0), `${value} of ${flow} came too late`);
    last.set(flow, value);
  }
}

function isV4(frame: Uint8Array): boolean {
  return ethernet.etherType(viewOf(frame), 0) === ethernet.ETHERTYPE_IPV4;
}

function protocolOf(frame: Uint8Array): number {
  const view = viewOf(frame);
  return isV4(frame) ? ipv4.protocol(view, L3_AT) : ipv6.nextHeader(view, L3_AT);
}

/** Where a whole TCP or UDP frame with data has its last bytes; -1 of another one. */
function numberAt(frame: Uint8Array): number {
  const view = viewOf(frame);
  if (isV4(frame) && ipv4.isFragment(view, L3_AT)) return -1;
  const protocol = protocolOf(frame);
  if (protocol !== ipv4.PROTOCOL_UDP && protocol !== ipv4.PROTOCOL_TCP) return -1;
  const l4At = L3_AT + (isV4(frame) ? 20 : ipv6.HEADER_SIZE);
  const data = l4At + (protocol === ipv4.PROTOCOL_UDP ? 8 : tcp.headerSize(view, l4At));
  return frame.length - NUMBER_SIZE < data ? -1 : frame.length - NUMBER_SIZE;
}
