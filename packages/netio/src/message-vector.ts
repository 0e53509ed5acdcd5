/**
 * Messages for sendmmsg and recvmmsg, whose bytes lie in the packet pool. Laid out once, so that
 * sending and receiving write a few words a packet and allocate nothing.
 *
 * One buffer, of `count` each (sendmmsg(2), recvmsg(2), cmsg(3); 64-bit Linux):
 *
 *   struct mmsghdr, 64 bytes
 *      0  name, address of          16  iov, address of           32  control, address of
 *      8  nameSize, u32             24  iovCount, u64             40  controlSize, u64
 *     48  flags, i32                56  length of a received message, u32
 *   struct iovec, 16 bytes × buffersPerMessage: address, size
 *   name                            socket addresses, 32 bytes when there are any
 *   control                         control messages, controlSize bytes
 */
import { libc } from "./native.ts";
import { allocate, type NativeMemory } from "./native-memory.ts";
import { putPoolAddress } from "./pool-address.ts";

const { readv, recvmmsg, sendmmsg, sendmsg, writev } = libc;

const HEADER_SIZE = 64;
const HEADER_WORDS = HEADER_SIZE / 4;
const NAME_SIZE_WORD = 2;
const BUFFER_COUNT_WORD = 6;
const CONTROL_SIZE_WORD = 10;
const FLAGS_WORD = 12;
const LENGTH_WORD = 14;
const BUFFER_WORDS = 4;
/** Room for any socket address that we use. */
const NAME_SIZE = 32;

const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;

export interface MessageShape {
  readonly count: number;
  readonly buffersPerMessage: number;
  readonly hasNames: boolean;
  /** Bytes of control messages, a multiple of 8; 0 none. */
  readonly controlSize: number;
}

export class MessageVector {
  /** For names and control messages, at `nameAt` and `controlAt`. */
  readonly view: DataView;
  readonly #memory: NativeMemory;
  readonly #words: Int32Array;
  readonly #addresses: readonly bigint[];
  /** Where the buffers of message 0 are listed. */
  readonly #firstBuffers: bigint;
  readonly #shape: MessageShape;
  readonly #buffersAt: number;
  readonly #namesAt: number;
  readonly #controlsAt: number;

  constructor(shape: MessageShape) {
    const { count, buffersPerMessage, hasNames, controlSize } = shape;
    this.#shape = shape;
    this.#buffersAt = count * HEADER_SIZE;
    this.#namesAt = this.#buffersAt + count * buffersPerMessage * 16;
    this.#controlsAt = this.#namesAt + (hasNames ? count * NAME_SIZE : 0);
    this.#memory = allocate(this.#controlsAt + count * controlSize);
    this.#words = this.#memory.words;
    this.view = this.#memory.view;
    this.#addresses = Array.from(
      { length: count },
      (_, i) => this.#memory.address + BigInt(i * HEADER_SIZE),
    );
    this.#firstBuffers = this.#memory.address + BigInt(this.#buffersAt);
    for (let i = 0; i < count; i++) this.#layOut(i);
  }

  #layOut(message: number): void {
    const { buffersPerMessage, hasNames, controlSize } = this.#shape;
    const header = message * HEADER_SIZE;
    const putAddress = (at: number, offset: number): void =>
      this.view.setBigUint64(header + at, this.#memory.address + BigInt(offset), true);
    if (hasNames) {
      putAddress(0, this.nameAt(message));
      this.setNameSize(message, NAME_SIZE);
    }
    putAddress(16, this.#buffersAt + message * buffersPerMessage * 16);
    this.setBufferCount(message, buffersPerMessage);
    if (controlSize > 0) {
      putAddress(32, this.controlAt(message));
      this.setControlSize(message, controlSize);
    }
  }

  /** Byte offset in `view` of a message's socket address. */
  nameAt(message: number): number {
    return this.#namesAt + message * NAME_SIZE;
  }

  /** Byte offset in `view` of a message's control messages. */
  controlAt(message: number): number {
    return this.#controlsAt + message * this.#shape.controlSize;
  }

  setNameSize(message: number, size: number): void {
    this.#words[message * HEADER_WORDS + NAME_SIZE_WORD] = size;
  }

  setBufferCount(message: number, count: number): void {
    this.#words[message * HEADER_WORDS + BUFFER_COUNT_WORD] = count;
  }

  setControlSize(message: number, size: number): void {
    this.#words[message * HEADER_WORDS + CONTROL_SIZE_WORD] = size;
  }

  /** Points a message's buffer to `size` bytes at `offset` of the pool. */
  setBuffer(message: number, buffer: number, offset: number, size: number): void {
    const index = (message * this.#shape.buffersPerMessage + buffer) * BUFFER_WORDS;
    const at = (this.#buffersAt >> 2) + index;
    putPoolAddress(this.#words, at, offset);
    this.#words[at + 2] = size;
  }

  /** Bytes that were received into a message. */
  length(message: number): number {
    return this.#words[message * HEADER_WORDS + LENGTH_WORD]!;
  }

  /** Whether the received message was longer than its buffers. */
  isTruncated(message: number): boolean {
    return (this.#words[message * HEADER_WORDS + FLAGS_WORD]! & MSG_TRUNC) !== 0;
  }

  /** Bytes of control messages that were received with a message. */
  receivedControlSize(message: number): number {
    return this.#words[message * HEADER_WORDS + CONTROL_SIZE_WORD]!;
  }

  /** Receives into the first `count` messages; returns how many, or -1 with errno. */
  receive(descriptor: number, count: number): number {
    // The kernel writes these two back: what fitted becomes what there was.
    for (let i = 0; i < count; i++) {
      this.setNameSize(i, NAME_SIZE);
      this.setControlSize(i, this.#shape.controlSize);
    }
    return recvmmsg(descriptor, this.#addresses[0]!, count, MSG_DONTWAIT, 0n);
  }

  /**
   * Sends messages `[from, from + count)`; returns how many went, or -1 with errno for the first.
   */
  send(descriptor: number, from: number, count: number): number {
    return sendmmsg(descriptor, this.#addresses[from]!, count, MSG_DONTWAIT | MSG_NOSIGNAL);
  }

  /** Sends message 0 alone; returns its bytes, or -1 with errno. */
  sendFirst(descriptor: number): number {
    return sendmsg(descriptor, this.#addresses[0]!, MSG_DONTWAIT | MSG_NOSIGNAL);
  }

  /** Reads message 0 from what is no socket (readv(2)); returns its bytes, or -1 with errno. */
  readFirst(descriptor: number): number {
    const size = readv(descriptor, this.#firstBuffers, this.#words[BUFFER_COUNT_WORD]!);
    this.#words[LENGTH_WORD] = size;
    this.#words[FLAGS_WORD] = 0;
    this.#words[CONTROL_SIZE_WORD] = 0;
    return size;
  }

  /** Writes message 0 to what is no socket (writev(2)); returns its bytes, or -1 with errno. */
  writeFirst(descriptor: number): number {
    return writev(descriptor, this.#firstBuffers, this.#words[BUFFER_COUNT_WORD]!);
  }
}
