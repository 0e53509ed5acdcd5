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
 *   |           Flow hash           |  Connection   |TTL decrements |
 *   |                           Tag (8 bytes)                       |
 *   |                                                               |
 *
 * Class 0xFFF7 is in the experimental range of RFC 8926 §7. `option` is the byte offset of the
 * option, `at` of the Geneve header.
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
/** A copy of a packet that a rule refused: its connection is to be blocked, and nothing else. */
export const REASON_DENIED = 6;
/** An answer that was made on the way: it may leave by the port that the question came by. */
export const REASON_ANSWER = 7;
/** As before, and a rule made it: no rule is asked about it. */
export const REASON_RULE_ANSWER = 8;

/** The whole stamp as plain data, for logs and tests; the datapath is in the base header. */
export interface Stamp {
  readonly vni: number;
  readonly stage: number;
  readonly flags: number;
  readonly handOffsLeft: number;
  readonly reason: number;
  readonly ingressPort: number;
  readonly egressPort: number;
  readonly identity: number;
  readonly generation: number;
  readonly origin: number;
  readonly flowHash: number;
  readonly connection: number;
  readonly ttlDecrements: number;
  readonly tagHigh: number;
  readonly tagLow: number;
}

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

/** 0: none. */
export function ingressPort(view: DataView, option: number): number {
  return view.getUint16(option + INGRESS_PORT);
}

/** 0: not yet known; 32768 and above: a multicast group. */
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

export function setTag(view: DataView, option: number, high: number, low: number): void {
  view.setUint32(option + TAG, high);
  view.setUint32(option + TAG + 4, low);
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
  setTag(view, option, 0, 0);
}

/** The stamp of the Geneve header at `at`; null when there is none or anything is malformed. */
export function decode(view: DataView, at: number, end: number): Stamp | null {
  if (!geneve.isValid(view, at, end)) return null;
  const option = geneve.findOption(view, at, OPTION_CLASS, OPTION_TYPE);
  if (option <= 0 || !isValid(view, option)) return null;
  return {
    vni: geneve.vni(view, at),
    stage: stage(view, option),
    flags: flags(view, option),
    handOffsLeft: handOffsLeft(view, option),
    reason: reason(view, option),
    ingressPort: ingressPort(view, option),
    egressPort: egressPort(view, option),
    identity: identity(view, option),
    generation: generation(view, option),
    origin: origin(view, option),
    flowHash: flowHash(view, option),
    connection: connection(view, option),
    ttlDecrements: ttlDecrements(view, option),
    tagHigh: tagHigh(view, option),
    tagLow: tagLow(view, option),
  };
}

/** A Geneve header with this stamp alone. */
export function encode(stamp: Stamp): Uint8Array {
  const bytes = new Uint8Array(HEADER_SIZE);
  const view = new DataView(bytes.buffer);
  write(
    view,
    0,
    stamp.vni,
    stamp.stage,
    stamp.flags,
    stamp.handOffsLeft,
    stamp.reason,
    stamp.ingressPort,
    stamp.egressPort,
    stamp.identity,
    stamp.generation,
    stamp.origin,
    stamp.flowHash,
    stamp.connection,
    stamp.ttlDecrements,
  );
  setTag(view, geneve.BASE_SIZE, stamp.tagHigh, stamp.tagLow);
  return bytes;
}
