/**
 * Gossip over core NATS: one connection to the chassis' own nats-server, kept up for ever. Runs on
 * the control thread, on Node and on Deno.
 *
 * The client library's default is to notice a hung server after minutes; the options here make
 * that about a second (https://docs.nats.io/using-nats/developer/connecting/pingpong). While the
 * connection is down, messages are dropped and counted, not buffered: anti-entropy repairs.
 */
import type { NatsConnection, Subscription } from "@nats-io/transport-node";
import { hostAndPort } from "./nats-config.ts";
import { connectNats } from "./nats-connect.ts";
import { clientTls, type NatsIdentity } from "./nats-tls.ts";
import type { MessageHandler, Transport } from "./transport.ts";

const PING_INTERVAL_MS = 500;
const PINGS_OUT_MAX = 2;
const CONNECT_TIMEOUT_MS = 500;
const RECONNECT_WAIT_MS = 50;

export interface NatsTransportOptions {
  /** Shown in the server's monitoring pages. */
  readonly name: string;
  /** The chassis' own server. */
  readonly port: number;
  /** Default 127.0.0.1. */
  readonly address?: string;
  /** Who the chassis is now, when its server checks that. */
  readonly identity?: () => NatsIdentity;
}

interface Wanted {
  readonly subject: string;
  readonly handler: MessageHandler;
  active: Subscription | null;
}

export class NatsTransport implements Transport {
  readonly #options: NatsTransportOptions;
  readonly #wanted = new Set<Wanted>();
  readonly #listeners = new Set<() => void>();
  readonly #closing = Promise.withResolvers<void>();
  readonly #finished: Promise<void>;
  #connection: NatsConnection | null = null;
  #isConnected = false;
  #isClosing = false;
  #droppedCount = 0;

  /** Starts to connect, and goes on trying until `close`. */
  constructor(options: NatsTransportOptions) {
    this.#options = options;
    this.#finished = this.#run();
  }

  /** Of the chassis' own server. */
  get port(): number {
    return this.#options.port;
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  /** Messages that could not be sent: no connection, or larger than the server takes. */
  get droppedCount(): number {
    return this.#droppedCount;
  }

  publish(subject: string, data: Uint8Array): void {
    const connection = this.#connection;
    if (connection === null) this.#droppedCount++;
    else if (this.#canSend(connection, data)) connection.publish(subject, data);
  }

  subscribe(subject: string, handler: MessageHandler): () => void {
    const wanted: Wanted = { subject, handler, active: null };
    this.#wanted.add(wanted);
    if (this.#connection !== null && !this.#isClosing) this.#activate(this.#connection, wanted);
    return () => {
      this.#wanted.delete(wanted);
      wanted.active?.unsubscribe();
    };
  }

  async request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    const connection = this.#connection;
    if (connection === null || !this.#isConnected) {
      throw new Error(`no connection to the nats-server at port ${this.#options.port}`);
    }
    const answer = await connection.request(subject, data, { timeout: timeoutMs });
    return answer.data;
  }

  onReconnect(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    this.#closing.resolve();
    await this.#connection?.close();
    await this.#finished;
  }

  async #run(): Promise<void> {
    while (!this.#isClosing) {
      const connection = await this.#connectOnce();
      if (connection === null) {
        await Promise.race([wait(RECONNECT_WAIT_MS), this.#closing.promise]);
        continue;
      }
      if (this.#isClosing) {
        await connection.close();
        return;
      }
      this.#connection = connection;
      for (const wanted of this.#wanted) this.#activate(connection, wanted);
      this.#setConnected(true);
      await this.#watch(connection);
      this.#connection = null;
      this.#setConnected(false);
    }
  }

  /** Null when the server did not answer. */
  async #connectOnce(): Promise<NatsConnection | null> {
    const { name, port, address = "127.0.0.1", identity } = this.#options;
    try {
      return await connectNats({
        name,
        servers: [hostAndPort(address, port)],
        ...(identity === undefined ? {} : { tls: lateTls(identity) }),
        timeout: CONNECT_TIMEOUT_MS,
        pingInterval: PING_INTERVAL_MS,
        maxPingOut: PINGS_OUT_MAX,
        reconnectTimeWait: RECONNECT_WAIT_MS,
        reconnectJitter: 0,
        maxReconnectAttempts: -1,
        noRandomize: true,
        noEcho: true,
        // A chassis talks to its own server only; the others are reached through it.
        ignoreClusterUpdates: true,
        ignoreAuthErrorAbort: true,
      });
    } catch {
      return null;
    }
  }

  /** Ends when the library has given the connection up, which it does on `close` only. */
  async #watch(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) {
      if (status.type === "disconnect") this.#setConnected(false);
      if (status.type === "reconnect") this.#setConnected(true);
    }
    await connection.closed();
  }

  #setConnected(isConnected: boolean): void {
    if (this.#isConnected === isConnected) return;
    this.#isConnected = isConnected;
    if (isConnected) for (const listener of this.#listeners) listener();
  }

  #activate(connection: NatsConnection, wanted: Wanted): void {
    wanted.active = connection.subscribe(wanted.subject, {
      callback: (error, message) => {
        if (error !== null) return; // The server refused the subject; it says so in its log.
        try {
          wanted.handler(
            message.data,
            (data) => {
              if (this.#canSend(connection, data)) message.respond(data);
            },
            message.subject,
          );
        } catch (bug) {
          // Thrown here, it would end the library's read loop in silence.
          queueMicrotask(() => {
            throw bug;
          });
        }
      },
    });
  }

  #canSend(connection: NatsConnection, data: Uint8Array): boolean {
    const sizeMax = connection.info?.max_payload ?? 0;
    if (this.#isConnected && !this.#isClosing && data.length <= sizeMax) return true;
    this.#droppedCount++;
    return false;
  }
}

/** The library reads it at each reconnection, so that a renewed certificate is used at the next. */
function lateTls(identity: () => NatsIdentity): object {
  return {
    ...clientTls(identity()),
    get cert() {
      return identity().nats.certificate;
    },
  };
}

function wait(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}
