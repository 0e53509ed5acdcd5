import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import {
  hostOf,
  issueAuthority,
  issueCertificate,
  makeKey,
  publicKeyOf,
  readPublicKey,
  subjectOf,
} from "./certificate.ts";
import * as der from "./der.ts";

const NOW_MS = Date.UTC(2026, 0, 2, 3, 4, 5);
const DAY_MS = 24 * 3_600_000;

function makeAuthority() {
  const key = createPrivateKey(makeKey());
  const pem = issueAuthority(key, NOW_MS, NOW_MS + 9000 * DAY_MS);
  return { key, certificate: new X509Certificate(pem) };
}

function makeChassis(issuer: ReturnType<typeof makeAuthority>, name = "a") {
  const request = {
    name,
    role: "chassis" as const,
    publicKey: publicKeyOf(makeKey()),
    addresses: ["192.168.100.1", "fd00::1"],
    notBeforeMs: NOW_MS,
    notAfterMs: NOW_MS + DAY_MS,
  };
  return { request, certificate: new X509Certificate(issueCertificate(request, issuer)) };
}

test("DER lengths, numbers and identifiers are as X.690 has them", () => {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  assert.equal(hex(der.integer(Uint8Array.of(0, 0, 0x7f))), "02017f");
  assert.equal(hex(der.integer(Uint8Array.of(0x80))), "02020080");
  assert.equal(hex(der.integer(Uint8Array.of(0))), "020100");
  assert.equal(hex(der.objectIdentifier("1.2.840.113549")), "06062a864886f70d");
  assert.equal(hex(der.octetString(new Uint8Array(127))).slice(0, 4), "047f");
  assert.equal(hex(der.octetString(new Uint8Array(128))).slice(0, 6), "048180");
  assert.equal(hex(der.octetString(new Uint8Array(256))).slice(0, 8), "04820100");
});

test("a time is a UTCTime until 2049 and a GeneralizedTime from 2050", () => {
  const text = (timeMs: number): string => Buffer.from(der.time(timeMs)).toString("latin1");
  assert.equal(text(NOW_MS), "\x17\x0d260102030405Z");
  assert.equal(text(Date.UTC(2049, 11, 31, 23, 59, 59)), "\x17\x0d491231235959Z");
  assert.equal(text(Date.UTC(2050, 0, 1)), "\x18\x0f20500101000000Z");
});

test("a certificate says whose it is, for how long and by whom", () => {
  const authority = makeAuthority();
  const { request, certificate } = makeChassis(authority);
  assert.equal(authority.certificate.ca, true);
  assert.equal(certificate.ca, false);
  assert.equal(certificate.checkIssued(authority.certificate), true);
  assert.equal(certificate.verify(authority.certificate.publicKey), true);
  assert.deepEqual(publicKeyOf(certificate.publicKey), request.publicKey);
  assert.equal(certificate.checkHost(hostOf("a", "chassis")), hostOf("a", "chassis"));
  assert.equal(certificate.checkHost(hostOf("a", "nats")), undefined);
  assert.equal(certificate.checkIP("192.168.100.1"), "192.168.100.1");
  assert.equal(certificate.checkIP("fd00::1"), "fd00::1");
  assert.equal(certificate.checkIP("192.168.100.2"), undefined);
  assert.equal(Date.parse(certificate.validFrom), request.notBeforeMs);
  assert.equal(Date.parse(certificate.validTo), request.notAfterMs);
  assert.deepEqual(subjectOf(certificate), { name: "a", role: "chassis" });
  assert.equal(subjectOf(authority.certificate), null);
});

test("OpenSSL takes a certificate of the authority and refuses one of another", () => {
  const directory = mkdtempSync(join(tmpdir(), "rhone-certificate-"));
  try {
    const authority = makeAuthority();
    const [ours, other] = [authority, makeAuthority()].map((issuer, index) => {
      const path = join(directory, `${index}.crt`);
      writeFileSync(path, makeChassis(issuer).certificate.toString());
      return path;
    });
    const ca = join(directory, "ca.crt");
    writeFileSync(ca, authority.certificate.toString());
    const at = String(NOW_MS / 1000 + 60);
    const verify = (path: string, purpose: string): string => {
      const options = ["-attime", at, "-purpose", purpose, "-CAfile", ca, path];
      return execFileSync("openssl", ["verify", ...options], { encoding: "utf8", stdio: "pipe" });
    };
    assert.match(verify(ours!, "sslserver"), /: OK/);
    assert.match(verify(ours!, "sslclient"), /: OK/);
    assert.throws(() => verify(other!, "sslserver"), /unable to get local issuer/);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("keys of another kind and cut ones are no public keys", () => {
  const good = publicKeyOf(makeKey());
  assert.notEqual(readPublicKey(good), null);
  for (let size = 0; size < good.length; size++) {
    assert.equal(readPublicKey(good.subarray(0, size)), null);
  }
  const other = Buffer.from(good);
  other[8] = 0x6e; // X25519 in place of Ed25519.
  assert.equal(readPublicKey(other), null);
});
