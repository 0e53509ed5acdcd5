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
/** Kinds that have a row. */
const ROWS = 4;

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
const MAX_WINDOW = 2; // The largest window that it offered, 0: nothing was seen of it.
const ACKNOWLEDGED = 3; // How far it has acknowledged what the other end sent.
const ORIGINAL = 0; // Directions.
const REPLY = 1;
/** In place of a direction: the scale of a SYN that had no effect. */
const IGNORED_SYN = 2;
const SCALE_UNKNOWN = 0; // Scales of the windows that an end offers: its SYN was not seen.
const SCALE_NONE = 1;
const SCALE_FIRST = 2; // As the option has it plus this.
const ACK_WINDOW_MAX = 66_000;
const WINDOW_UNSCALED_MAX = 65_535;
/** By how much a connection that was picked up may be out of what was seen of it. */
const PICKED_UP_SLACK = 2 ** 30; // The largest window that there is.

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

/** Whether the loaded segment is of a connection that stands: neither opens it nor resets it. */
export function isUnderWay(): boolean {
  const kind = kindOf();
  return kind === KIND_ACK || kind === KIND_FIN;
}

/** A new entry is that of a connection that stands already. */
export function pickUp(entry: number): void {
  connections.setState(entry, ESTABLISHED);
}

/** VALID, INVALID or REOPENS for the loaded segment of an entry. Changes nothing. */
export function classify(entry: number, isReply: boolean): number {
  const kind = kindOf();
  const sender = isReply ? REPLY : ORIGINAL;
  const state = connections.state(entry);
  if (kind === KIND_SYN && (state === TIME_WAIT || state === CLOSED)) return REOPENS;
  if (kind === KIND_RST) return isResetPossible(entry, state, sender) ? VALID : INVALID;
  const next = nextState(state, kind, isReply);
  if (next === IMPOSSIBLE) return INVALID;
  // A SYN may come again with another number; what changes nothing needs no window.
  if (next === STAYS || (kind === KIND_SYN && state === SYN_SENT)) return VALID;
  return isInWindow(entry, sender) ? VALID : INVALID;
}

/**
 * Takes the loaded segment in: one that was VALID, or the first of a new entry. Returns the
 * connection's new timeout in milliseconds.
 */
export function track(entry: number, isReply: boolean): number {
  const kind = kindOf();
  const sender = isReply ? REPLY : ORIGINAL;
  const state = connections.state(entry);
  const next = nextState(state, kind, isReply);
  if (kind === KIND_RST) {
    if (state !== ESTABLISHED || isNext(entry, sender)) connections.setState(entry, CLOSED);
  } else if (next < STATES) {
    connections.setState(entry, next);
    slideWindow(entry, sender);
  } else if (next === STAYS) {
    noteIgnored(entry, kind, sender);
  }
  return timeoutOf(connections.state(entry));
}

/**
 * The fast path's `classify` and `track` in one: takes in a segment of an established connection
 * that carries neither SYN, FIN nor RST. False, and nothing changed, when it is anything else.
 */
export function trackSteady(entry: number, isReply: boolean): boolean {
  if (!isSteady(entry, isReply)) return false;
  slideWindow(entry, isReply ? REPLY : ORIGINAL);
  return true;
}

/** What `trackSteady` will say. Changes nothing. */
export function isSteady(entry: number, isReply: boolean): boolean {
  const steady = flags & (tcp.SYN | tcp.FIN | tcp.RST | tcp.ACK);
  if (steady !== tcp.ACK || connections.state(entry) !== ESTABLISHED) return false;
  const direction = isReply ? REPLY : ORIGINAL;
  if (connections.tcpWord(entry, direction, MAX_WINDOW) === 0) return false;
  return isInWindow(entry, direction);
}

/**
 * A new entry goes on with what another chassis knew of the connection, which may be older than
 * what its ends have sent since: the state and the numbers of `words`, eight as in an entry, but no
 * windows. What comes next of either end begins them, as of a connection that was picked up.
 */
export function goOn(entry: number, state: number, words: Int32Array, at: number): void {
  connections.setState(entry, state);
  for (const direction of [ORIGINAL, REPLY]) {
    for (const word of [END, MAX_END, ACKNOWLEDGED]) {
      connections.setTcpWord(entry, direction, word, words[at + direction * 4 + word]!);
    }
  }
}

function kindOf(): number {
  const isSyn = (flags & tcp.SYN) !== 0;
  const isFin = (flags & tcp.FIN) !== 0;
  if ((flags & tcp.RST) !== 0) return isSyn || isFin ? KIND_NONE : KIND_RST;
  if (isSyn && isFin) return KIND_NONE;
  if (isSyn) return (flags & tcp.ACK) !== 0 ? KIND_SYN_ACK : KIND_SYN;
  if ((flags & tcp.ACK) === 0) return KIND_NONE;
  return isFin ? KIND_FIN : KIND_ACK;
}

function nextState(state: number, kind: number, isReply: boolean): number {
  if (kind >= KIND_RST) return IMPOSSIBLE; // A reset has rules of its own.
  return TRANSITIONS[((isReply ? ROWS : 0) + kind) * STATES + state]!;
}

function isInWindow(entry: number, sender: number): boolean {
  const senderWindow = connections.tcpWord(entry, sender, MAX_WINDOW);
  const receiverWindow = connections.tcpWord(entry, 1 - sender, MAX_WINDOW);
  const slack = isPickedUp(entry) ? PICKED_UP_SLACK : 0;
  if (senderWindow !== 0) {
    if (((sequence - connections.tcpWord(entry, sender, MAX_END)) | 0) > 0) return false;
    // Of a receiver that has said nothing yet no window is known.
    const most = Math.max(receiverWindow, slack);
    const behind = (connections.tcpWord(entry, sender, END) - end) | 0;
    if (receiverWindow !== 0 && behind > most) return false;
  }
  if (receiverWindow === 0 || (flags & tcp.ACK) === 0) return true;
  const unacknowledged = (connections.tcpWord(entry, 1 - sender, END) - acknowledgment) | 0;
  const most = Math.max(senderWindow, ACK_WINDOW_MAX, slack);
  return unacknowledged >= -slack && unacknowledged <= most;
}

/** Whether what was seen first was not its SYN, so that there may be more than was seen. */
function isPickedUp(entry: number): boolean {
  return connections.scale(entry, ORIGINAL) === SCALE_UNKNOWN;
}

/**
 * A reset must lie in the window and not before what its receiver has acknowledged; one that
 * refuses a SYN says which (RFC 9293 §3.10.7.3).
 */
function isResetPossible(entry: number, state: number, sender: number): boolean {
  if (state === NEW || !isInWindow(entry, sender)) return false;
  const isSenderSeen = connections.tcpWord(entry, sender, MAX_WINDOW) !== 0;
  if (state === SYN_SENT && !isSenderSeen) return (flags & tcp.ACK) !== 0;
  const isReceiverSeen = connections.tcpWord(entry, 1 - sender, MAX_WINDOW) !== 0;
  if (!isSenderSeen || !isReceiverSeen) return true;
  return ((sequence - connections.tcpWord(entry, 1 - sender, ACKNOWLEDGED)) | 0) >= 0;
}

/**
 * Whether the segment is the one that its receiver waits for, or its sender would send. A reset
 * elsewhere in the window may be a guess: its receiver asks whether it is meant (RFC 5961 §3.2).
 */
function isNext(entry: number, sender: number): boolean {
  return (
    sequence === connections.tcpWord(entry, 1 - sender, ACKNOWLEDGED) ||
    sequence === connections.tcpWord(entry, sender, END)
  );
}

/**
 * Both ends may have forgotten a connection that is still known here. A SYN that had no effect is
 * remembered, and the answer to just that one begins the connection anew.
 */
function noteIgnored(entry: number, kind: number, sender: number): void {
  if (kind === KIND_SYN && sender === ORIGINAL) {
    connections.setSynEnd(entry, end);
    connections.setScale(entry, IGNORED_SYN, scale);
    return;
  }
  const synEnd = connections.synEnd(entry);
  if (kind !== KIND_SYN_ACK || synEnd === 0 || acknowledgment !== synEnd) return;
  connections.setSynEnd(entry, 0);
  connections.setState(entry, SYN_RECEIVED);
  connections.setScale(entry, ORIGINAL, connections.scale(entry, IGNORED_SYN));
  connections.setTcpWord(entry, ORIGINAL, END, synEnd);
  connections.setTcpWord(entry, ORIGINAL, MAX_END, synEnd);
  connections.setTcpWord(entry, ORIGINAL, MAX_WINDOW, WINDOW_UNSCALED_MAX);
  connections.setTcpWord(entry, REPLY, MAX_WINDOW, 0);
  slideWindow(entry, REPLY);
}

function slideWindow(entry: number, sender: number): void {
  const isSyn = (flags & tcp.SYN) !== 0;
  if (isSyn) connections.setScale(entry, sender, scale);
  const window = Math.max(1, isSyn ? windowSize : windowSize << usedScale(entry, sender));
  if (connections.tcpWord(entry, sender, MAX_WINDOW) === 0 || (isSyn && isOther(entry, sender))) {
    beginSending(entry, sender, window);
  } else {
    goOnSending(entry, sender, window);
  }
  if ((flags & tcp.ACK) !== 0) acknowledge(entry, sender, window);
}

/** Whether a further SYN is not the former one again, with or without its data. */
function isOther(entry: number, sender: number): boolean {
  const behind = (connections.tcpWord(entry, sender, END) - end) | 0;
  return behind < 0 || behind > ACK_WINDOW_MAX;
}

/** The first that was seen of an end. */
function beginSending(entry: number, sender: number, window: number): void {
  const receiver = 1 - sender;
  const isSyn = (flags & tcp.SYN) !== 0;
  const isReceiverSeen = connections.tcpWord(entry, receiver, MAX_WINDOW) !== 0;
  connections.setTcpWord(entry, sender, END, end);
  connections.setTcpWord(entry, sender, MAX_WINDOW, window);
  connections.setTcpWord(entry, sender, ACKNOWLEDGED, connections.tcpWord(entry, receiver, END));
  if (isSyn) connections.setTcpWord(entry, sender, MAX_END, end);
  else if (!isReceiverSeen) connections.setTcpWord(entry, sender, MAX_END, (end + window) | 0);
  else raise(entry, sender, MAX_END, (end + window) | 0);
  // Nothing of it can have been acknowledged.
  if (isSyn || !isReceiverSeen) connections.setTcpWord(entry, receiver, ACKNOWLEDGED, sequence);
  if ((flags & tcp.ACK) === 0) return;
  connections.setTcpWord(entry, sender, ACKNOWLEDGED, acknowledgment);
}

function goOnSending(entry: number, sender: number, window: number): void {
  if (window > connections.tcpWord(entry, sender, MAX_WINDOW)) {
    connections.setTcpWord(entry, sender, MAX_WINDOW, window);
  }
  raise(entry, sender, END, end);
  const isReceiverSeen = connections.tcpWord(entry, 1 - sender, MAX_WINDOW) !== 0;
  // What the receiver allows is not known, so it may go on.
  if (!isReceiverSeen && isPickedUp(entry)) raise(entry, sender, MAX_END, (end + window) | 0);
}

function acknowledge(entry: number, sender: number, window: number): void {
  const receiver = 1 - sender;
  raise(entry, sender, ACKNOWLEDGED, acknowledgment);
  if (connections.tcpWord(entry, receiver, MAX_WINDOW) === 0) {
    // The other end has not been seen yet: what is acknowledged is what it sent.
    connections.setTcpWord(entry, receiver, END, acknowledgment);
    connections.setTcpWord(entry, receiver, MAX_END, acknowledgment);
  } else if (isPickedUp(entry)) {
    raise(entry, receiver, END, acknowledgment);
  }
  raise(entry, receiver, MAX_END, (acknowledgment + window) | 0);
}

/** Sets a word to a sequence number that lies behind the one in it. */
function raise(entry: number, direction: number, word: number, value: number): void {
  if (((value - connections.tcpWord(entry, direction, word)) | 0) <= 0) return;
  connections.setTcpWord(entry, direction, word, value);
}

/** Windows are scaled when both ends said so (RFC 7323 §2.2); when unseen, by as much as can be. */
function usedScale(entry: number, sender: number): number {
  const own = connections.scale(entry, sender);
  const others = connections.scale(entry, 1 - sender);
  if (own === SCALE_UNKNOWN || others === SCALE_UNKNOWN) return SCALE_MAX;
  return own === SCALE_NONE || others === SCALE_NONE ? 0 : own - SCALE_FIRST;
}

/** What the SYN says of window scaling, as the entry's scales have it. */
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
