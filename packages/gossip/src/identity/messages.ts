/**
 * What a chassis asks of the authority, and its answers: one line of JSON each. Runs on the control
 * thread. The parsers take bytes from anybody and give null for what is not exactly a message.
 */
import { type KeyObject, sign, verify } from "node:crypto";
import { parseAddress } from "@rhone/wire/address";
import { isName } from "../fields.ts";
import { readPublicKey } from "./certificate.ts";

/** Of one message, without the end of the line. */
export const MESSAGE_SIZE_MAX = 256 * 1024;
const VERSION = 1;
const PEM_LENGTH_MAX = 4096;

/** Who asks, and for which keys. */
export interface Applicant {
  readonly name: string;
  /** Its address in the underlay. */
  readonly underlay: string;
  /** SubjectPublicKeyInfo, base64: the chassis' identity. */
  readonly publicKey: string;
  /** The same of the key of its nats-server. */
  readonly natsPublicKey: string;
}

export interface JoinRequest extends Applicant {
  readonly type: "join";
  /** `JoinToken.id` */
  readonly token: string;
  /** `JoinToken.secret`, base64 */
  readonly secret: string;
  /** Shows that the applicant has the key: Ed25519 over the other fields, base64. */
  readonly signature: string;
}

export interface RenewRequest extends Applicant {
  readonly type: "renew";
  /** The applicant's wall clock. */
  readonly timeMs: number;
  readonly signature: string;
}

/** PEM. */
export interface Certificates {
  readonly certificate: string;
  readonly natsCertificate: string;
}

export interface MemberAddress {
  readonly name: string;
  readonly underlay: string;
}

export interface Admission extends Certificates {
  /** 64 hex digits. */
  readonly clusterKey: string;
  /** Everybody who has joined, the authority first. */
  readonly peers: readonly MemberAddress[];
}

export interface Refusal {
  readonly code: RefusalCode;
  /** For the operator, one sentence. */
  readonly message: string;
}

export const REFUSAL_CODES = [
  "malformed",
  "unknown-token",
  "token-expired",
  "token-used",
  "bad-signature",
  "name-taken",
  "address-taken",
  "cluster-full",
  "not-a-member",
  "wrong-time",
] as const;
export type RefusalCode = (typeof REFUSAL_CODES)[number];

export type Answer<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: Refusal };

export function makeJoinRequest(
  applicant: Applicant,
  token: { readonly id: string; readonly secret: Uint8Array },
  key: KeyObject,
): JoinRequest {
  const secret = Buffer.from(token.secret).toString("base64");
  const request = { ...applicant, type: "join", token: token.id, secret } as const;
  return { ...request, signature: signatureOf(request, key) };
}

export function makeRenewRequest(
  applicant: Applicant,
  timeMs: number,
  key: KeyObject,
): RenewRequest {
  const request = { ...applicant, type: "renew", timeMs: Math.round(timeMs) } as const;
  return { ...request, signature: signatureOf(request, key) };
}

/** Whether the applicant has the private key of its public one. */
export function isSigned(request: JoinRequest | RenewRequest): boolean {
  const key = readPublicKey(Buffer.from(request.publicKey, "base64"));
  const signature = Buffer.from(request.signature, "base64");
  return key !== null && verify(null, signedBytes(request), key, signature);
}

export function encodeMessage(message: JoinRequest | RenewRequest | Answer<object>): Buffer {
  return Buffer.from(`${JSON.stringify({ version: VERSION, ...message })}\n`);
}

export function parseRequest(bytes: Uint8Array): JoinRequest | RenewRequest | null {
  const fields = parseFields(bytes);
  if (fields === null) return null;
  const { type, name, underlay, publicKey, natsPublicKey, signature } = fields;
  if (!isName(name) || !isAddress(underlay)) return null;
  if (!isKey(publicKey) || !isKey(natsPublicKey) || !isBase64(signature, 64)) return null;
  const applicant = { name, underlay, publicKey, natsPublicKey, signature };
  if (type === "join") {
    const { token, secret } = fields;
    if (typeof token !== "string" || !/^[0-9a-f]{16}$/.test(token)) return null;
    return isBase64(secret, 24) ? { ...applicant, type, token, secret } : null;
  }
  const { timeMs } = fields;
  if (type !== "renew" || !Number.isSafeInteger(timeMs)) return null;
  return { ...applicant, type, timeMs: timeMs as number };
}

export function parseAdmission(bytes: Uint8Array): Answer<Admission> | null {
  const answer = parseCertificates(bytes);
  if (answer === null || !answer.ok) return answer;
  const { clusterKey, peers } = parseFields(bytes)!["value"] as Fields;
  if (typeof clusterKey !== "string" || !/^[0-9a-f]{64}$/.test(clusterKey)) return null;
  const members = parseMembers(peers);
  return members === null
    ? null
    : { ok: true, value: { ...answer.value, clusterKey, peers: members } };
}

export function parseCertificates(bytes: Uint8Array): Answer<Certificates> | null {
  const { ok, value, error } = parseFields(bytes) ?? {};
  if (ok === false && isObject(error)) {
    const code = REFUSAL_CODES.find((known) => known === error["code"]);
    const message = error["message"];
    if (code === undefined || typeof message !== "string" || message.length > 500) return null;
    return { ok, error: { code, message } };
  }
  if (ok !== true || !isObject(value)) return null;
  const { certificate, natsCertificate } = value;
  if (!isPem(certificate) || !isPem(natsCertificate)) return null;
  return { ok, value: { certificate, natsCertificate } };
}

/** A list of members as a file or a message has it; null if it is none. */
export function parseMembers(list: unknown): MemberAddress[] | null {
  if (!Array.isArray(list)) return null;
  const members: MemberAddress[] = [];
  for (const item of list) {
    if (!isObject(item)) return null;
    const { name, underlay } = item;
    if (!isName(name) || !isAddress(underlay)) return null;
    members.push({ name, underlay });
  }
  return members;
}

type Unsigned = Omit<JoinRequest, "signature"> | Omit<RenewRequest, "signature">;

function signatureOf(request: Unsigned, key: KeyObject): string {
  return sign(null, signedBytes(request), key).toString("base64");
}

/** Of a join the secret is left out: it is not to be signed, but to be had. */
function signedBytes(request: Unsigned): Buffer {
  const { type, name, underlay, publicKey, natsPublicKey } = request;
  const what = request.type === "join" ? request.token : request.timeMs;
  const fields = [name, underlay, publicKey, natsPublicKey, what];
  return Buffer.from(`rhone ${type} ${VERSION}\n${fields.join("\n")}`);
}

type Fields = Readonly<Record<string, unknown>>;

function parseFields(bytes: Uint8Array): Fields | null {
  if (bytes.length > MESSAGE_SIZE_MAX) return null;
  try {
    const fields: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    return isObject(fields) && fields["version"] === VERSION ? fields : null;
  } catch {
    return null; // No UTF-8, or no JSON.
  }
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isAddress(value: unknown): value is string {
  return typeof value === "string" && value.length <= 45 && parseAddress(value) !== null;
}

function isKey(value: unknown): value is string {
  return isBase64(value, 44) && readPublicKey(Buffer.from(value, "base64")) !== null;
}

function isBase64(value: unknown, size: number): value is string {
  if (typeof value !== "string" || value.length > size * 2) return false;
  const bytes = Buffer.from(value, "base64");
  return bytes.length === size && bytes.toString("base64") === value;
}

function isPem(value: unknown): value is string {
  if (typeof value !== "string" || value.length > PEM_LENGTH_MAX) return false;
  return value.startsWith("-----BEGIN CERTIFICATE-----\n");
}
