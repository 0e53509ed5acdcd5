/**
 * The authority of a cluster: says who belongs to it. Its key and its books are files of the
 * chassis that made the cluster, beside that chassis' own (identity.ts):
 *
 *   authority/ca.key             signs certificates
 *   authority/tokens/<id>.json   what was minted: a hash of the secret, its end, who used it
 *   authority/members/<name>.json   who has joined: name, address, key
 *
 * The files are read at each request, which are rare, so that the command line writes them while
 * the chassis runs: who may write here is whom the operating system lets. Runs on the control
 * thread and in the command line. Nothing that forwards or gossips waits for it: while it is away,
 * nobody can join, and certificates go on for two days (identity.ts).
 */
import {
  createPrivateKey,
  hash,
  type KeyObject,
  randomBytes,
  timingSafeEqual,
  X509Certificate,
} from "node:crypto";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { idOf, issueAuthority, issueCertificate, makeKey, publicKeyOf } from "./certificate.ts";
import { CERTIFICATE_LIFE_MS, ensureKeys, writeAdmission } from "./identity.ts";
import { formatToken, ID_SIZE, SECRET_SIZE } from "./join-token.ts";
import {
  type Admission,
  type Answer,
  type Applicant,
  type Certificates,
  isSigned,
  type JoinRequest,
  type MemberAddress,
  type RefusalCode,
  type RenewRequest,
} from "./messages.ts";
import { listPrivate, makePrivateDirectory, readPrivate, writePrivate } from "./private-file.ts";

export const MEMBERS_MAX = 1024;
const TOKENS_MAX = 1024;
/** How far a chassis' clock may be from the authority's. */
const CLOCK_TOLERANCE_MS = 5 * 60_000;
/** Certificates begin in the past, for hosts whose clocks are behind. */
const BACKDATE_MS = CLOCK_TOLERANCE_MS;
const AUTHORITY_LIFE_MS = 10 * 365 * 24 * 3_600_000;
/** A token that was used or is over is kept this long, to say so to who comes with it. */
const TOKEN_MEMORY_MS = 24 * 3_600_000;

interface TokenRecord {
  /** SHA-256 of the secret, hex: who reads the file cannot join with it. */
  readonly secretHash: string;
  readonly expiresMs: number;
  /** `idOf` the chassis that joined with it; "" while it is unused. */
  readonly usedBy: string;
}

export interface Member extends MemberAddress {
  /** Of its public key. */
  readonly id: string;
  /** SubjectPublicKeyInfo, base64. */
  readonly publicKey: string;
  readonly joinedMs: number;
}

export class Authority {
  readonly certificate: X509Certificate;
  readonly #key: KeyObject;
  readonly #directory: string;

  private constructor(directory: string, key: KeyObject, certificate: X509Certificate) {
    this.#directory = directory;
    this.#key = key;
    this.certificate = certificate;
  }

  /**
   * Makes a cluster whose first member and authority is the chassis with this directory. Throws
   * Error when that belongs to a cluster already.
   */
  static create(directory: string, self: MemberAddress, nowMs: number): Authority {
    if (readPrivate(join(directory, "ca.crt")) !== null) {
      throw new Error(`${directory}: expected a chassis without a cluster, but it belongs to one`);
    }
    const keys = ensureKeys(directory);
    const books = authorityDirectory(directory);
    for (const path of [books, join(books, "tokens"), join(books, "members")]) {
      makePrivateDirectory(path);
    }
    const pem = makeKey();
    const key = createPrivateKey(pem);
    const certificate = issueAuthority(key, nowMs - BACKDATE_MS, nowMs + AUTHORITY_LIFE_MS);
    writePrivate(join(books, "ca.key"), pem);
    const authority = new Authority(directory, key, new X509Certificate(certificate));
    const applicant = applicantOf(self, keys);
    authority.#remember(applicant, nowMs);
    const clusterKey = randomBytes(32).toString("hex");
    const certificates = authority.#certify(applicant, nowMs);
    writeAdmission(directory, certificate, { ...certificates, clusterKey, peers: [self] });
    return authority;
  }

  /** null when the chassis with this directory is not the authority. */
  static open(directory: string): Authority | null {
    const key = readPrivate(join(authorityDirectory(directory), "ca.key"));
    const certificate = readPrivate(join(directory, "ca.crt"));
    if (key === null || certificate === null) return null;
    return new Authority(directory, createPrivateKey(key), new X509Certificate(certificate));
  }

  /** A token for one chassis, good until `nowMs + lifeMs`. Throws Error when too many are open. */
  mintToken(
    at: { readonly address: string; readonly port: number },
    lifeMs: number,
    nowMs: number,
  ) {
    this.#forgetOldTokens(nowMs);
    const openCount = listPrivate(this.#path("tokens")).length;
    if (openCount >= TOKENS_MAX) {
      throw new Error(`expected at most ${TOKENS_MAX} tokens, got ${openCount}: let some run out`);
    }
    const id = randomBytes(ID_SIZE).toString("hex");
    const secret = randomBytes(SECRET_SIZE);
    const record = { secretHash: hash("sha256", secret), expiresMs: nowMs + lifeMs, usedBy: "" };
    this.#writeToken(id, record);
    return formatToken({ id, secret, ...at, authority: this.certificate });
  }

  /** Everybody who has joined, in the order of joining. */
  members(): Member[] {
    return listPrivate(this.#path("members"))
      .map((file) => this.#member(file.replace(/\.json$/, "")))
      .filter((member) => member !== null)
      .sort((a, b) => a.joinedMs - b.joinedMs || (a.name < b.name ? -1 : 1));
  }

  /** Lets another chassis have the name. False when nobody has it. The certificate runs out. */
  forget(name: string): boolean {
    if (this.#member(name) === null) return false;
    rmSync(this.#path("members", `${name}.json`));
    return true;
  }

  admit(request: JoinRequest, clusterKey: string, nowMs: number): Answer<Admission> {
    const id = idOf(Buffer.from(request.publicKey, "base64"));
    const token = this.#token(request.token);
    const secretHash = hash("sha256", Buffer.from(request.secret, "base64"));
    if (token === null || !isSame(token.secretHash, secretHash)) {
      return refuse("unknown-token", "the token is not one of this cluster: ask for a new one");
    }
    if (nowMs >= token.expiresMs) {
      const minutes = Math.ceil((nowMs - token.expiresMs) / 60_000);
      return refuse("token-expired", `the token ran out ${minutes} min ago: ask for a new one`);
    }
    // The same chassis may ask again: the answer may have been lost.
    if (token.usedBy !== "" && token.usedBy !== id) {
      return refuse("token-used", "another chassis has joined with this token: ask for a new one");
    }
    const refusal = this.#refuse(request);
    if (refusal !== null) return refusal;
    this.#writeToken(request.token, { ...token, usedBy: id });
    this.#remember(request, nowMs);
    const certificates = this.#certify(request, nowMs);
    const peers = this.members().map(({ name, underlay }) => ({ name, underlay }));
    return { ok: true, value: { ...certificates, clusterKey, peers } };
  }

  renew(request: RenewRequest, nowMs: number): Answer<Certificates> {
    const offMs = Math.abs(request.timeMs - nowMs);
    if (offMs > CLOCK_TOLERANCE_MS) {
      const seconds = Math.round(offMs / 1000);
      return refuse(
        "wrong-time",
        `expected a clock like the authority's, got one ${seconds} s off`,
      );
    }
    const member = this.#member(request.name);
    if (member?.publicKey !== request.publicKey) {
      return refuse("not-a-member", `chassis ${request.name} with this key has not joined`);
    }
    const refusal = this.#refuse(request);
    if (refusal !== null) return refusal;
    return { ok: true, value: this.#certify(request, nowMs) };
  }

  /** What speaks against an applicant, whichever way it comes. */
  #refuse(request: JoinRequest | RenewRequest) {
    const { name, underlay, publicKey } = request;
    if (!isSigned(request)) {
      return refuse("bad-signature", "the request is not signed with the chassis' key");
    }
    const members = this.members();
    const namesake = members.find((member) => member.name === name);
    if (namesake !== undefined && namesake.publicKey !== publicKey) {
      const means = `choose another name, or let "rhone cluster forget ${name}" free it`;
      return refuse("name-taken", `another chassis is called ${name} (${namesake.id}): ${means}`);
    }
    const neighbour = members.find(
      (member) => member.underlay === underlay && member.name !== name,
    );
    if (neighbour !== undefined) {
      return refuse("address-taken", `chassis ${neighbour.name} has the address ${underlay}`);
    }
    if (namesake === undefined && members.length >= MEMBERS_MAX) {
      return refuse("cluster-full", `the cluster has ${MEMBERS_MAX} chassis, and may have no more`);
    }
    return null;
  }

  #certify(applicant: Applicant, nowMs: number): Certificates {
    const { name, underlay } = applicant;
    const issuer = { certificate: this.certificate, key: this.#key };
    const times = { notBeforeMs: nowMs - BACKDATE_MS, notAfterMs: nowMs + CERTIFICATE_LIFE_MS };
    const make = (role: "chassis" | "nats", key: string): string => {
      const publicKey = Buffer.from(key, "base64");
      const addresses = [...new Set([underlay, "127.0.0.1"])];
      return issueCertificate({ name, role, publicKey, addresses, ...times }, issuer);
    };
    return {
      certificate: make("chassis", applicant.publicKey),
      natsCertificate: make("nats", applicant.natsPublicKey),
    };
  }

  #remember({ name, underlay, publicKey }: Applicant, nowMs: number): void {
    const id = idOf(Buffer.from(publicKey, "base64"));
    const joinedMs = this.#member(name)?.joinedMs ?? nowMs;
    const member: Member = { name, underlay, id, publicKey, joinedMs };
    writePrivate(this.#path("members", `${name}.json`), `${JSON.stringify(member)}\n`);
  }

  #member(name: string): Member | null {
    const text = readPrivate(this.#path("members", `${name}.json`));
    return text === null ? null : (JSON.parse(text) as Member);
  }

  #token(id: string): TokenRecord | null {
    const text = readPrivate(this.#path("tokens", `${id}.json`));
    return text === null ? null : (JSON.parse(text) as TokenRecord);
  }

  #writeToken(id: string, record: TokenRecord): void {
    writePrivate(this.#path("tokens", `${id}.json`), `${JSON.stringify(record)}\n`);
  }

  #forgetOldTokens(nowMs: number): void {
    for (const file of listPrivate(this.#path("tokens"))) {
      const record = this.#token(file.replace(/\.json$/, ""));
      if (record === null || nowMs < record.expiresMs + TOKEN_MEMORY_MS) continue;
      rmSync(this.#path("tokens", file), { force: true });
    }
  }

  #path(...parts: readonly string[]): string {
    return join(authorityDirectory(this.#directory), ...parts);
  }
}

/** What a chassis says of itself to the authority. */
export function applicantOf(
  self: MemberAddress,
  keys: { readonly chassis: string; readonly nats: string },
): Applicant {
  const [publicKey, natsPublicKey] = [keys.chassis, keys.nats].map((key) =>
    publicKeyOf(createPrivateKey(key)).toString("base64"),
  ) as [string, string];
  return { name: self.name, underlay: self.underlay, publicKey, natsPublicKey };
}

function authorityDirectory(directory: string): string {
  return join(directory, "authority");
}

function refuse(code: RefusalCode, message: string) {
  return { ok: false, error: { code, message } } as const;
}

function isSame(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
}
