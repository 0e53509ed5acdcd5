/** TCP segments for tests of the tracker: written to the packet pool, read, judged, taken in. */
import assert from "node:assert/strict";
import { poolViews } from "@rhone/rings/pool";
import * as tcp from "@rhone/wire/tcp";
import * as connections from "../src/connections.ts";
import * as tracker from "../src/tcp-tracker.ts";

const { ACK, SYN } = tcp;
const { view } = poolViews();
const AT = 4096;
export const CLIENT = false; // Whether it is the reply direction.
export const SERVER = true;

export interface Segment {
  readonly flags: number;
  readonly seq?: number;
  readonly ack?: number;
  readonly window?: number;
  readonly payload?: number;
  readonly scale?: number;
}

export function read({
  flags,
  seq = 0,
  ack = 0,
  window = 1000,
  payload = 0,
  scale,
}: Segment): void {
  view.setInt32(AT + 4, seq);
  view.setInt32(AT + 8, ack);
  view.setUint8(AT + 12, (scale === undefined ? 5 : 6) << 4);
  view.setUint8(AT + 13, flags);
  view.setUint16(AT + 14, window);
  if (scale !== undefined) {
    view.setUint8(AT + 20, 1); // A no-operation, then the option.
    view.setUint8(AT + 21, 3);
    view.setUint8(AT + 22, 3);
    view.setUint8(AT + 23, scale);
  }
  tracker.read(AT, payload);
}

let number = 0;

/** An entry that nothing was taken in for yet. */
export function newEntry(): number {
  connections.loadIpv4(1, 1, 6, ++number, 1, 1, 1);
  const entry = connections.insert(number, 0);
  connections.setExpires(entry, 1_000_000);
  return entry;
}

/** A connection that the segments have made; each must be valid. */
export function connection(...segments: readonly [boolean, Segment][]): number {
  const entry = newEntry();
  for (const [isReply, segment] of segments) {
    read(segment);
    assert.equal(tracker.classify(entry, isReply), tracker.VALID, JSON.stringify(segment));
    tracker.track(entry, isReply);
  }
  return entry;
}

/** All that the tracker knows of a connection. */
export function wordsOf(entry: number): number[] {
  const ends = [0, 1].flatMap((direction) =>
    [0, 1, 2, 3].map((word) => connections.tcpWord(entry, direction, word)),
  );
  const scales = [0, 1, 2].map((direction) => connections.scale(entry, direction));
  return [connections.state(entry), connections.synEnd(entry), ...scales, ...ends];
}

/** VALID, INVALID or REOPENS. */
export function verdict(entry: number, isReply: boolean, segment: Segment): number {
  const before = wordsOf(entry);
  read(segment);
  const found = tracker.classify(entry, isReply);
  assert.deepEqual(wordsOf(entry), before, "classify changes nothing");
  return found;
}

export const syn: [boolean, Segment] = [CLIENT, { flags: SYN, seq: 100 }];
export const synAck: [boolean, Segment] = [SERVER, { flags: SYN | ACK, seq: 500, ack: 101 }];
export const ack: [boolean, Segment] = [CLIENT, { flags: ACK, seq: 101, ack: 501 }];
export const handshake = [syn, synAck, ack] as const;
