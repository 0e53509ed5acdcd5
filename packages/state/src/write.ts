/**
 * What chassis exchange and keep: writes, each of one document by one transaction, and the seals by
 * which a chassis answers for them. Run by the control thread.
 *
 * A write is a text (JSON) that is never written anew: whoever passes it on, or keeps it for a
 * later version that understands more of it, keeps every byte, as the seal is about the bytes.
 *
 *   [clock, origin, "put", kind, name, document]
 *   [clock, origin, "put", kind, name, document, [clock, origin]]   of what exists since then
 *   [clock, origin, "set", kind, name, [clock, origin], {register: value}]   of the put so named
 *   [clock, origin, "delete", kind, name, [clock, origin]]   by who had seen nothing later
 */
import { hash } from "node:crypto";
import { isAuditNameOf } from "./audit.ts";
import { bindingName } from "./claim.ts";
import { CLOCK_MAX, compareText, compareVersions, type Version } from "./record.ts";
import { type Fields, hasRegisters } from "./registers.ts";
import type { Kind } from "./schema.ts";

/** Writes under one seal. A transaction with more has several seals. */
export const SEAL_WRITES_MAX = 64;

/** What a chassis says about some writes of one of its transactions. */
export interface Seal extends Version {
  /** Clock of the chassis' transaction before this one; 0 for its first. */
  readonly previous: number;
  /** Which seal of the transaction, from 0, of how many. */
  readonly part: number;
  readonly parts: number;
  /** Of each write: SHA-256 of its text, 64 hex digits. */
  readonly hashes: readonly string[];
  /** The id of the key that signed; "" when the chassis belongs to no cluster. */
  readonly signer: string;
  /** Over `sealedBytes`: 64 bytes, or none. */
  readonly signature: Uint8Array;
}

/** A seal with those of its writes that still say something. */
export interface Portion {
  readonly seal: Seal;
  readonly texts: readonly string[];
}

export interface Write extends Version {
  readonly seal: Seal;
  readonly text: string;
  readonly hash: string;
  readonly op: "put" | "set" | "delete";
  /** May be a kind of a later version. */
  readonly kind: string;
  readonly name: string;
  /**
   * `set`: the put that it changes; `delete`: the latest version it has seen; `put`: since when the
   * name exists, null when since this put.
   */
  readonly about: Version | null;
  /** The document of a put, the registers of a set; undefined of a delete. */
  readonly content: Fields | undefined;
}

const NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

export function putText(
  { clock, origin }: Version,
  kind: Kind,
  name: string,
  document: Fields,
  created?: Version,
) {
  const since = created === undefined ? [] : [[created.clock, created.origin]];
  return JSON.stringify([clock, origin, "put", kind, name, document, ...since]);
}

export function setText(
  { clock, origin }: Version,
  kind: Kind,
  name: string,
  put: Version,
  registers: Fields,
) {
  const about = [put.clock, put.origin];
  return JSON.stringify([clock, origin, "set", kind, name, about, registers]);
}

export function deleteText({ clock, origin }: Version, kind: Kind, name: string, seen: Version) {
  return JSON.stringify([clock, origin, "delete", kind, name, [seen.clock, seen.origin]]);
}

export function hashOf(text: string): string {
  return hash("sha256", text);
}

/** The write that a text of `seal` is; null when it is none, or not of the seal's transaction. */
export function readWrite(text: string, seal: Seal): Write | null {
  const fields = parseArray(text);
  if (fields === null) return null;
  const [clock, origin, op, kind, name, ...rest] = fields;
  if (clock !== seal.clock || origin !== seal.origin) return null;
  if (!isName(kind) || !isName(name)) return null;
  if (op === "put" && rest.length === 1 && isFields(rest[0])) {
    return new TextWrite(text, seal, op, kind, name, null);
  }
  const about = readVersion(rest[op === "put" ? 1 : 0]);
  if (about === null || about.clock >= seal.clock) return null;
  const isPut = op === "put" && rest.length === 2 && isFields(rest[0]);
  const isSet = op === "set" && rest.length === 2 && isFields(rest[1]);
  const isDelete = op === "delete" && rest.length === 1;
  return isPut || isSet || isDelete ? new TextWrite(text, seal, op, kind, name, about) : null;
}

/** Small, as there are many: what is in the text or the seal is not held twice. */
class TextWrite implements Write {
  readonly seal: Seal;
  readonly text: string;
  readonly hash: string;
  readonly op: Write["op"];
  readonly kind: string;
  readonly name: string;
  readonly about: Version | null;

  constructor(
    text: string,
    seal: Seal,
    op: Write["op"],
    kind: string,
    name: string,
    about: Version | null,
  ) {
    const hash = hashOf(text);
    this.seal = seal;
    this.text = text;
    this.hash = seal.hashes[seal.hashes.indexOf(hash)] ?? hash;
    this.op = op;
    this.kind = kind;
    this.name = name;
    this.about = about;
  }

  get clock(): number {
    return this.seal.clock;
  }

  get origin(): string {
    return this.seal.origin;
  }

  get content(): Fields | undefined {
    if (this.op === "delete") return undefined;
    return parseArray(this.text)![this.op === "put" ? 5 : 6] as Fields;
  }
}

/** What a seal's signature is over. */
export function sealedBytes(seal: Omit<Seal, "signature">): Uint8Array {
  const { origin, clock, previous, part, parts, signer, hashes } = seal;
  const head = `rhone-seal-1 ${origin} ${clock} ${previous} ${part}/${parts} ${signer}`;
  return new TextEncoder().encode([head, ...hashes].join("\n"));
}

/** The same for all parts of all transactions of all chassis only when it is the same seal. */
export function sealKey({ origin, clock, part, hashes }: Seal): string {
  return `${origin} ${clock} ${part} ${hashes[0]}`;
}

/** Whether the shape of a seal is right; what it says is checked with its signature. */
export function isSeal(seal: Seal): boolean {
  const { origin, clock, previous, part, parts, hashes } = seal;
  return (
    NAME.test(origin) &&
    isClock(clock) &&
    Number.isInteger(previous) &&
    previous >= 0 &&
    previous < clock &&
    Number.isInteger(parts) &&
    Number.isInteger(part) &&
    part >= 0 &&
    part < parts &&
    hashes.length >= 1 &&
    hashes.length <= SEAL_WRITES_MAX
  );
}

/** Whether the chassis that wrote it may: what a chassis says about itself, nobody else says. */
export function isOwn({
  op,
  kind,
  name,
  origin,
  content,
}: Pick<Write, "op" | "kind" | "name" | "origin" | "content">): boolean {
  if (kind === "audit") return isAuditNameOf(origin, name);
  if (op === "delete") return true;
  if (kind === "chassis") return name === origin;
  if (kind === "binding") {
    const { port, chassis } = content ?? {};
    return chassis === origin && typeof port === "string" && name === bindingName(port, origin);
  }
  return true;
}

/** Whether its kind can be changed by part; of kinds that are unknown here, we cannot say. */
export function isFitting({ op, kind }: Write, isKnown: boolean): boolean {
  return op !== "set" || !isKnown || hasRegisters(kind as Kind);
}

/** A total order: by version; the hash decides when a chassis lost its disk and counted anew. */
export function compareWrites(a: Write, b: Write): number {
  return compareVersions(a, b) || compareText(a.hash, b.hash);
}

/** The write that is last in that order; undefined of none. */
export function latestOf(writes: readonly Write[]): Write | undefined {
  let latest: Write | undefined;
  for (const write of writes) {
    if (latest === undefined || compareWrites(write, latest) > 0) latest = write;
  }
  return latest;
}

function parseArray(text: string): unknown[] | null {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

function readVersion(value: unknown): Version | null {
  if (!Array.isArray(value) || value.length !== 2) return null;
  const [clock, origin] = value;
  return isClock(clock) && isName(origin) ? { clock, origin } : null;
}

function isClock(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 1 && Number(value) <= CLOCK_MAX;
}

function isName(value: unknown): value is string {
  return typeof value === "string" && NAME.test(value);
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
