/**
 * What travels on a link between two chassis. Runs on the control thread.
 *
 *   0   4   size      of all that follows
 *   4   1   type
 *   5   4   id        of a request, in it and in its answer; else 0
 *   9   2   length    of the subject; 0 where there is none
 *  11       subject   ASCII
 *           data
 *
 * The other end has shown a certificate of the cluster, and is believed no more than that: a frame
 * that is too large, too small or of an unknown type ends the link.
 */
import { isSubject, SUBJECT_LENGTH_MAX } from "../subject-pattern.ts";

/** Of `data`: the same as a nats-server carries. */
export const DATA_SIZE_MAX = 1024 * 1024;
const SIZE_AT = 0;
const TYPE_AT = 4;
const ID_AT = 5;
const LENGTH_AT = 9;
const SUBJECT_AT = 11;
const FRAME_SIZE_MAX = SUBJECT_AT + SUBJECT_LENGTH_MAX + DATA_SIZE_MAX;

export const FRAME_TYPES = {
  publish: 1,
  request: 2,
  answer: 3,
  /** The sender wants what is published on a subject. */
  subscribe: 4,
  unsubscribe: 5,
  ping: 6,
  pong: 7,
  /** One byte of data: 1 if the sender hears the receiver over NATS, else 0. */
  hearing: 8,
} as const;

export type FrameType = keyof typeof FRAME_TYPES;

export interface Frame {
  readonly type: FrameType;
  readonly id: number;
  readonly subject: string;
  readonly data: Uint8Array;
}

const TYPE_OF = new Map(
  Object.entries(FRAME_TYPES).map(([type, number]) => [number as number, type as FrameType]),
);
const NEEDS_SUBJECT: ReadonlySet<FrameType> = new Set([
  "publish",
  "request",
  "subscribe",
  "unsubscribe",
]);
const NOTHING: Uint8Array = new Uint8Array(0);

export function encodeFrame(type: FrameType, subject = "", data = NOTHING, id = 0): Buffer {
  const bytes = Buffer.allocUnsafe(SUBJECT_AT + subject.length + data.length);
  bytes.writeUInt32BE(bytes.length - TYPE_AT, SIZE_AT);
  bytes.writeUInt8(FRAME_TYPES[type], TYPE_AT);
  bytes.writeUInt32BE(id, ID_AT);
  bytes.writeUInt16BE(subject.length, LENGTH_AT);
  bytes.write(subject, SUBJECT_AT, "latin1");
  bytes.set(data, SUBJECT_AT + subject.length);
  return bytes;
}

/** The frame that `bytes` are; null if they are none. Its data are a part of `bytes`. */
export function decodeFrame(bytes: Uint8Array): Frame | null {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.length < SUBJECT_AT || view.readUInt32BE(SIZE_AT) !== view.length - TYPE_AT) return null;
  const type = TYPE_OF.get(view.readUInt8(TYPE_AT));
  const dataAt = SUBJECT_AT + view.readUInt16BE(LENGTH_AT);
  if (type === undefined || dataAt > view.length || view.length - dataAt > DATA_SIZE_MAX) {
    return null;
  }
  const subject = view.toString("latin1", SUBJECT_AT, dataAt);
  if (NEEDS_SUBJECT.has(type) ? !isSubject(subject) : subject !== "") return null;
  return { type, id: view.readUInt32BE(ID_AT), subject, data: view.subarray(dataAt) };
}

/** Cuts a stream of bytes into frames. */
export class FrameReader {
  #pending: Uint8Array[] = [];
  #pendingSize = 0;

  /** The frames that `chunk` completes; null as soon as the stream cannot be understood. */
  push(chunk: Uint8Array): Frame[] | null {
    this.#pending.push(chunk);
    this.#pendingSize += chunk.length;
    const frames: Frame[] = [];
    for (;;) {
      const size = this.#nextSize();
      if (size === null) return null;
      if (size === 0 || size > this.#pendingSize) return frames;
      const all = this.#joined();
      const frame = decodeFrame(all.subarray(0, size));
      if (frame === null) return null;
      frames.push(frame);
      this.#pending = [all.subarray(size)];
      this.#pendingSize -= size;
    }
  }

  /** Of the frame that begins here; 0 when too little is there, null when it cannot be one. */
  #nextSize(): number | null {
    if (this.#pendingSize < TYPE_AT) return 0;
    // Rarely are the four bytes cut; then they are put together.
    if (this.#pending[0]!.length < TYPE_AT) this.#pending = [this.#joined()];
    const [first] = this.#pending as [Uint8Array];
    const view = new DataView(first.buffer, first.byteOffset, first.byteLength);
    const size = TYPE_AT + view.getUint32(SIZE_AT);
    return size < SUBJECT_AT || size > FRAME_SIZE_MAX ? null : size;
  }

  #joined(): Uint8Array {
    return this.#pending.length === 1 ? this.#pending[0]! : Buffer.concat(this.#pending);
  }
}
