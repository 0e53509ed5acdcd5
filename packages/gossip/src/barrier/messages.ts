/**
 * The messages of the barrier, as MessagePack arrays. Runs on the control thread.
 *
 *   [1, clock, revision, root]   ask    who holds the state that I have compiled?
 *   [2, clock, root]             held   we hold what you have written up to `clock`
 *   [3, clock, root]             begin  what I have written up to `clock` is in force
 *   [4, clock]                   wait   the same as held; how far may we begin?
 *
 * Who sends is not in the message: the subject says so. A root is the hash of a state, and stays
 * true however late or often a message comes. What is longer than expected comes from a newer
 * chassis; the rest of it is left out.
 */
import { Packr } from "msgpackr/pack";
import { isPlain } from "../plain-msgpack.ts";

const ASK = 1;
const HELD = 2;
const BEGIN = 3;
const WAIT = 4;
/** Two numbers of nine bytes, and a root. */
const MESSAGE_SIZE_MAX = 256;
const ROOT = /^[0-9a-f]{16}$/;

/** Says what the sender has compiled, and asks who else holds it. */
export interface Ask {
  readonly type: "ask";
  /** Up to which write of the sender. */
  readonly clock: number;
  /** Of the state, and its hash. */
  readonly revision: number;
  readonly root: string;
}

export interface Held {
  readonly type: "held";
  /** Up to which write of the receiver all workers of the sender hold tables. */
  readonly clock: number;
  /** Of the state in question if a packet of its generation meets it here; else "". */
  readonly root: string;
}

export interface Begin {
  readonly type: "begin";
  readonly clock: number;
  /** Of the state that all hold; "" when that is not the same everywhere. */
  readonly root: string;
}

export interface Wait {
  readonly type: "wait";
  /** As in Held. */
  readonly clock: number;
}

export type BarrierMessage = Ask | Held | Begin | Wait;

const packr = new Packr({ useRecords: false, bundleStrings: false });

export function encode(message: BarrierMessage): Uint8Array {
  switch (message.type) {
    case "ask":
      return packr.pack([ASK, message.clock, message.revision, message.root]);
    case "held":
      return packr.pack([HELD, message.clock, message.root]);
    case "begin":
      return packr.pack([BEGIN, message.clock, message.root]);
    case "wait":
      return packr.pack([WAIT, message.clock]);
  }
}

/** The message in `data`, which may be anything; null if it is none. */
export function decode(data: Uint8Array): BarrierMessage | null {
  if (data.length > MESSAGE_SIZE_MAX || !isPlain(data)) return null;
  const fields: unknown = packr.unpack(data);
  if (!Array.isArray(fields)) return null;
  const [type, clock, second, third] = fields as unknown[];
  if (!isCount(clock)) return null;
  const root = isRoot(second) || second === "" ? second : null;
  switch (type) {
    case ASK:
      if (!isCount(second) || !isRoot(third)) return null;
      return { type: "ask", clock, revision: second, root: third };
    case HELD:
      return root === null ? null : { type: "held", clock, root };
    case BEGIN:
      return root === null ? null : { type: "begin", clock, root };
    case WAIT:
      return { type: "wait", clock };
    default:
      return null;
  }
}

function isRoot(value: unknown): value is string {
  return typeof value === "string" && ROOT.test(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
