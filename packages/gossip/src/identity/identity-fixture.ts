/** For tests: some chassis that have joined one cluster, as files, without a network. */
import { createPrivateKey } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Authority, applicantOf } from "./authority.ts";
import {
  clusterDirectory,
  ensureKeys,
  type Identity,
  readIdentity,
  writeAdmission,
} from "./identity.ts";
import { parseToken } from "./join-token.ts";
import { type MemberAddress, makeJoinRequest } from "./messages.ts";

const HOUR_MS = 3_600_000;

export class IdentityFixture {
  readonly authority: Authority;
  readonly #directory = mkdtempSync(join(tmpdir(), "rhone-identity-"));
  readonly #nowMs: number;

  /** The first is the authority. */
  constructor(members: readonly MemberAddress[], nowMs: number) {
    const [first, ...others] = members;
    this.#nowMs = nowMs;
    this.authority = Authority.create(this.home(first!.name), first!, nowMs);
    for (const member of others) this.join(member);
  }

  home(name: string): string {
    return clusterDirectory(join(this.#directory, name));
  }

  /** Again for one that is a member: at another time, or it gets the same certificates. */
  join(self: MemberAddress, laterMs = 0): void {
    const nowMs = this.#nowMs + laterMs;
    const at = { address: "127.0.0.1", port: 1 };
    const token = parseToken(this.authority.mintToken(at, HOUR_MS, nowMs))!;
    const keys = ensureKeys(this.home(self.name));
    const key = createPrivateKey(keys.chassis);
    const request = makeJoinRequest(applicantOf(self, keys), token, key);
    const answer = this.authority.admit(request, "00".repeat(32), nowMs);
    if (!answer.ok) throw new Error(answer.error.message);
    writeAdmission(this.home(self.name), this.authority.certificate.toString(), answer.value);
  }

  identity(name: string): Identity {
    return readIdentity(this.home(name))!;
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true });
  }
}
