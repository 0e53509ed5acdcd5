/**
 * Keeps the certificates of a chassis fresh: asks the authority for new ones when a third of their
 * life is over, over whatever carries messages. Runs on the control thread.
 *
 * Nothing in a renewal is secret. The request is signed with the chassis' key, and an answer is
 * taken only if the authority signed what is in it for that key.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import type { Refusals } from "../refusals.ts";
import type { SetTimer, Transport } from "../transport.ts";
import { type Authority, applicantOf } from "./authority.ts";
import { publicKeyOf, subjectOf } from "./certificate.ts";
import { type Identity, RENEW_AFTER_MS, readIdentity, writeCertificates } from "./identity.ts";
import {
  type Answer,
  type Certificates,
  encodeMessage,
  type MemberAddress,
  makeRenewRequest,
  parseCertificates,
  parseRequest,
  type RenewRequest,
} from "./messages.ts";

/** Whoever has the authority's key listens here. */
export const RENEW_SUBJECT = "rhone.authority.renew";
const CHECK_INTERVAL_MS = 60_000;
const JITTER = 0.2;
const TIMEOUT_MS = 5000;

export interface RenewalOptions {
  /** Of the files (identity.ts). */
  readonly directory: string;
  readonly self: MemberAddress;
  readonly transport: Transport;
  /** On the chassis that has it. */
  readonly authority: Authority | null;
  /** Milliseconds since 1970. */
  readonly wallClock: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly setTimer: SetTimer;
  readonly refusals: Refusals;
  /** Hears of new certificates. */
  readonly onRenewed: (identity: Identity) => void;
}

export class Renewal {
  readonly #options: RenewalOptions;
  readonly #unsubscribe: () => void;
  #identity: Identity;
  #cancelTimer: () => void = () => {};
  #failure = "";

  /** Looks at once and from then on every minute. */
  constructor(options: RenewalOptions, identity: Identity) {
    this.#options = options;
    this.#identity = identity;
    this.#unsubscribe =
      options.authority === null
        ? () => {}
        : options.transport.subscribe(RENEW_SUBJECT, (data, respond) => {
            respond(encodeMessage(this.#answer(data)));
          });
    this.#schedule(0);
  }

  /** Why the last attempt failed; "" when it did not. */
  get failure(): string {
    return this.#failure;
  }

  stop(): void {
    this.#cancelTimer();
    this.#unsubscribe();
  }

  #schedule(delayMs: number): void {
    this.#cancelTimer = this.#options.setTimer(() => {
      const { wallClock, random } = this.#options;
      const isDue = wallClock() >= this.#identity.notBeforeMs + RENEW_AFTER_MS;
      if (isDue) void this.#renew();
      this.#schedule(CHECK_INTERVAL_MS * (1 + JITTER * (2 * random() - 1)));
    }, delayMs);
  }

  async #renew(): Promise<void> {
    const { directory, self, wallClock, authority, onRenewed } = this.#options;
    const { chassis, nats } = this.#identity;
    const applicant = applicantOf(self, { chassis: chassis.key, nats: nats.key });
    const request = makeRenewRequest(applicant, wallClock(), createPrivateKey(chassis.key));
    const answer =
      authority === null ? await this.#ask(request) : authority.renew(request, wallClock());
    if (answer.ok && this.#isOurs(answer.value)) {
      writeCertificates(directory, answer.value);
      this.#identity = readIdentity(directory)!;
      this.#failure = "";
      onRenewed(this.#identity);
      return;
    }
    this.#failure = answer.ok ? "the answer has other certificates" : answer.error.message;
  }

  async #ask(request: RenewRequest): Promise<Answer<Certificates>> {
    const { transport } = this.#options;
    let message = "the authority sent something that is no answer";
    try {
      const data = await transport.request(RENEW_SUBJECT, encodeMessage(request), TIMEOUT_MS);
      const answer = parseCertificates(data);
      if (answer !== null) return answer;
    } catch (error) {
      message = `the authority does not answer: ${(error as Error).message}`;
    }
    return { ok: false, error: { code: "malformed", message } };
  }

  #answer(data: Uint8Array): Answer<Certificates> {
    const { authority, wallClock, refusals } = this.#options;
    const request = parseRequest(data);
    if (request?.type !== "renew") {
      const message = "expected a request to renew certificates";
      refusals.add("renew-malformed", "unknown", `${message}, got ${data.length} other bytes`);
      return { ok: false, error: { code: "malformed", message } };
    }
    const answer = authority!.renew(request, wallClock());
    if (!answer.ok) refusals.add(`renew-${answer.error.code}`, request.name, answer.error.message);
    return answer;
  }

  #isOurs({ certificate, natsCertificate }: Certificates): boolean {
    const { authority, chassis, nats } = this.#identity;
    const signer = new X509Certificate(authority).publicKey;
    return [
      { pem: certificate, key: chassis.key },
      { pem: natsCertificate, key: nats.key },
    ].every(({ pem, key }) => {
      try {
        const x509 = new X509Certificate(pem);
        const isKey = publicKeyOf(x509.publicKey).equals(publicKeyOf(createPrivateKey(key)));
        return isKey && subjectOf(x509)?.name === this.#options.self.name && x509.verify(signer);
      } catch {
        return false; // No certificate at all.
      }
    });
  }
}
