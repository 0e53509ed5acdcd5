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
  /** How far it has acknowledged what the other end sent. */
  acknowledged: number;
  /** Undefined when its SYN was not seen. */
  scale: number | null | undefined;
}

export interface TcpConnection {
  state: TcpState;
  /** Of a SYN that had no effect: both ends may have forgotten a connection that we still know. */
  ignoredSyn: Segment | null;
  /** Who sent the first packet, and the other. */
  readonly ends: readonly [End, End];
}

const SCALE_MAX = 14; // RFC 7323 §2.3
const ACKNOWLEDGED_BEHIND_MAX = 66_000;
const UNSCALED_MAX = 65_535;
const WINDOW_MAX = 2 ** 30; // RFC 7323 §2.3

export function newTcp(): TcpConnection {
  const unseen = (): End => ({
    ...{ isSeen: false, end: 0, maxEnd: 0, maxWindow: 0, acknowledged: 0, scale: undefined },
  });
  return { state: "new", ignoredSyn: null, ends: [unseen(), unseen()] };
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
  };
}

function kindOf(isFin: boolean, isSyn: boolean, isRst: boolean, isAck: boolean): Kind {
  if ([isFin, isSyn, isRst].filter(Boolean).length > 1) return "none";
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

/** Whether it is of a connection that stands: neither opens it nor resets it. */
export function isUnderWay({ kind }: Segment): boolean {
  return kind === "ack" || kind === "fin";
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
  return (isReply ? REPLY : ORIGINAL)[kind][state];
}

export type Verdict = "valid" | "invalid" | "reopens";

export function judge(tcp: TcpConnection, segment: Segment, isReply: boolean): Verdict {
  const { state } = tcp;
  // The addresses and ports may be used anew when the last connection is over.
  if (segment.kind === "syn" && (state === "time-wait" || state === "closed")) return "reopens";
  const [sender, receiver] = endsOf(tcp, isReply);
  if (segment.kind === "rst") return judgeReset(tcp, sender, receiver, segment);
  const next = nextState(state, segment.kind, isReply);
  if (next === undefined) return "invalid";
  // Who tries again may do so with another number; what changes nothing needs no window.
  if (next === "=" || (segment.kind === "syn" && state === "syn-sent")) return "valid";
  return isInWindow(tcp, sender, receiver, segment) ? "valid" : "invalid";
}

/** A reset refuses a SYN, and says which, or lies where its receiver has not yet got everything. */
function judgeReset(tcp: TcpConnection, sender: End, receiver: End, segment: Segment): Verdict {
  if (tcp.state === "new" || !isInWindow(tcp, sender, receiver, segment)) return "invalid";
  if (tcp.state === "syn-sent" && !sender.isSeen) return segment.isAck ? "valid" : "invalid";
  if (!sender.isSeen || !receiver.isSeen) return "valid";
  return behind(receiver.acknowledged, segment.sequence) >= 0 ? "valid" : "invalid";
}

function endsOf({ ends }: TcpConnection, isReply: boolean): readonly [End, End] {
  return isReply ? [ends[1], ends[0]] : ends;
}

/** By how much a is behind b, modulo 2³². */
function behind(a: number, b: number): number {
  return (b - a) | 0;
}

/** Its first packet was no SYN: there may be more than we have seen. */
function isPickedUp({ ends }: TcpConnection): boolean {
  return ends[0].scale === undefined;
}

function isInWindow(tcp: TcpConnection, sender: End, receiver: End, segment: Segment): boolean {
  const unseen = isPickedUp(tcp) ? WINDOW_MAX : 0;
  if (sender.isSeen) {
    if (behind(sender.maxEnd, segment.sequence) > 0) return false;
    const most = Math.max(receiver.maxWindow, unseen);
    if (receiver.isSeen && behind(segment.end, sender.end) > most) return false;
  }
  if (!receiver.isSeen || !segment.isAck) return true;
  const unacknowledged = behind(segment.acknowledgment, receiver.end);
  const most = Math.max(sender.maxWindow, ACKNOWLEDGED_BEHIND_MAX, unseen);
  return unacknowledged >= -unseen && unacknowledged <= most;
}

/** Takes in a segment that was valid. */
export function take(tcp: TcpConnection, segment: Segment, isReply: boolean): void {
  const [sender, receiver] = endsOf(tcp, isReply);
  if (segment.kind === "rst") {
    // Elsewhere in the window it may be a guess, which its receiver asks about (RFC 5961 §3.2).
    const isNext = [receiver.acknowledged, sender.end].includes(segment.sequence);
    if (tcp.state !== "established" || isNext) tcp.state = "closed";
    return;
  }
  const next = nextState(tcp.state, segment.kind, isReply);
  if (next === undefined) return;
  if (next !== "=") {
    tcp.state = next;
    takeIn(tcp, sender, receiver, segment);
  } else if (segment.kind === "syn") {
    tcp.ignoredSyn = segment;
  } else if (segment.kind === "syn-ack" && isAnswer(tcp.ignoredSyn, segment)) {
    beginAnew(tcp, tcp.ignoredSyn!, segment);
  }
}

/** Never to a SYN that ends at 0: the product knows none by that. */
function isAnswer(ignored: Segment | null, { acknowledgment }: Segment): boolean {
  return ignored !== null && ignored.end !== 0 && acknowledgment === ignored.end;
}

function beginAnew(tcp: TcpConnection, { end, scale }: Segment, answer: Segment): void {
  const [client, server] = tcp.ends;
  tcp.state = "syn-received";
  tcp.ignoredSyn = null;
  Object.assign(client, { scale, end, maxEnd: end, maxWindow: UNSCALED_MAX });
  server.isSeen = false;
  server.maxWindow = 0;
  takeIn(tcp, server, client, answer);
}

function takeIn(tcp: TcpConnection, sender: End, receiver: End, segment: Segment): void {
  if (segment.isSyn) sender.scale = segment.scale;
  // The window of a SYN is never scaled (RFC 7323 §2.2).
  const shift = segment.isSyn ? 0 : shiftOf(sender, receiver);
  const window = Math.max(1, segment.window * 2 ** shift);
  const offered = (segment.end + window) >>> 0;
  if (!sender.isSeen || (segment.isSyn && isOther(sender, segment))) {
    sender.end = segment.end;
    sender.acknowledged = segment.isAck ? segment.acknowledgment : receiver.end;
    if (segment.isSyn) sender.maxEnd = segment.end;
    else sender.maxEnd = receiver.isSeen ? later(sender.maxEnd, offered) : offered;
    // Nothing of it can have been acknowledged.
    if (segment.isSyn || !receiver.isSeen) receiver.acknowledged = segment.sequence;
    sender.maxWindow = window;
    sender.isSeen = true;
  } else {
    sender.end = later(sender.end, segment.end);
    sender.maxWindow = Math.max(sender.maxWindow, window);
    if (!receiver.isSeen && isPickedUp(tcp)) sender.maxEnd = later(sender.maxEnd, offered);
  }
  if (!segment.isAck) return;
  sender.acknowledged = later(sender.acknowledged, segment.acknowledgment);
  if (!receiver.isSeen) receiver.end = receiver.maxEnd = segment.acknowledgment;
  else if (isPickedUp(tcp)) receiver.end = later(receiver.end, segment.acknowledgment);
  receiver.maxEnd = later(receiver.maxEnd, (segment.acknowledgment + window) >>> 0);
}

/** A further SYN that is not the former one again, with or without its data. */
function isOther(sender: End, { end }: Segment): boolean {
  const by = behind(end, sender.end);
  return by < 0 || by > ACKNOWLEDGED_BEHIND_MAX;
}

/** The one of two sequence numbers that is behind the other. */
function later(a: number, b: number): number {
  return behind(a, b) > 0 ? b : a;
}

/** Both must have said that they scale; of those whose SYN was not seen the most is assumed. */
function shiftOf(sender: End, receiver: End): number {
  if (sender.scale === undefined || receiver.scale === undefined) return SCALE_MAX;
  return sender.scale === null || receiver.scale === null ? 0 : sender.scale;
}
