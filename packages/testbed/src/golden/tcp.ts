/**
 * TCP as somebody between its ends sees it: the states that Linux keeps (nf_conntrack_proto_tcp.c,
 * its tables in its words), and whether a segment lies in the window that its receiver has opened
 * (van Rooij, "Real Stateful TCP Packet Filtering in IP Filter").
 */
import type { IpHeader } from "./headers.ts";

export type TcpState =
  | "new"
  | "syn-sent"
  | "syn-received"
  | "established"
  | "fin-wait"
  | "close-wait"
  | "last-ack"
  | "time-wait"
  | "closed"
  | "both-syn-sent";

type Kind = "syn" | "syn-ack" | "fin" | "ack" | "rst" | "none";

export interface Segment {
  readonly kind: Kind;
  readonly isSyn: boolean;
  readonly isAck: boolean;
  readonly sequence: number;
  /** Behind its last byte; SYN and FIN take a number each. */
  readonly end: number;
  readonly acknowledgment: number;
  readonly window: number;
  /** Of a SYN: the shift of its window scale option, null without one. */
  readonly scale: number | null;
  /** The answer to a SYN that was refused has no sequence number (RFC 9293 §3.10.7.1). */
  readonly isEmptyReset: boolean;
}

/** What is known of one end. */
export interface End {
  /** Whether it has sent anything. */
  isSeen: boolean;
  /** Behind the last byte that it sent. */
  end: number;
  /** Behind the last byte that it may send. */
  maxEnd: number;
  /** The largest window that it offered. */
  maxWindow: number;
  /** Undefined when its SYN was not seen. */
  scale: number | null | undefined;
}

export interface TcpConnection {
  state: TcpState;
  /** Who sent the first packet, and the other. */
  readonly ends: readonly [End, End];
}

const SCALE_MAX = 14; // RFC 7323 §2.3
const ACKNOWLEDGED_BEHIND_MAX = 66_000;

export function newTcp(): TcpConnection {
  const unseen = (): End => ({
    ...{ isSeen: false, end: 0, maxEnd: 0, maxWindow: 0, scale: undefined },
  });
  return { state: "new", ends: [unseen(), unseen()] };
}

export function readSegment(bytes: Buffer, { transportAt, end }: IpHeader): Segment {
  const at = transportAt!;
  const flags = bytes[at + 13]!;
  const [isFin, isSyn, isRst, isAck] = [1, 2, 4, 16].map((flag) => (flags & flag) !== 0);
  const headerSize = (bytes[at + 12]! >>> 4) * 4;
  const sequence = bytes.readUInt32BE(at + 4);
  const length = end - at - headerSize + (isSyn ? 1 : 0) + (isFin ? 1 : 0);
  const kind = kindOf(isFin!, isSyn!, isRst!, isAck!);
  return {
    ...{ kind, isSyn: isSyn!, isAck: isAck!, sequence },
    end: (sequence + length) >>> 0,
    acknowledgment: bytes.readUInt32BE(at + 8),
    window: bytes.readUInt16BE(at + 14),
    scale: isSyn ? readScale(bytes.subarray(at + 20, at + headerSize)) : null,
    isEmptyReset: isRst! && sequence === 0 && length === 0,
  };
}

function kindOf(isFin: boolean, isSyn: boolean, isRst: boolean, isAck: boolean): Kind {
  if (isRst) return "rst";
  if (isSyn) return isAck ? "syn-ack" : "syn";
  if (!isAck) return "none";
  return isFin ? "fin" : "ack";
}

/** RFC 9293 §3.1, RFC 7323 §2.2. */
function readScale(options: Buffer): number | null {
  for (let at = 0; at < options.length; ) {
    const kind = options[at]!;
    if (kind === 0) return null;
    const size = kind === 1 ? 1 : (options[at + 1] ?? 0);
    if (size === 0 || (kind !== 1 && size < 2) || at + size > options.length) return null;
    if (kind === 3 && size === 3) return Math.min(options[at + 2]!, SCALE_MAX);
    at += size;
  }
  return null;
}

/** A SYN, or data of a connection that is older than what we know. */
export function mayBegin({ kind }: Segment): boolean {
  return kind === "syn" || kind === "ack";
}

/** What comes after each state; a missing one is impossible, "=" passes and changes nothing. */
type Row = { readonly [state in TcpState]?: TcpState | "=" };

const ACK_ROW: Row = {
  "syn-received": "established",
  established: "established",
  "fin-wait": "close-wait",
  "close-wait": "close-wait",
  "last-ack": "time-wait",
  "time-wait": "time-wait",
  closed: "closed",
};
const FIN_ROW: Row = {
  "syn-received": "fin-wait",
  established: "fin-wait",
  "fin-wait": "last-ack",
  "close-wait": "last-ack",
  "last-ack": "last-ack",
  "time-wait": "time-wait",
  closed: "closed",
};

const ORIGINAL: { readonly [kind in Kind]: Row } = {
  syn: {
    ...{ new: "syn-sent", "syn-sent": "syn-sent", "both-syn-sent": "both-syn-sent" },
    ...{ "syn-received": "=", established: "=", "fin-wait": "=", "close-wait": "=" },
    ...{ "last-ack": "=" },
  },
  // Both ends have sent a SYN: each answers the other's (RFC 9293 §3.5, figure 7).
  "syn-ack": { "syn-received": "syn-received", "both-syn-sent": "syn-received" },
  fin: FIN_ROW,
  ack: { ...ACK_ROW, new: "established" },
  ...{ rst: {}, none: {} },
};

const REPLY: { readonly [kind in Kind]: Row } = {
  syn: { "syn-sent": "both-syn-sent", "both-syn-sent": "both-syn-sent" },
  "syn-ack": {
    ...{ "syn-sent": "syn-received", "both-syn-sent": "syn-received" },
    ...{ "syn-received": "=", established: "=", "fin-wait": "=", "close-wait": "=" },
    ...{ "last-ack": "=", "time-wait": "=", closed: "=" },
  },
  fin: FIN_ROW,
  ack: { ...ACK_ROW, "syn-sent": "=", "syn-received": "syn-received" },
  ...{ rst: {}, none: {} },
};

function nextState(state: TcpState, kind: Kind, isReply: boolean): TcpState | "=" | undefined {
  if (kind === "rst") return state === "new" ? undefined : "closed";
  return (isReply ? REPLY : ORIGINAL)[kind][state];
}

export type Verdict = "valid" | "invalid" | "reopens";

export function judge(tcp: TcpConnection, segment: Segment, isReply: boolean): Verdict {
  const { state } = tcp;
  // The addresses and ports may be used anew when the last connection is over.
  if (segment.kind === "syn" && (state === "time-wait" || state === "closed")) return "reopens";
  const next = nextState(state, segment.kind, isReply);
  if (next === undefined) return "invalid";
  // Who tries again may do so with another number; what changes nothing needs no window.
  if (next === "=" || (segment.kind === "syn" && state === "syn-sent")) return "valid";
  const [sender, receiver] = endsOf(tcp, isReply);
  return isInWindow(sender, receiver, segment) ? "valid" : "invalid";
}

function endsOf({ ends }: TcpConnection, isReply: boolean): readonly [End, End] {
  return isReply ? [ends[1], ends[0]] : ends;
}

/** By how much a is behind b, modulo 2³². */
function behind(a: number, b: number): number {
  return (b - a) | 0;
}

function isInWindow(sender: End, receiver: End, segment: Segment): boolean {
  if (sender.isSeen) {
    const from = segment.isEmptyReset ? sender.end : segment.sequence;
    const to = segment.isEmptyReset ? sender.end : segment.end;
    if (behind(sender.maxEnd, from) > 0) return false;
    if (receiver.isSeen && behind(to, sender.end) > receiver.maxWindow) return false;
  }
  if (!receiver.isSeen || !segment.isAck) return true;
  const unacknowledged = behind(segment.acknowledgment, receiver.end);
  const most = Math.max(sender.maxWindow, ACKNOWLEDGED_BEHIND_MAX);
  return unacknowledged >= 0 && unacknowledged <= most;
}

/** Takes in a segment that was valid. */
export function take(tcp: TcpConnection, segment: Segment, isReply: boolean): void {
  const next = nextState(tcp.state, segment.kind, isReply);
  if (next === undefined || next === "=") return;
  tcp.state = next;
  const [sender, receiver] = endsOf(tcp, isReply);
  if (segment.isSyn) sender.scale = segment.scale;
  // The window of a SYN is never scaled (RFC 7323 §2.2).
  const shift = segment.isSyn ? 0 : shiftOf(sender, receiver);
  const window = segment.window * 2 ** shift;
  if (!sender.isSeen || segment.isSyn) {
    sender.end = segment.end;
    sender.maxEnd = segment.isSyn ? segment.end : (segment.end + window) >>> 0;
  }
  sender.maxWindow = Math.max(sender.maxWindow, window, 1);
  sender.isSeen = true;
  if (behind(sender.end, segment.end) > 0 && !segment.isEmptyReset) sender.end = segment.end;
  if (!segment.isAck) return;
  if (!receiver.isSeen) {
    receiver.end = segment.acknowledgment;
    receiver.maxEnd = segment.acknowledgment;
  }
  const allowed = (segment.acknowledgment + Math.max(window, 1)) >>> 0;
  if (behind(receiver.maxEnd, allowed) > 0) receiver.maxEnd = allowed;
}

/** Both must have said that they scale; of those whose SYN was not seen the most is assumed. */
function shiftOf(sender: End, receiver: End): number {
  if (sender.scale === undefined || receiver.scale === undefined) return SCALE_MAX;
  return sender.scale === null || receiver.scale === null ? 0 : sender.scale;
}
