/**
 * Keeps trying to open a connection to one chassis, with a growing pause, until it is told to stop.
 * Runs on the control thread.
 */
import { X509Certificate } from "node:crypto";
import { connect, type TLSSocket } from "node:tls";
import { hostOf } from "../identity/certificate.ts";
import type { Identity } from "../identity/identity.ts";
import type { SetTimer } from "../transport.ts";

const PAUSE_MIN_MS = 100;
const PAUSE_MAX_MS = 5000;
const CONNECT_TIMEOUT_MS = 2000;
/** The chassis whose name comes first dials at once; the other one leaves it that much time. */
const COURTESY_MS = 1000;

export interface DialerOptions {
  readonly name: string;
  readonly peer: string;
  readonly address: string;
  readonly port: number;
  readonly identity: () => Identity;
  readonly random: () => number;
  readonly setTimer: SetTimer;
  /** Whether there is a link to the peer, so that nothing has to be opened. */
  readonly isLinked: () => boolean;
  readonly onOpen: (socket: TLSSocket, endMs: number) => void;
}

export class Dialer {
  readonly address: string;
  readonly #options: DialerOptions;
  #cancelTimer: () => void = () => {};
  #socket: TLSSocket | null = null;
  #pauseMs = PAUSE_MIN_MS;
  #isStopped = false;
  #failure = "";

  constructor(options: DialerOptions) {
    this.#options = options;
    this.address = options.address;
    this.#schedule(options.name < options.peer ? 0 : COURTESY_MS);
  }

  /** Why the last attempt failed; "" when it did not. */
  get failure(): string {
    return this.#failure;
  }

  /** The link is gone: opens another one, soon if the peer took it, else after a longer pause. */
  again(wasTaken: boolean): void {
    if (wasTaken) this.#pauseMs = PAUSE_MIN_MS;
    if (this.#socket === null) this.#schedule(this.#pause());
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelTimer();
    this.#socket?.destroy();
  }

  #schedule(delayMs: number): void {
    this.#cancelTimer();
    if (this.#isStopped) return;
    this.#cancelTimer = this.#options.setTimer(() => this.#dial(), delayMs);
  }

  /** Half of the time or more, at random: chassis that lost each other do not come back in step. */
  #pause(): number {
    const pauseMs = this.#pauseMs * (0.5 + this.#options.random());
    this.#pauseMs = Math.min(this.#pauseMs * 2, PAUSE_MAX_MS);
    return pauseMs;
  }

  #dial(): void {
    const { peer, address, port, identity, isLinked, onOpen } = this.#options;
    if (isLinked()) return;
    const { chassis, authority } = identity();
    const socket = connect({
      host: address,
      port,
      ca: [authority],
      key: chassis.key,
      cert: chassis.certificate,
      servername: hostOf(peer, "chassis"),
      minVersion: "TLSv1.3",
    });
    this.#socket = socket;
    const fail = (why: string): void => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      this.#failure = why;
      socket.destroy();
      this.#schedule(this.#pause());
    };
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => fail(`no answer in ${CONNECT_TIMEOUT_MS} ms`));
    socket.on("error", (error) => fail(error.message));
    socket.on("close", () => fail("the other side closed it"));
    socket.on("secureConnect", () => {
      if (this.#socket !== socket || this.#isStopped) return;
      const { raw } = socket.getPeerCertificate();
      socket.setTimeout(0);
      this.#socket = null;
      this.#failure = "";
      onOpen(socket, Date.parse(new X509Certificate(raw).validTo));
    });
  }
}
