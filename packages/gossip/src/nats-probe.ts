/**
 * Asks a nats-server, over and over, whether it still works: a client of its own that sends PING
 * and waits for PONG (https://docs.nats.io/reference/reference-protocols/nats-protocol). A library
 * would reconnect and retry behind our back; the supervisor wants to know.
 */
import { connect, type Socket } from "node:net";
import { type ConnectionOptions, connect as connectTls } from "node:tls";

const BUFFER_MAX = 64 * 1024; // characters; the server's first line is about one thousand
const PONG = "PONG\r\n";

export interface Probe {
  /** Sends a ping, unless one is not answered yet. */
  ping(): void;
  /** Whether the last ping was answered. */
  readonly isAnswered: boolean;
  close(): void;
}

/**
 * A probe whose first ping the server at 127.0.0.1 has answered; null if it has not in time. With
 * `tls` the connection becomes secure behind the server's first line, as the protocol has it.
 */
export async function connectProbe(
  port: number,
  timeoutMs: number,
  tls?: ConnectionOptions,
): Promise<Probe | null> {
  const plain = connect({ host: "127.0.0.1", port });
  const first = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => first.resolve(false), timeoutMs);
  const fail = (): void => first.resolve(false);
  plain.on("error", fail).on("close", fail);
  let probe: SocketProbe | null = null;
  const talk = (socket: Socket): void => {
    const talking = new SocketProbe(socket);
    probe = talking;
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => {
      talking.receive(text);
      if (talking.isAnswered) first.resolve(true);
    });
    const options = { verbose: false, pedantic: false, echo: false, name: "probe", lang: "rhone" };
    socket.write(`CONNECT ${JSON.stringify(options)}\r\n`);
    talking.ping();
  };
  if (tls === undefined) talk(plain);
  else {
    // The server's first line comes in one piece and says nothing that we do not know.
    plain.once("data", () => {
      const secure = connectTls({ ...tls, socket: plain }, () => talk(secure));
      secure.on("error", fail).on("close", fail);
    });
  }
  const isAnswered = await first.promise;
  clearTimeout(timer);
  if (isAnswered) return probe;
  plain.destroy();
  return null;
}

class SocketProbe implements Probe {
  readonly #socket: Socket;
  #buffer = "";
  #isAnswered = true;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  get isAnswered(): boolean {
    return this.#isAnswered;
  }

  ping(): void {
    if (!this.#isAnswered) return;
    this.#isAnswered = false;
    this.#socket.write("PING\r\n");
  }

  /** The server says INFO, now and then PING, and PONG. */
  receive(text: string): void {
    const lines = (this.#buffer + text).split("\n");
    this.#buffer = (lines.pop() ?? "").slice(-BUFFER_MAX);
    for (const line of lines) {
      if (`${line}\n` === PONG) this.#isAnswered = true;
      else if (line === "PING\r") this.#socket.write(PONG);
    }
  }

  close(): void {
    this.#socket.destroy();
  }
}
