/** Talks to a chassis' REST API over TCP or a UNIX socket. */
import { readFileSync } from "node:fs";
import { request as httpRequest, type OutgoingHttpHeaders } from "node:http";
import { request as httpsRequest } from "node:https";
import { text } from "node:stream/consumers";
import type { ProblemView } from "@rhone/api/context";
import { EXIT_FAILED, UserError } from "./user-error.ts";

export interface Answer {
  readonly status: number;
  /** The chassis' revision when it answered. */
  readonly revision: number;
  /** Parsed JSON; undefined when there was no body. */
  readonly body: unknown;
}

export interface RequestOptions {
  readonly body?: unknown;
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 10_000;
const UNIX_PREFIX = "unix:";
/** A file with the certificate of the cluster's authority: cluster/ca.crt of any chassis. */
const AUTHORITY_VARIABLE = "RHONE_CA";
const PORTS: Readonly<Record<string, number>> = { "http:": 80, "https:": 443 };

const TOKEN_HINT =
  "\nName a token with --token-file or RHONE_TOKEN, or keep it in ~/.config/rhone/token; an " +
  'admin makes one with "rhone access grant", root at a chassis with --server unix:SOCKET.';

/** The chassis refused, or could not do, what was asked. */
export class RestError extends UserError {
  readonly problem: ProblemView;

  constructor(problem: ProblemView) {
    const errors = (problem.errors ?? []).map(
      ({ pointer, expected, got }) => `\n  ${pointer || "/"}: expected ${expected}, got ${got}`,
    );
    // The detail repeats the first error.
    const summary = errors.length > 0 ? problem.title : `${problem.title}: ${problem.detail}`;
    const hint = problem.status === 401 ? TOKEN_HINT : "";
    super(summary + errors.join("") + hint, EXIT_FAILED);
    this.problem = problem;
  }
}

export class RestClient {
  /** As the user wrote it. */
  readonly server: string;
  readonly #token: string | undefined;
  readonly #target: { readonly socketPath: string } | { readonly base: URL };

  /** `server` is a URL or `unix:<path>`. Throws UserError when it is neither. */
  constructor(server: string, token?: string) {
    this.server = server;
    this.#token = token;
    if (server.startsWith(UNIX_PREFIX)) {
      this.#target = { socketPath: server.slice(UNIX_PREFIX.length) };
      return;
    }
    if (!URL.canParse(server) || PORTS[new URL(server).protocol] === undefined) {
      const expected = "http://host:port, https://host:port or unix:/path";
      throw new UserError(`--server: expected ${expected}, got "${server}"`);
    }
    this.#target = { base: new URL(server) };
  }

  /** The body of a successful answer. Throws RestError otherwise, UserError without connection. */
  async get<T>(path: string): Promise<T> {
    return succeeded(await this.request("GET", path)).body as T;
  }

  /** Sends a request and returns any answer. Throws UserError when there is none. */
  async request(method: string, path: string, options: RequestOptions = {}): Promise<Answer> {
    const { body, timeoutMs = TIMEOUT_MS } = options;
    const payload = body === undefined ? undefined : JSON.stringify(body);
    try {
      return await this.#send(method, path, payload, timeoutMs);
    } catch (error) {
      if (error instanceof UserError) throw error;
      throw new UserError(this.#explain(error as NodeJS.ErrnoException), EXIT_FAILED);
    }
  }

  async #send(
    method: string,
    path: string,
    payload: string | undefined,
    timeoutMs: number,
  ): Promise<Answer> {
    const target = this.#target;
    const isSecure = "base" in target && target.base.protocol === "https:";
    const where =
      "base" in target
        ? { ...hostOf(target.base), ...(isSecure ? { ca: readAuthority() } : {}), path }
        : { socketPath: target.socketPath, path };
    const headers: OutgoingHttpHeaders = payload === undefined ? {} : jsonHeaders(payload);
    if (this.#token !== undefined) headers["authorization"] = `Bearer ${this.#token}`;
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const signal = AbortSignal.timeout(timeoutMs);
    const start = isSecure ? httpsRequest : httpRequest;
    const sent = start({ ...where, method, headers, signal }, (response) => {
      text(response).then((received) => {
        const { statusCode = 0, headers } = response;
        const revision = Number(headers["x-rhone-revision"] ?? -1);
        resolve({ status: statusCode, revision, body: parseBody(received) });
      }, reject);
    });
    sent.on("error", (error) => reject(signal.aborted ? signal.reason : error));
    sent.end(payload);
    return promise;
  }

  #explain(error: NodeJS.ErrnoException): string {
    switch (error.code) {
      case "ECONNREFUSED":
      case "ENOENT":
        return (
          `no chassis answers at ${this.server}: start a lab ("rhone lab up FILE"), or name ` +
          `another chassis with --server or RHONE_SERVER`
        );
      case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
      case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
      case "SELF_SIGNED_CERT_IN_CHAIN":
        return (
          `${this.server}: expected a certificate by an authority that this machine knows: name ` +
          `the file cluster/ca.crt of a chassis' data directory in ${AUTHORITY_VARIABLE}`
        );
      default:
        return `${this.server}: ${error.message}`;
    }
  }
}

/** Passes a successful answer on; throws RestError for any other. */
export function succeeded(answer: Answer): Answer {
  if (answer.status >= 200 && answer.status < 300) return answer;
  const { status, body } = answer;
  if (isProblem(body)) throw new RestError(body);
  const title = `HTTP status ${status}`;
  throw new RestError({ type: "about:blank", title, status, detail: JSON.stringify(body) ?? "" });
}

function hostOf({ hostname, port, protocol }: URL): { hostname: string; port: string | number } {
  // Brackets are for URLs only.
  return { hostname: hostname.replace(/^\[(.*)\]$/, "$1"), port: port || PORTS[protocol]! };
}

/** Undefined for the authorities that the runtime knows. */
function readAuthority(): string | undefined {
  const path = process.env[AUTHORITY_VARIABLE];
  if (path === undefined || path === "") return undefined;
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const got = (error as Error).message;
    throw new UserError(`${AUTHORITY_VARIABLE}: expected a file with a certificate, got ${got}`);
  }
}

function isProblem(body: unknown): body is ProblemView {
  return typeof body === "object" && body !== null && "title" in body && "detail" in body;
}

function jsonHeaders(payload: string): OutgoingHttpHeaders {
  return { "content-type": "application/json", "content-length": Buffer.byteLength(payload) };
}

function parseBody(received: string): unknown {
  if (received === "") return undefined;
  try {
    return JSON.parse(received);
  } catch {
    return received; // Not one of ours: shown as it is.
  }
}
