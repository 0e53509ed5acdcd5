/**
 * Questions to the kernel's routing tables, rtnetlink(7) and netlink(7): built, asked and taken
 * apart here; rtnetlink.ts says what they mean. Run by the control thread.
 *
 *   |                         Length (32)                           |
 *   |           Type (16)           |          Flags (16)           |
 *   |                        Sequence (32)                          |
 *   |                          Port (32)                            |
 *   |   a structure of the type, then attributes, each aligned to 4 |
 *
 * All in the machine's byte order. An attribute is length (16), type (16), value.
 */
import * as native from "./native.ts";
import { allocate } from "./native-memory.ts";
import { openSocket } from "./socket-option.ts";

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0x800;
const NETLINK_ROUTE = 0;
const HEADER_SIZE = 16;
const ATTRIBUTE_SIZE = 4;
const REQUEST = 1;
const ACKNOWLEDGE = 4;
const DUMP = 0x300;
const TYPE_ERROR = 2;
const TYPE_DONE = 3;
const REQUEST_SIZE = 256;
/** The kernel gives no more at once (netlink_dump). */
const ANSWER_SIZE = 65536;
/** Messages that one dump may have. */
const MESSAGES_MAX = 65536;

const { libc } = native;
const request = allocate(REQUEST_SIZE);
const answer = allocate(ANSWER_SIZE);
const vector = allocate(16); // struct iovec
const name = allocate(12); // struct sockaddr_nl

/** An answer: its structure and its attributes, copies of their own. */
export interface Message {
  readonly body: DataView;
  readonly attributes: ReadonlyMap<number, DataView>;
}

export interface Question {
  readonly type: number;
  /** The structure that the type has. */
  readonly body: Uint8Array;
  readonly attributes?: readonly (readonly [type: number, value: Uint8Array])[];
}

export class Netlink {
  readonly #descriptor: number;
  #sequence = 0;

  /** Opens a socket in this thread's network namespace; it hears of changes in `groups`, a mask. */
  constructor(groups = 0) {
    const what = "rtnetlink";
    this.#descriptor = openSocket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, NETLINK_ROUTE, what);
    name.view.setUint16(0, AF_NETLINK, true);
    name.view.setUint32(8, groups, true);
    try {
      native.check(libc.bind(this.#descriptor, name.address, 12), `bind ${what}`);
    } catch (error) {
      libc.close(this.#descriptor);
      throw error;
    }
  }

  /** The answer to a question that has one; null when the kernel has none, and says which errno. */
  ask(question: Question, bodySize: number): Message | null {
    this.#send(question, 0);
    return this.#receive(bodySize, false)[0] ?? null;
  }

  /** Tells the kernel something; whether it took it. */
  tell(question: Question): boolean {
    this.#send(question, ACKNOWLEDGE);
    return this.#receive(0, false).length > 0;
  }

  /** All answers. Throws NativeError when the kernel refuses to give them. */
  list(question: Question, bodySize: number): readonly Message[] {
    this.#send(question, DUMP);
    return this.#receive(bodySize, true);
  }

  /** Takes all that waits in the socket; whether anything did, or was lost. */
  drain(): boolean {
    let hasAny = false;
    for (let reads = 0; reads < MESSAGES_MAX; reads++) {
      if (this.#read() >= 0) hasAny = true;
      else if (native.errno() === native.ENOBUFS) hasAny = true;
      else break;
    }
    return hasAny;
  }

  close(): void {
    libc.close(this.#descriptor);
  }

  #send({ type, body, attributes = [] }: Question, flags: number): void {
    const { view } = request;
    request.words.fill(0);
    let at = HEADER_SIZE;
    for (const byte of body) view.setUint8(at++, byte);
    for (const [kind, value] of attributes) {
      at = (at + 3) & ~3;
      view.setUint16(at, ATTRIBUTE_SIZE + value.length, true);
      view.setUint16(at + 2, kind, true);
      for (const [i, byte] of value.entries()) view.setUint8(at + ATTRIBUTE_SIZE + i, byte);
      at += ATTRIBUTE_SIZE + value.length;
    }
    view.setUint32(0, at, true);
    view.setUint16(4, type, true);
    view.setUint16(6, REQUEST | flags, true);
    view.setUint32(8, ++this.#sequence, true);
    vector.view.setBigUint64(0, request.address, true);
    vector.view.setBigUint64(8, BigInt(at), true);
    native.check(libc.writev(this.#descriptor, vector.address, 1), "ask rtnetlink");
  }

  /** Bytes that came; -1 when there are none. */
  #read(): number {
    vector.view.setBigUint64(0, answer.address, true);
    vector.view.setBigUint64(8, BigInt(ANSWER_SIZE), true);
    return libc.readv(this.#descriptor, vector.address, 1);
  }

  /** The answers to the last question; the kernel has given the first before the write returned. */
  #receive(bodySize: number, isList: boolean): Message[] {
    const messages: Message[] = [];
    for (;;) {
      const size = native.check(this.#read(), "read the answer of rtnetlink");
      for (let at = 0; at + HEADER_SIZE <= size; ) {
        const length = answer.view.getUint32(at, true);
        const end = Math.min(size, at + length);
        const isOurs = answer.view.getUint32(at + 8, true) === this.#sequence;
        const from = at + HEADER_SIZE;
        at += Math.max(HEADER_SIZE, (length + 3) & ~3);
        if (!isOurs) continue; // Of a question that was given up.
        const type = answer.view.getUint16(from - HEADER_SIZE + 4, true);
        if (type === TYPE_DONE) return messages;
        if (type === TYPE_ERROR) {
          const number = -answer.view.getInt32(from, true);
          if (number !== 0 && isList) throw new native.NativeError("list by rtnetlink", number);
          return number === 0 ? [...messages, EMPTY] : messages;
        }
        messages.push(parse(from, end, bodySize));
        if (!isList) return messages;
        if (messages.length > MESSAGES_MAX) {
          throw new RangeError(`expected at most ${MESSAGES_MAX} answers of rtnetlink`);
        }
      }
    }
  }
}

const EMPTY: Message = { body: new DataView(new ArrayBuffer(0)), attributes: new Map() };

function parse(from: number, end: number, bodySize: number): Message {
  const attributes = new Map<number, DataView>();
  for (let at = from + ((bodySize + 3) & ~3); at + ATTRIBUTE_SIZE <= end; ) {
    const length = answer.view.getUint16(at, true);
    if (length < ATTRIBUTE_SIZE || at + length > end) break;
    const type = answer.view.getUint16(at + 2, true) & 0x3fff; // Without the flags of nesting.
    attributes.set(type, copy(at + ATTRIBUTE_SIZE, at + length));
    at += (length + 3) & ~3;
  }
  return { body: copy(from, Math.min(end, from + bodySize)), attributes };
}

function copy(from: number, end: number): DataView {
  return new DataView(answer.view.buffer.slice(from, end) as ArrayBuffer);
}
