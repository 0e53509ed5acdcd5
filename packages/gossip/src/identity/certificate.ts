/**
 * The X.509 certificates of a cluster: one for its authority, and two for each chassis. Runs on the
 * control thread. Source: RFC 5280 §4, with Ed25519 as in RFC 8410.
 *
 * Every certificate has one of these shapes, so that they are written here byte by byte;
 * node:crypto reads and checks them, and OpenSSL, Go and rustls do at every connection.
 *
 *   authority         issuer = subject = CN of the cluster; may sign certificates, nothing else
 *   chassis `c`       DNS c.chassis.rhone; its key is the chassis' identity
 *   nats of `c`       DNS c.nats.rhone; its key is for the nats-server, which runs as another user
 */
import {
  createPublicKey,
  generateKeyPairSync,
  hash,
  type KeyObject,
  sign,
  X509Certificate,
} from "node:crypto";
import { isIpv4, parseAddress } from "@rhone/wire/address";
import * as der from "./der.ts";

/** What a certificate of a chassis is for: the second token of its DNS name. */
export type Role = "chassis" | "nats";

export interface CertificateRequest {
  /** The chassis. */
  readonly name: string;
  readonly role: Role;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  /** IP addresses that it may be reached at. */
  readonly addresses: readonly string[];
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export interface Issuer {
  readonly certificate: X509Certificate;
  readonly key: KeyObject;
}

const SIZE_OF_ED25519_SPKI = 44;
const SERIAL_SIZE = 16;
const ED25519 = "1.3.101.112";
const COMMON_NAME = "2.5.4.3";
const KEY_USAGE = "2.5.29.15";
const SUBJECT_ALT_NAME = "2.5.29.17";
const BASIC_CONSTRAINTS = "2.5.29.19";
const EXTENDED_KEY_USAGE = "2.5.29.37";
const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
// Bits of KeyUsage count from the left (RFC 5280 §4.2.1.3).
const DIGITAL_SIGNATURE = der.bitString(Uint8Array.of(0x80), 7);
const KEY_CERT_SIGN = der.bitString(Uint8Array.of(0x04), 2);
// GeneralName (RFC 5280 §4.2.1.6).
const DNS_NAME = 2;
const IP_ADDRESS = 7;

/** A new private key, PKCS #8 in PEM. */
export function makeKey(): string {
  const { privateKey } = generateKeyPairSync("ed25519");
  return privateKey.export({ type: "pkcs8", format: "pem" }) as string;
}

/** SubjectPublicKeyInfo of a private or public key, DER. */
export function publicKeyOf(key: string | KeyObject): Buffer {
  const isPublic = typeof key !== "string" && key.type === "public";
  return (isPublic ? key : createPublicKey(key)).export({ type: "spki", format: "der" });
}

/** Reads SubjectPublicKeyInfo; null unless it is an Ed25519 key. */
export function readPublicKey(bytes: Uint8Array): KeyObject | null {
  if (bytes.length !== SIZE_OF_ED25519_SPKI) return null;
  try {
    const key = createPublicKey({ key: Buffer.from(bytes), type: "spki", format: "der" });
    return key.asymmetricKeyType === "ed25519" ? key : null;
  } catch {
    return null;
  }
}

/** Who a chassis is: the first half of the SHA-256 of its public key, 32 hex digits. */
export function idOf(publicKey: Uint8Array): string {
  return hash("sha256", publicKey).slice(0, 32);
}

/** Of a certificate: SHA-256, 64 hex digits. */
export function fingerprintOf({ raw }: X509Certificate): string {
  return hash("sha256", raw);
}

/** The DNS name that a certificate of `role` for `name` has. */
export function hostOf(name: string, role: Role): string {
  return `${name}.${role}.rhone`;
}

/** The chassis and role that `certificate` is for; null if it is none of ours. */
export function subjectOf({ subjectAltName = "" }: X509Certificate): {
  readonly name: string;
  readonly role: Role;
} | null {
  const [, name, role] =
    /^DNS:([a-z0-9-]{1,63})\.(chassis|nats)\.rhone(?:,|$)/.exec(subjectAltName) ?? [];
  return name === undefined ? null : { name, role: role as Role };
}

/** The certificate of an authority for itself, PEM. */
export function issueAuthority(key: KeyObject, notBeforeMs: number, notAfterMs: number): string {
  const publicKey = publicKeyOf(key);
  const name = distinguishedName(`rhone cluster ${idOf(publicKey).slice(0, 8)}`);
  const extensions = [
    extension(BASIC_CONSTRAINTS, true, der.sequence(der.boolean(true))),
    extension(KEY_USAGE, true, KEY_CERT_SIGN),
  ];
  return issue(
    { issuer: name, subject: name, publicKey, notBeforeMs, notAfterMs, extensions },
    key,
  );
}

/** A certificate for one key of a chassis, PEM. */
export function issueCertificate(request: CertificateRequest, issuer: Issuer): string {
  const { name, role, publicKey, addresses, notBeforeMs, notAfterMs } = request;
  const names = [
    der.contextPrimitive(DNS_NAME, new TextEncoder().encode(hostOf(name, role))),
    ...addresses.map((address) => der.contextPrimitive(IP_ADDRESS, addressBytes(address))),
  ];
  const usages = [SERVER_AUTH, CLIENT_AUTH].map(der.objectIdentifier);
  const extensions = [
    extension(BASIC_CONSTRAINTS, true, der.sequence()),
    extension(KEY_USAGE, true, DIGITAL_SIGNATURE),
    extension(EXTENDED_KEY_USAGE, false, der.sequence(...usages)),
    extension(SUBJECT_ALT_NAME, false, der.sequence(...names)),
  ];
  const commonName = /^CN=([^\n]+)$/.exec(issuer.certificate.subject)?.[1];
  if (commonName === undefined) throw new RangeError("expected an authority with one common name");
  const distinguished = { issuer: distinguishedName(commonName), subject: distinguishedName(name) };
  return issue({ ...distinguished, publicKey, notBeforeMs, notAfterMs, extensions }, issuer.key);
}

interface ToBeSigned {
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly extensions: readonly Uint8Array[];
}

function issue(fields: ToBeSigned, key: KeyObject): string {
  const { issuer, subject, publicKey, notBeforeMs, notAfterMs, extensions } = fields;
  const algorithm = der.sequence(der.objectIdentifier(ED25519));
  const validity = der.sequence(der.time(notBeforeMs), der.time(notAfterMs));
  // Unique without a counter: no two certificates of an issuer have key and time the same.
  const seed = Buffer.concat([publicKey, validity, ...extensions]);
  const serial = Buffer.from(hash("sha256", seed), "hex").subarray(0, SERIAL_SIZE);
  const toBeSigned = der.sequence(
    der.contextConstructed(0, der.integer(Uint8Array.of(2))), // version 3
    der.integer(serial),
    algorithm,
    issuer,
    validity,
    subject,
    publicKey,
    der.contextConstructed(3, der.sequence(...extensions)),
  );
  const signature = der.bitString(sign(null, toBeSigned, key));
  return new X509Certificate(
    Buffer.from(der.sequence(toBeSigned, algorithm, signature)),
  ).toString();
}

function distinguishedName(commonName: string): Uint8Array {
  const attribute = der.sequence(der.objectIdentifier(COMMON_NAME), der.utf8String(commonName));
  return der.sequence(der.set(attribute));
}

function extension(id: string, isCritical: boolean, contents: Uint8Array): Uint8Array {
  // DER leaves out what is the default.
  const critical = isCritical ? [der.boolean(true)] : [];
  return der.sequence(der.objectIdentifier(id), ...critical, der.octetString(contents));
}

/** 4 or 16 bytes in network order. */
function addressBytes(text: string): Uint8Array {
  const address = parseAddress(text);
  if (address === null) throw new RangeError(`expected an IP address, got "${text}"`);
  const bytes = Buffer.alloc(16);
  for (const [index, word] of address.entries()) bytes.writeInt32BE(word, index * 4);
  return isIpv4(address) ? bytes.subarray(12) : bytes;
}
