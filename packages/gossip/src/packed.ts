/**
 * The messages that chassis send all the time, in few bytes. Runs on the control thread.
 *
 *   0   1   0xc1, which begins no MessagePack: to who knows no packed messages it is malformed
 *   1   1   type: 1 a change, 2 a heartbeat
 *
 *   change, from 2    heartbeat, from 2
 *   3   size of raw   8   hash
 *       raw               MessagePack [from, incarnation, revision, clock, underlay, format]
 *       compressed
 *
 * `raw` is what cannot be compressed, in the order of its portions: the id of the signer (16) and
 * the signature (64) where there is one, and SHA-256 (32) of each write that is left out; of the
 * others the receiver computes it, as it has to anyway. The rest is MessagePack
 *
 *   [from, [[origin, clock, clock - previous, part, parts, isSigned, [text or nil, …]], …]]
 *
 * compressed as raw DEFLATE (RFC 1951) behind the dictionary, which both sides have. Deno's deflate
 * takes no dictionary (2.9); what it sends is longer, and is read all the same.
 */
import { constants, deflateRawSync, inflateRawSync } from "node:zlib";
import { hashOf, type Portion, SEAL_WRITES_MAX, type Seal } from "@rhone/state/write";
import { Packr } from "msgpackr/pack";
import type { ChangeMessage, HeartbeatMessage } from "./codec.ts";
import { isCount, isHash, isList, isName, isUnderlay } from "./fields.ts";
import { DICTIONARY } from "./packed-dictionary.ts";
import { isPlain } from "./plain-msgpack.ts";

/** Said in heartbeats. From 2 on packed messages are read, and requests for a part are answered. */
export const FORMAT = 2;
const MARK = 0xc1;
const CHANGE = 1;
const HEARTBEAT = 2;
const HEAD_SIZE = 2;
const RAW_SIZE_SIZE = 3;
const RAW_SIZE_MAX = 2 ** 24 - 1;
const HEARTBEAT_HASH_SIZE = 8;
const SIGNER_SIZE = 16;
const SIGNATURE_SIZE = 64;
const HASH_SIZE = 32;
/** Of what comes out of the decompression; a change that is larger is not told but fetched. */
export const UNPACKED_SIZE_MAX = 1024 * 1024;
const NO_SIGNATURE = new Uint8Array();

const packr = new Packr({ useRecords: false, bundleStrings: false });
/** A stored block (RFC 1951 §3.2.4): the decompression begins with the dictionary. */
const PRIMER = storedBlock(DICTIONARY);

/** Whether it may be one of ours, and no MessagePack. */
export function isPacked(data: Uint8Array): boolean {
  return data[0] === MARK;
}

export function packHeartbeat(message: HeartbeatMessage): Uint8Array {
  const { from, incarnation, revision, clock, hash, underlay, format } = message;
  const head = [MARK, HEARTBEAT, ...Buffer.from(hash, "hex")];
  return Buffer.concat([
    Uint8Array.from(head),
    packr.pack([from, incarnation, revision, clock, underlay, format]),
  ]);
}

/** null when it has no packed form: too large, or not as stores make it. */
export function packChange({ from, portions }: ChangeMessage): Uint8Array | null {
  const raw: Uint8Array[] = [];
  const list: unknown[] = [];
  for (const { seal, texts } of portions) {
    const items = itemsOf(seal, texts);
    const isSigned = seal.signer !== "";
    if (items === null || seal.signature.length !== (isSigned ? SIGNATURE_SIZE : 0)) return null;
    if (isSigned) raw.push(Buffer.from(seal.signer, "hex"), seal.signature);
    items.forEach((item, i) => {
      if (item === null) raw.push(Buffer.from(seal.hashes[i]!, "hex"));
    });
    const { origin, clock, previous, part, parts } = seal;
    list.push([origin, clock, clock - previous, part, parts, isSigned, items]);
  }
  const rawSize = raw.reduce((sum, { length }) => sum + length, 0);
  const body = packr.pack([from, list]);
  if (rawSize > RAW_SIZE_MAX || body.length > UNPACKED_SIZE_MAX) return null;
  const size = [rawSize >>> 16, (rawSize >>> 8) & 0xff, rawSize & 0xff];
  const options = { level: constants.Z_BEST_COMPRESSION, dictionary: DICTIONARY };
  return Buffer.concat([
    Uint8Array.of(MARK, CHANGE, ...size),
    ...raw,
    deflateRawSync(body, options),
  ]);
}

/** The message in `data`, or null if it is malformed. */
export function unpack(data: Uint8Array): ChangeMessage | HeartbeatMessage | null {
  if (!isPacked(data)) return null;
  const rest = Buffer.from(data.buffer, data.byteOffset, data.byteLength).subarray(HEAD_SIZE);
  switch (data[1]) {
    case CHANGE:
      return unpackChange(rest);
    case HEARTBEAT:
      return unpackHeartbeat(rest);
    default:
      return null;
  }
}

function unpackHeartbeat(rest: Buffer): HeartbeatMessage | null {
  const hash = rest.toString("hex", 0, HEARTBEAT_HASH_SIZE);
  const fields = unpackList(rest.subarray(HEARTBEAT_HASH_SIZE), 6);
  if (fields === null) return null;
  const [from, incarnation, revision, clock, underlay, format] = fields;
  if (!isName(from) || !isCount(incarnation) || !isCount(revision) || !isCount(clock)) return null;
  if (!isHash(hash) || !isUnderlay(underlay) || !isCount(format)) return null;
  return { type: "heartbeat", from, incarnation, revision, clock, hash, underlay, format };
}

function unpackChange(rest: Buffer): ChangeMessage | null {
  if (rest.length < RAW_SIZE_SIZE) return null;
  const bodyAt = RAW_SIZE_SIZE + rest.readUIntBE(0, RAW_SIZE_SIZE);
  if (bodyAt > rest.length) return null;
  const body = inflate(rest.subarray(bodyAt));
  const [from, list] = (body && unpackList(body, 2)) ?? [];
  if (!isName(from) || !Array.isArray(list)) return null;
  const raw = new RawReader(rest.subarray(RAW_SIZE_SIZE, bodyAt));
  const portions: Portion[] = [];
  for (const item of list) {
    const portion = readPortion(item, raw);
    if (portion === null) return null;
    portions.push(portion);
  }
  return raw.isAtEnd ? { type: "change", from, portions } : null;
}

function readPortion(item: unknown, raw: RawReader): Portion | null {
  if (!isList(item, 7) || item.length !== 7) return null;
  const [origin, clock, step, part, parts, isSigned, items] = item;
  if (!isName(origin) || !isCount(clock) || !isCount(step) || step > clock) return null;
  if (!isCount(part) || !isCount(parts) || typeof isSigned !== "boolean") return null;
  if (!isList(items, SEAL_WRITES_MAX)) return null;
  const signer = isSigned ? raw.take(SIGNER_SIZE).toString("hex") : "";
  // A copy: `data` is the transport's.
  const signature = isSigned ? Uint8Array.from(raw.take(SIGNATURE_SIZE)) : NO_SIGNATURE;
  const hashes: string[] = [];
  const texts: string[] = [];
  for (const text of items) {
    if (text === null) hashes.push(raw.take(HASH_SIZE).toString("hex"));
    else if (typeof text !== "string") return null;
    else {
      texts.push(text);
      hashes.push(hashOf(text));
    }
  }
  const previous = clock - step;
  return { seal: { origin, clock, previous, part, parts, signer, signature, hashes }, texts };
}

/** The writes of a seal in its order, null for each that is missing; null if one is another's. */
function itemsOf({ hashes }: Seal, texts: readonly string[]): (string | null)[] | null {
  const left = new Map(texts.map((text) => [hashOf(text), text]));
  const items = hashes.map((hash) => {
    const text = left.get(hash) ?? null;
    left.delete(hash);
    return text;
  });
  return left.size === 0 && items.length <= SEAL_WRITES_MAX ? items : null;
}

/** null unless `bytes` are a plain list of `count`. */
function unpackList(bytes: Uint8Array, count: number): unknown[] | null {
  if (!isPlain(bytes)) return null;
  const list: unknown = packr.unpack(bytes);
  return Array.isArray(list) && list.length === count ? list : null;
}

function inflate(compressed: Uint8Array): Uint8Array | null {
  const maxOutputLength = DICTIONARY.length + UNPACKED_SIZE_MAX;
  try {
    const all = inflateRawSync(Buffer.concat([PRIMER, compressed]), { maxOutputLength });
    return all.subarray(DICTIONARY.length);
  } catch {
    return null; // No DEFLATE, or too much.
  }
}

function storedBlock(bytes: Uint8Array): Uint8Array {
  const head = Buffer.alloc(5);
  head.writeUInt16LE(bytes.length, 1);
  head.writeUInt16LE(bytes.length ^ 0xffff, 3);
  return Buffer.concat([head, bytes]);
}

/** Takes pieces off the front. Where too little is left they are short, and it is past its end. */
class RawReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  take(size: number): Buffer {
    const piece = this.#bytes.subarray(this.#at, this.#at + size);
    this.#at += size;
    return piece;
  }
}
