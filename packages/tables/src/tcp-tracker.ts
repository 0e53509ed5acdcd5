/**
 * TCP as a router between its ends sees it: the state of RFC 9293 §3.3.2 as far as both directions'
 * flags tell, and whether a segment lies in the window that its receiver opened (van Rooij, "Real
 * Stateful TCP Packet Filtering in IP Filter", as Linux's nf_conntrack_proto_tcp does). Run by the
 * worker that owns the connection.
 *
 * `read` loads a segment, `classify` says what it is and changes nothing, `track` takes it in.
 * Sequence numbers are compared modulo 2³²: (a - b | 0) < 0 means before.
 */
import { poolViews } from "@rhone/rings/pool";
import * as tcp from "@rhone/wire/tcp";
import * as connections from "./connections.ts";
import { TCP_MS } from "./timeouts.ts";

/** A segment that belongs to the connection. */
export const VALID = 0;
/** Outside the window, or impossible in the state. */
export const INVALID = 1;
/** The first segment of a connection that takes the place of a finished one. */
export const REOPENS = 2;

// States; 0 is an entry that was just made.
const NEW = 0;
const SYN_SENT = 1;
const SYN_RECEIVED = 2;
export const ESTABLISHED = 3;
const FIN_WAIT = 4;
const CLOSE_WAIT = 5;
const LAST_ACK = 6;
const TIME_WAIT = 7;
const CLOSED = 8;
// 9: both ends sent a SYN.
const STATES = 10;
/** Of a transition: the segment passes and the state stays as it is. */
const STAYS = 14;
const IMPOSSIBLE = 15;

// Kinds of segments, rows of the transition tables.
const KIND_SYN = 0;
const KIND_SYN_ACK = 1;
const KIND_FIN = 2;
const KIND_ACK = 3;
const KIND_RST = 4;
const KIND_NONE = 5;

/**
 * A digit a state, in the order above: the next state, `.` stays, `x` impossible. Rows are the
 * kinds, first in the direction of the connection, then against it.
 */
const TRANSITIONS = transitions([
  ["11.....119", "xx2xxxxxx2", "xx4466678x", "3x3355778x"],
  ["x9xxxxx1x9", "x2.......2", "xx4466678x", "x.2355778."],
]);

const END = 0; // Words of a direction: behind the last byte that it sent.
const MAX_END = 1; // The last byte that its receiver allows, plus one.
const MAX_WINDOW = 2; // The largest window that it offered.
const SCALE = 3; // Of the windows that it offers, as below plus the shift.
const SCALE_UNKNOWN = 0; // Its SYN was not seen.
const SCALE_NONE = 1;
const SCALE_FIRST = 2;
const ACK_WINDOW_MAX = 66_000;

const OPTION_END = 0;
const OPTION_NOP = 1;
const OPTION_WINDOW_SCALE = 3;
const SCALE_MAX = 14; // RFC 7323 §2.3

const view = poolViews().view;

let flags = 0;
let sequence = 0;
let end = 0;
let acknowledgment = 0;
let windowSize = 0;
let scale = 0;

/** Loads the segment whose header is at `at` and that carries `payload` bytes. */
export function read(at: number, payload: number): void {
  flags = tcp.flags(view, at);
  const isSyn = (flags & tcp.SYN) !== 0;
  sequence = tcp.sequence(view, at);
  end = (sequence + payload + (isSyn ? 1 : 0) + ((flags & tcp.FIN) !== 0 ? 1 : 0)) | 0;
  acknowledgment = tcp.acknowledgment(view, at);
  windowSize = tcp.window(view, at);
  scale = isSyn ? readScale(at) : 0;
}

/** Whether the loaded segment may begin an entry: a SYN, or data of a connection older than it. */
export function mayBegin(): boolean {
  const kind = kindOf();
  return kind === KIND_SYN || kind === KIND_ACK;
}

/** VALID, INVALID or REOPENS for the loaded segment of an entry. Changes nothing. */
export function classify(entry: number, isReply: boolean): number {
  const kind = kindOf();
  const state = connections.state(entry);
  if (kind === KIND_SYN && (state === TIME_WAIT || state === CLOSED)) return REOPENS;
  const next = nextState(state, kind, isReply);
  if (next === IMPOSSIBLE) return INVALID;
  // A SYN may come again with another number; what changes nothing needs no window.
  if (next === STAYS || (kind === KIND_SYN && state === SYN_SENT)) return VALID;
  return isInWindow(entry, isReply ? 1 : 0) ? VALID : INVALID;
}

/**
 * Takes the loaded segment in: one that was VALID, or the first of a new entry. Returns the
 * connection's new timeout in milliseconds.
 */
export function track(entry: number, isReply: boolean): number {
  const state = connections.state(entry);
  const next = nextState(state, kindOf(), isReply);
  if (next >= STATES) return timeoutOf(state);
  connections.setState(entry, next);
  slideWindow(entry, isReply ? 1 : 0);
  return timeoutOf(next);
}

/**
 * The fast path's `classify` and `track` in one: takes in a segment of an established connection
 * that carries neither SYN, FIN nor RST. False, and nothing changed, when it is anything else.
 */
export function trackSteady(entry: number, isReply: boolean): boolean {
  const steady = flags & (tcp.SYN | tcp.FIN | tcp.RST | tcp.ACK);
  if (steady !== tcp.ACK || connections.state(entry) !== ESTABLISHED) return false;
  const direction = isReply ? 1 : 0;
  if (connections.tcpWord(entry, direction, MAX_WINDOW) === 0) return false;
  if (!isInWindow(entry, direction)) return false;
  slideWindow(entry, direction);
  return true;
}

function kindOf(): number {
  if ((flags & tcp.RST) !== 0) return KIND_RST;
  if ((flags & tcp.SYN) !== 0) return (flags & tcp.ACK) !== 0 ? KIND_SYN_ACK : KIND_SYN;
  if ((flags & tcp.ACK) === 0) return KIND_NONE;
  return (flags & tcp.FIN) !== 0 ? KIND_FIN : KIND_ACK;
}

function nextState(state: number, kind: number, isReply: boolean): number {
  if (kind === KIND_NONE) return IMPOSSIBLE;
  if (kind === KIND_RST) return state === NEW ? IMPOSSIBLE : CLOSED;
  return TRANSITIONS[((isReply ? KIND_RST : 0) + kind) * STATES + state]!;
}

function isInWindow(entry: number, sender: number): boolean {
  const senderWindow = connections.tcpWord(entry, sender, MAX_WINDOW);
  const receiverWindow = connections.tcpWord(entry, 1 - sender, MAX_WINDOW);
  if (senderWindow !== 0) {
    const senderEnd = connections.tcpWord(entry, sender, END);
    const from = isEmptyReset() ? senderEnd : sequence;
    const to = isEmptyReset() ? senderEnd : end;
    if (((from - connections.tcpWord(entry, sender, MAX_END)) | 0) > 0) return false;
    // Of a receiver that has said nothing yet no window is known.
    if (receiverWindow !== 0 && ((to - senderEnd + receiverWindow) | 0) < 0) return false;
  }
  if (receiverWindow === 0 || (flags & tcp.ACK) === 0) return true;
  const behind = (connections.tcpWord(entry, 1 - sender, END) - acknowledgment) | 0;
  return behind >= 0 && behind <= Math.max(senderWindow, ACK_WINDOW_MAX);
}

/** An answer to a SYN that was refused: RST, ACK with sequence 0 (RFC 9293 §3.10.7.1). */
function isEmptyReset(): boolean {
  return (flags & tcp.RST) !== 0 && sequence === 0 && end === 0;
}

function slideWindow(entry: number, sender: number): void {
  const receiver = 1 - sender;
  const isSyn = (flags & tcp.SYN) !== 0;
  const isFirst = connections.tcpWord(entry, sender, MAX_WINDOW) === 0;
  if (isSyn) connections.setTcpWord(entry, sender, SCALE, scale);
  const window = isSyn ? windowSize : windowSize << usedScale(entry, sender);
  if (isFirst || isSyn) {
    connections.setTcpWord(entry, sender, END, end);
    connections.setTcpWord(entry, sender, MAX_END, isSyn ? end : (end + window) | 0);
  }
  if (window > connections.tcpWord(entry, sender, MAX_WINDOW) || isFirst) {
    connections.setTcpWord(entry, sender, MAX_WINDOW, Math.max(window, 1));
  }
  if (((end - connections.tcpWord(entry, sender, END)) | 0) > 0 && !isEmptyReset()) {
    connections.setTcpWord(entry, sender, END, end);
  }
  if ((flags & tcp.ACK) === 0) return;
  if (connections.tcpWord(entry, receiver, MAX_WINDOW) === 0) {
    // The other end has not been seen yet: what is acknowledged is what it sent.
    connections.setTcpWord(entry, receiver, END, acknowledgment);
    connections.setTcpWord(entry, receiver, MAX_END, acknowledgment);
  }
  const allowed = (acknowledgment + Math.max(window, 1)) | 0;
  if (((allowed - connections.tcpWord(entry, receiver, MAX_END)) | 0) > 0) {
    connections.setTcpWord(entry, receiver, MAX_END, allowed);
  }
}

/** Windows are scaled when both ends said so (RFC 7323 §2.2); when unseen, by as much as can be. */
function usedScale(entry: number, sender: number): number {
  const own = connections.tcpWord(entry, sender, SCALE);
  const others = connections.tcpWord(entry, 1 - sender, SCALE);
  if (own === SCALE_UNKNOWN || others === SCALE_UNKNOWN) return SCALE_MAX;
  return own === SCALE_NONE || others === SCALE_NONE ? 0 : own - SCALE_FIRST;
}

/** What the SYN says of window scaling, as word SCALE has it. */
function readScale(at: number): number {
  const optionsEnd = at + tcp.headerSize(view, at);
  let option = at + tcp.HEADER_SIZE;
  while (option < optionsEnd) {
    const kind = view.getUint8(option);
    if (kind === OPTION_END) break;
    if (kind === OPTION_NOP) {
      option++;
      continue;
    }
    const size = option + 1 < optionsEnd ? view.getUint8(option + 1) : 0;
    if (size < 2 || option + size > optionsEnd) break;
    if (kind === OPTION_WINDOW_SCALE && size === 3) {
      return SCALE_FIRST + Math.min(view.getUint8(option + 2), SCALE_MAX);
    }
    option += size;
  }
  return SCALE_NONE;
}

function timeoutOf(state: number): number {
  switch (state) {
    case ESTABLISHED:
      return TCP_MS.established;
    case FIN_WAIT:
    case CLOSE_WAIT:
      return TCP_MS.finWait;
    case LAST_ACK:
      return TCP_MS.closing;
    case TIME_WAIT:
      return TCP_MS.timeWait;
    case CLOSED:
      return TCP_MS.closed;
    case SYN_RECEIVED:
      return TCP_MS.synReceived;
    default:
      return TCP_MS.synSent;
  }
}

function transitions(directions: readonly (readonly string[])[]): Int8Array {
  const rows = directions.flat();
  const table = new Int8Array(rows.length * STATES);
  for (const [row, digits] of rows.entries()) {
    if (digits.length !== STATES) throw new Error(`expected ${STATES} states, got "${digits}"`);
    for (const [state, digit] of [...digits].entries()) {
      const next = digit === "." ? STAYS : digit === "x" ? IMPOSSIBLE : Number(digit);
      table[row * STATES + state] = next;
    }
  }
  return table;
}
