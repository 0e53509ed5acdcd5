/**
 * Joins a cluster with a token: asks the authority that the token names, and keeps what it gives in
 * the chassis' directory. Runs on the control thread before anything else, and in `rhone join`.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { connect } from "node:tls";
import { applicantOf } from "./authority.ts";
import { fingerprintOf, subjectOf } from "./certificate.ts";
import { ensureKeys, readIdentity, writeAdmission } from "./identity.ts";
import { type JoinToken, parseToken } from "./join-token.ts";
import { readLine } from "./line.ts";
import {
  type Admission,
  encodeMessage,
  type JoinRequest,
  MESSAGE_SIZE_MAX,
  type MemberAddress,
  makeJoinRequest,
  parseAdmission,
  type RefusalCode,
} from "./messages.ts";

const TIMEOUT_MS = 5000;

export type JoinFailureCode =
  | RefusalCode
  | "no-token"
  | "has-joined"
  | "unreachable"
  | "wrong-authority"
  | "wrong-answer";

/** Why a chassis could not join. */
export class JoinError extends Error {
  readonly code: JoinFailureCode;

  constructor(code: JoinFailureCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** Throws JoinError with one sentence for the operator; nothing has changed then but new keys. */
export async function joinCluster(
  directory: string,
  text: string,
  self: MemberAddress,
): Promise<{ readonly peers: readonly MemberAddress[]; readonly authority: string }> {
  const token = parseToken(text.trim());
  if (token === null) {
    throw new JoinError("no-token", `expected a token as of "rhone cluster token", got other text`);
  }
  const present = readIdentity(directory);
  if (present !== null) {
    throw new JoinError("has-joined", `${directory}: chassis ${present.name} has joined already`);
  }
  const keys = ensureKeys(directory);
  const applicant = applicantOf(self, keys);
  const request = makeJoinRequest(applicant, token, createPrivateKey(keys.chassis));
  const admission = await ask(token, request);
  checkOurs(admission.certificate, applicant.publicKey, self.name, token);
  checkOurs(admission.natsCertificate, applicant.natsPublicKey, self.name, token);
  writeAdmission(directory, token.authority.toString(), admission);
  return { peers: admission.peers, authority: fingerprintOf(token.authority) };
}

async function ask(token: JoinToken, request: JoinRequest): Promise<Admission> {
  const where = `${token.address} port ${token.port}`;
  const answer = parseAdmission(await exchange(token, request));
  if (answer === null)
    throw new JoinError("wrong-answer", `${where}: expected an answer, got none`);
  if (!answer.ok) throw new JoinError(answer.error.code, `${where}: ${answer.error.message}`);
  return answer.value;
}

function exchange(token: JoinToken, request: JoinRequest): Promise<Uint8Array> {
  const { address, port, authority } = token;
  return new Promise((resolve, reject) => {
    let isSecure = false;
    const fail = (error: Error): void => {
      socket.destroy();
      reject(isSecure ? unreachable(token, error) : explain(token, error));
    };
    const ca = [authority.toString()];
    const socket = connect({ host: address, port, ca, minVersion: "TLSv1.3" }, () => {
      isSecure = true;
      readLine(socket, MESSAGE_SIZE_MAX, TIMEOUT_MS).then((line) => {
        socket.destroy();
        resolve(line);
      }, fail);
      // Only now: the other side has shown a certificate of the token's authority.
      socket.write(encodeMessage(request));
    });
    socket.setTimeout(TIMEOUT_MS, () => fail(new Error(`no answer in ${TIMEOUT_MS} ms`)));
    socket.on("error", fail);
  });
}

function unreachable({ address, port }: JoinToken, error: Error): JoinError {
  return new JoinError("unreachable", `${address} port ${port} cannot be asked: ${error.message}`);
}

/** A failure before the connection was secure: nobody there, or somebody else. */
function explain(token: JoinToken, error: NodeJS.ErrnoException): JoinError {
  const isCertificate = /certificate|issuer|self.signed|UnknownIssuer/i.test(
    `${error.code ?? ""} ${error.message}`,
  );
  if (!isCertificate) return unreachable(token, error);
  const { address, port, authority } = token;
  return new JoinError(
    "wrong-authority",
    `${address} port ${port} is not of the token's cluster, or no authority: expected a ` +
      `certificate by ${fingerprintOf(authority)} (SHA-256), got another (${error.message})`,
  );
}

function checkOurs(pem: string, publicKey: string, name: string, { authority }: JoinToken): void {
  try {
    const certificate = new X509Certificate(pem);
    const key = certificate.publicKey.export({ type: "spki", format: "der" }).toString("base64");
    const isOurs = key === publicKey && subjectOf(certificate)?.name === name;
    if (isOurs && certificate.verify(authority.publicKey)) return;
  } catch {
    // No certificate at all.
  }
  throw new JoinError("wrong-answer", `expected a certificate for ${name}, got something else`);
}
