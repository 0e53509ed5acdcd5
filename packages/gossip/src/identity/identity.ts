/**
 * Who a chassis is and which cluster it belongs to, as files in its data directory. Runs on the
 * control thread. Nobody else may read them (mode 0600 in a directory of 0700):
 *
 *   chassis.key   Ed25519: the chassis' identity, made once, never sent
 *   nats.key      of its nats-server; another key, since that process is another user
 *   ca.crt        the authority's certificate; its fingerprint names the cluster
 *   cluster.key   32 bytes in hex, the same at all chassis: for stamps
 *   peers.json    who else had joined when it did: where to begin
 *   nats.crt      } for 72 hours
 *   chassis.crt   } written last: it is there when the chassis has joined
 */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { join } from "node:path";
import { idOf, makeKey, publicKeyOf, subjectOf } from "./certificate.ts";
import { type Admission, type Certificates, type MemberAddress, parseMembers } from "./messages.ts";
import { makePrivateDirectory, readPrivate, writePrivate } from "./private-file.ts";

/** Certificates last this long, and are renewed when a third of it is over. */
export const CERTIFICATE_LIFE_MS = 72 * 3_600_000;
export const RENEW_AFTER_MS = CERTIFICATE_LIFE_MS / 3;

/** A key and the certificate for it, PEM. */
export interface Credentials {
  readonly key: string;
  readonly certificate: string;
}

export interface Identity {
  /** Of the chassis, as the authority knows it. */
  readonly name: string;
  /** Fingerprint of its public key, 32 hex digits. */
  readonly id: string;
  readonly chassis: Credentials;
  readonly nats: Credentials;
  /** The authority's certificate, PEM. */
  readonly authority: string;
  readonly clusterKey: Uint8Array;
  /** Who had joined when this chassis did, itself included. */
  readonly peers: readonly MemberAddress[];
  readonly notBeforeMs: number;
  /** From then on nobody takes the certificates. */
  readonly notAfterMs: number;
}

/** The keys of a chassis that may not have joined yet. */
export interface Keys {
  readonly chassis: string;
  readonly nats: string;
}

/** Where the files are, in a chassis' data directory. */
export function clusterDirectory(dataDirectory: string): string {
  return join(dataDirectory, "cluster");
}

/** The keys in `directory`, made now if there are none. */
export function ensureKeys(directory: string): Keys {
  makePrivateDirectory(directory);
  return {
    chassis: ensureKey(join(directory, "chassis.key")),
    nats: ensureKey(join(directory, "nats.key")),
  };
}

/** Writes what the authority gave. */
export function writeAdmission(directory: string, authority: string, admission: Admission): void {
  writePrivate(join(directory, "ca.crt"), authority);
  writePrivate(join(directory, "cluster.key"), `${admission.clusterKey}\n`);
  writePrivate(join(directory, "peers.json"), `${JSON.stringify(admission.peers)}\n`);
  writeCertificates(directory, admission);
}

export function writeCertificates(directory: string, certificates: Certificates): void {
  writePrivate(join(directory, "nats.crt"), certificates.natsCertificate);
  writePrivate(join(directory, "chassis.crt"), certificates.certificate);
}

/** null when the chassis has not joined. Throws Error that names the file that is wrong. */
export function readIdentity(directory: string): Identity | null {
  const certificate = readPrivate(join(directory, "chassis.crt"));
  if (certificate === null) return null;
  const authority = readX509(directory, "ca.crt");
  const chassis = readCredentials(directory, "chassis", authority);
  const nats = readCredentials(directory, "nats", authority);
  const { publicKey, subject } = chassis;
  return {
    name: subject.name,
    id: idOf(publicKey),
    chassis: chassis.credentials,
    nats: nats.credentials,
    authority: authority.toString(),
    clusterKey: readClusterKey(directory),
    peers: readPeers(directory),
    notBeforeMs: Math.max(...[chassis, nats].map(({ x509 }) => Date.parse(x509.validFrom))),
    notAfterMs: Math.min(...[chassis, nats].map(({ x509 }) => Date.parse(x509.validTo))),
  };
}

function ensureKey(path: string): string {
  const present = readPrivate(path);
  if (present !== null) {
    readKey(path, present);
    return present;
  }
  const made = makeKey();
  writePrivate(path, made);
  return made;
}

function readKey(path: string, pem: string): KeyObject {
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType === "ed25519") return key;
    throw new Error(`a key of type ${key.asymmetricKeyType}`);
  } catch (error) {
    throw new Error(`${path}: expected an Ed25519 key in PEM, got ${(error as Error).message}`);
  }
}

function readX509(directory: string, file: string): X509Certificate {
  const path = join(directory, file);
  const pem = readPrivate(path);
  if (pem === null) throw new Error(`${path}: expected a certificate, got no file`);
  try {
    return new X509Certificate(pem);
  } catch (error) {
    throw new Error(`${path}: expected a certificate, got ${(error as Error).message}`);
  }
}

function readCredentials(directory: string, role: "chassis" | "nats", authority: X509Certificate) {
  const path = join(directory, `${role}.key`);
  const key = readPrivate(path);
  if (key === null) throw new Error(`${path}: expected a key, got no file`);
  const publicKey = publicKeyOf(readKey(path, key));
  const x509 = readX509(directory, `${role}.crt`);
  const subject = subjectOf(x509);
  const at = join(directory, `${role}.crt`);
  if (subject === null || subject.role !== role) {
    throw new Error(`${at}: expected a certificate for ${role}, got ${x509.subjectAltName}`);
  }
  if (!publicKeyOf(x509.publicKey).equals(publicKey)) {
    throw new Error(`${at}: expected the certificate of ${path}, got one of another key`);
  }
  if (!x509.verify(authority.publicKey)) {
    throw new Error(`${at}: expected a certificate of the authority in ca.crt, got another's`);
  }
  const credentials: Credentials = { key, certificate: x509.toString() };
  return { credentials, publicKey, subject, x509 };
}

function readClusterKey(directory: string): Uint8Array {
  const path = join(directory, "cluster.key");
  const text = readPrivate(path)?.trim() ?? "";
  if (/^[0-9a-f]{64}$/.test(text)) return Buffer.from(text, "hex");
  throw new Error(`${path}: expected 64 hexadecimal digits, got ${text.length} characters`);
}

function readPeers(directory: string): MemberAddress[] {
  const path = join(directory, "peers.json");
  const text = readPrivate(path);
  try {
    const peers = parseMembers(JSON.parse(text ?? "null"));
    if (peers !== null) return peers;
  } catch {
    // No JSON; the same as JSON that is no list of members.
  }
  throw new Error(`${path}: expected a list of names and underlay addresses, got something else`);
}
