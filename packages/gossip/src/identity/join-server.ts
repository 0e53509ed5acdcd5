/**
 * Where new chassis ask to be let in: a TLS listener of the authority, one request a connection.
 * Runs on the control thread. Whoever reaches the port can speak to it, without a certificate: what
 * comes is small, parsed once and refused unless a token's secret is in it.
 */
import type { AddressInfo } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import { listenOn } from "../listen.ts";
import type { Refusals } from "../refusals.ts";
import type { Authority } from "./authority.ts";
import type { Credentials } from "./identity.ts";
import { readLine } from "./line.ts";
import { type Admission, type Answer, encodeMessage, parseRequest } from "./messages.ts";

const REQUEST_SIZE_MAX = 4096;
const TIMEOUT_MS = 5000;
const CONNECTIONS_MAX = 32;

export interface JoinServerOptions {
  readonly authority: Authority;
  readonly credentials: Credentials;
  /** 64 hex digits. */
  readonly clusterKey: string;
  readonly address: string;
  /** 0 for any free one. */
  readonly port: number;
  /** Milliseconds since 1970. */
  readonly wallClock: () => number;
  readonly refusals: Refusals;
  /** Hears who has joined. */
  readonly onJoin?: (name: string, underlay: string) => void;
}

export class JoinServer {
  readonly #options: JoinServerOptions;
  readonly #open = new Set<TLSSocket>();
  #server: Server | null = null;

  constructor(options: JoinServerOptions) {
    this.#options = options;
  }

  /** Resolves with the port. Rejects with who holds it when it is taken. */
  async start(credentials: Credentials = this.#options.credentials): Promise<number> {
    const { key, certificate } = credentials;
    const { authority, address, port, refusals } = this.#options;
    const chain = certificate + authority.certificate.toString();
    const server = createServer({ key, cert: chain, minVersion: "TLSv1.3" }, (socket) => {
      void this.#serve(socket);
    });
    server.on("tlsClientError", (error, socket) => {
      refusals.add("join-no-tls", socket.remoteAddress ?? "unknown", error.message);
    });
    await listenOn(server, address, port);
    this.#server = server;
    return (server.address() as AddressInfo).port;
  }

  /** Goes on with a new certificate. */
  async replace(credentials: Credentials): Promise<void> {
    this.#server?.close();
    await this.start(credentials);
  }

  stop(): void {
    this.#server?.close();
    for (const socket of this.#open) socket.destroy();
  }

  async #serve(socket: TLSSocket): Promise<void> {
    const peer = socket.remoteAddress ?? "unknown";
    const { refusals } = this.#options;
    socket.on("error", () => {}); // It closes then, too.
    if (this.#open.size >= CONNECTIONS_MAX) {
      refusals.add("join-too-many", peer, `expected at most ${CONNECTIONS_MAX} connections`);
      socket.destroy();
      return;
    }
    this.#open.add(socket);
    socket.on("close", () => this.#open.delete(socket));
    try {
      const line = await readLine(socket, REQUEST_SIZE_MAX, TIMEOUT_MS);
      socket.end(encodeMessage(this.#answer(line, peer)));
    } catch (error) {
      refusals.add("join-malformed", peer, (error as Error).message);
      socket.destroy();
    }
  }

  #answer(line: Uint8Array, peer: string): Answer<Admission> {
    const { authority, clusterKey, wallClock, refusals, onJoin } = this.#options;
    const request = parseRequest(line);
    if (request?.type !== "join") {
      refusals.add("join-malformed", peer, `expected a request, got ${line.length} other bytes`);
      return { ok: false, error: { code: "malformed", message: "expected a request to join" } };
    }
    const answer = authority.admit(request, clusterKey, wallClock());
    if (answer.ok) onJoin?.(request.name, request.underlay);
    else refusals.add(`join-${answer.error.code}`, peer, answer.error.message);
    return answer;
  }
}
