/**
 * The stamp: Rhône's Geneve option that says where in the pipeline a packet goes on, and with what
 * context. One critical option of 28 bytes of data; with the base header 40 bytes.
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   |        Class = 0xFFF7         |  Type = 0x81  |R|R|R| Len = 7 |
 *   | Stage | Flags |H.-offs| Reason|       Ingress port key        |
 *   |        Egress port key        |     Source identity (high)    |
 *   |     Source identity (low)     |       Generation (high)       |
 *   |       Generation (low)        |    Origin chassis short id    |
 *   |           Flow hash           |  Connection   |TTL decr.| 0   |
 *   |                           Tag (8 bytes)                       |
 *   |                                                               |
 *
 * Connection takes 8 bits, TTL decrements 8 bits. Class 0xFFF7 is in the experimental range of
 * RFC 8926 §7. `option` is the byte offset of the option, `at` of the Geneve header.
 */
import * as geneve from "./geneve.ts";

export const OPTION_CLASS = 0xfff7;
export const OPTION_TYPE = 0x81; // critical, version 1
export const DATA_SIZE = 28; // bytes
export const OPTION_SIZE = geneve.OPTION_HEADER_SIZE + DATA_SIZE;
/** Bytes of the whole Geneve header with this option alone. */
export const HEADER_SIZE = geneve.BASE_SIZE + OPTION_SIZE;

/** Why a packet was handed over. */
export const REASON_EGRESS = 0;
export const REASON_OWNER = 1;
export const REASON_NAT_OWNER = 2;
export const REASON_GATEWAY = 3;
export const REASON_BALANCE = 4;
export const REASON_PLACEMENT = 5;

const CONTEXT = 4;
const INGRESS_PORT = 6;
const EGRESS_PORT = 8;
const IDENTITY = 10;
const GENERATION = 14;
const ORIGIN = 18;
const FLOW_HASH = 20;
const CONNECTION = 22;
const TTL_DECREMENTS = 23;
const TAG = 24;
/** Bit n is set when stage n may be resumed: 1, 2, 4, 5, 7, 8, 9, 10, 11, 13. */
const RESUMABLE = 0b10_1111_1011_0110;

/** Whether a packet may go on at this stage after a hand-off: where its state can live. */
export function mayResume(stage: number): boolean {
  return ((RESUMABLE >>> stage) & 1) !== 0;
}

/** Whether the option has the one length that this version has; after `geneve.findOption`. */
export function isValid(view: DataView, option: number): boolean {
  return geneve.optionSize(view, option) === OPTION_SIZE;
}

export function stage(view: DataView, option: number): number {
  return view.getUint16(option + CONTEXT) >>> 12;
}

export function flags(view: DataView, option: number): number {
  return (view.getUint16(option + CONTEXT) >>> 8) & 0xf;
}

export function handOffsLeft(view: DataView, option: number): number {
  return (view.getUint16(option + CONTEXT) >>> 4) & 0xf;
}

export function reason(view: DataView, option: number): number {
  return view.getUint16(option + CONTEXT) & 0xf;
}

export function ingressPort(view: DataView, option: number): number {
  return view.getUint16(option + INGRESS_PORT);
}

/** 32768 and above: a multicast group. */
export function egressPort(view: DataView, option: number): number {
  return view.getUint16(option + EGRESS_PORT);
}

export function identity(view: DataView, option: number): number {
  return view.getUint32(option + IDENTITY);
}

export function generation(view: DataView, option: number): number {
  return view.getUint32(option + GENERATION);
}

export function origin(view: DataView, option: number): number {
  return view.getUint16(option + ORIGIN);
}

export function flowHash(view: DataView, option: number): number {
  return view.getUint16(option + FLOW_HASH);
}

export function connection(view: DataView, option: number): number {
  return view.getUint8(option + CONNECTION);
}

export function ttlDecrements(view: DataView, option: number): number {
  return view.getUint8(option + TTL_DECREMENTS);
}

export function tagHigh(view: DataView, option: number): number {
  return view.getUint32(option + TAG);
}

export function tagLow(view: DataView, option: number): number {
  return view.getUint32(option + TAG + 4);
}

/** Writes the whole header at `at`: base header with C set, and the option with tag 0. */
export function write(
  view: DataView,
  at: number,
  vni: number,
  stage: number,
  flags: number,
  handOffsLeft: number,
  reason: number,
  ingressPort: number,
  egressPort: number,
  identity: number,
  generation: number,
  origin: number,
  flowHash: number,
  connection: number,
  ttlDecrements: number,
): void {
  geneve.write(view, at, OPTION_SIZE, true, vni, geneve.PROTOCOL_ETHERNET);
  const option = at + geneve.BASE_SIZE;
  geneve.writeOptionHeader(view, option, OPTION_CLASS, OPTION_TYPE, DATA_SIZE);
  const context = (stage << 12) | (flags << 8) | (handOffsLeft << 4) | reason;
  view.setUint16(option + CONTEXT, context);
  view.setUint16(option + INGRESS_PORT, ingressPort);
  view.setUint16(option + EGRESS_PORT, egressPort);
  view.setUint32(option + IDENTITY, identity);
  view.setUint32(option + GENERATION, generation);
  view.setUint16(option + ORIGIN, origin);
  view.setUint16(option + FLOW_HASH, flowHash);
  view.setUint8(option + CONNECTION, connection);
  view.setUint8(option + TTL_DECREMENTS, ttlDecrements);
  view.setUint32(option + TAG, 0);
  view.setUint32(option + TAG + 4, 0);
}
