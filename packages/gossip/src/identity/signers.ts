/**
 * Who signed what chassis write: our own key, and the certificates of the others' keys, which last
 * as proof of whose key it is long after they are good for connections. Runs on the control thread.
 *
 * They are kept in `signers.json` beside the chassis' own certificate: what a chassis wrote that is
 * no longer there can still be checked, and passed on.
 */
import { createPrivateKey, type KeyObject, sign, verify, X509Certificate } from "node:crypto";
import { join } from "node:path";
import type { Signer, Verdict } from "@rhone/state/signer";
import type { Trust } from "../replicator.ts";
import { idOf, publicKeyOf, subjectOf } from "./certificate.ts";
import type { Identity } from "./identity.ts";
import { readPrivate, writePrivate } from "./private-file.ts";

/** Keys remembered; of more, nothing is believed. */
const SIGNERS_MAX = 4096;

interface Known {
  /** The chassis whose key it is. */
  readonly name: string;
  readonly key: KeyObject;
  /** DER in Base64. */
  readonly certificate: string;
}

export class Signers implements Signer, Trust {
  readonly id: string;
  readonly #key: KeyObject;
  readonly #authority: X509Certificate;
  readonly #path: string;
  readonly #known = new Map<string, Known>();

  /** `directory` is that of the identity's files. Throws Error that names a file that is wrong. */
  constructor(identity: Identity, directory: string) {
    this.id = identity.id;
    this.#key = createPrivateKey(identity.chassis.key);
    this.#authority = new X509Certificate(identity.authority);
    this.#path = join(directory, "signers.json");
    for (const certificate of readList(this.#path)) this.#add(certificate);
    const own = new X509Certificate(identity.chassis.certificate).raw.toString("base64");
    this.learn([own]);
  }

  sign(bytes: Uint8Array): Uint8Array {
    return Uint8Array.from(sign(null, bytes, this.#key));
  }

  verify(origin: string, id: string, bytes: Uint8Array, signature: Uint8Array): Verdict {
    const known = this.#known.get(id);
    if (known === undefined) return "unknown-signer";
    const isGenuine = known.name === origin && verify(null, bytes, known.key, signature);
    return isGenuine ? "genuine" : "forged";
  }

  learn(certificates: readonly string[]): void {
    const news = certificates.filter((certificate) => this.#add(certificate));
    if (news.length === 0) return;
    const all = [...this.#known.values()].map(({ certificate }) => certificate);
    writePrivate(this.#path, `${JSON.stringify(all)}\n`);
  }

  certificatesOf(ids: ReadonlySet<string>): string[] {
    return [...ids].flatMap((id) => this.#known.get(id)?.certificate ?? []);
  }

  /** True when it is a chassis' certificate of our authority, and news. */
  #add(certificate: string): boolean {
    const x509 = read(certificate);
    if (x509 === null || this.#known.size >= SIGNERS_MAX) return false;
    const subject = subjectOf(x509);
    if (subject?.role !== "chassis" || !x509.verify(this.#authority.publicKey)) return false;
    const key = x509.publicKey;
    const id = idOf(publicKeyOf(key));
    if (this.#known.has(id)) return false;
    this.#known.set(id, { name: subject.name, key, certificate });
    return true;
  }
}

function read(certificate: string): X509Certificate | null {
  try {
    return new X509Certificate(Buffer.from(certificate, "base64"));
  } catch {
    return null;
  }
}

function readList(path: string): readonly string[] {
  const text = readPrivate(path);
  if (text === null) return [];
  try {
    const list: unknown = JSON.parse(text);
    if (Array.isArray(list) && list.every((item) => typeof item === "string")) return list;
  } catch {
    // No JSON; the same as JSON that is no list.
  }
  throw new Error(`${path}: expected a list of certificates, got something else`);
}
