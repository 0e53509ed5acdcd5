/**
 * One connection to another chassis, whichever side opened it: frames out, frames in, and an end
 * when the other side is silent. Runs on the control thread.
 */
import type { TLSSocket } from "node:tls";
import type { SetTimer } from "../transport.ts";
import { encodeFrame, type Frame, FrameReader, type FrameType } from "./frame.ts";

/** Bytes that wait for a slow peer; more are dropped and counted, and repaired later. */
export const QUEUE_SIZE_MAX = 4 * 1024 * 1024;
export const PING_INTERVAL_MS = 1000;
/** Intervals without a word, all but the first of them with a ping, before the link is given up. */
const SILENCE_MAX = 3;
const PATTERNS_MAX = 256;

export interface LinkOptions {
  readonly socket: TLSSocket;
  /** The chassis that the other side's certificate is for. */
  readonly peer: string;
  /** Whether this side opened the connection. */
  readonly isDialed: boolean;
  /** Milliseconds since 1970 from which on the certificate counts no more. */
  readonly endMs: number;
  readonly wallClock: () => number;
  readonly setTimer: SetTimer;
  /** What the time between two pings is multiplied by. */
  readonly slowness: () => number;
  readonly onFrame: (link: Link, frame: Frame) => void;
  readonly onEnd: (link: Link, reason: string) => void;
}

export class Link {
  readonly peer: string;
  readonly isDialed: boolean;
  /** What the other side wants, split into tokens, by pattern. */
  readonly patterns = new Map<string, readonly string[]>();
  readonly #options: LinkOptions;
  readonly #reader = new FrameReader();
  #cancelTimer: () => void = () => {};
  #silence = 0;
  #isEnded = false;
  #wasTaken = false;
  #droppedCount = 0;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.peer = options.peer;
    this.isDialed = options.isDialed;
    const { socket } = options;
    socket.setNoDelay(true);
    socket.on("data", (chunk: Uint8Array) => this.#receive(chunk));
    socket.on("error", (error) => this.end(error.message));
    socket.on("close", () => this.end("the other side closed it"));
    this.#schedulePing();
  }

  /** Frames that were not sent since too many bytes wait already. */
  get droppedCount(): number {
    return this.#droppedCount;
  }

  /**
   * Whether the other side has sent a frame. With TLS 1.3 the side that dials is connected before
   * the other one has looked at its certificate.
   */
  get wasTaken(): boolean {
    return this.#wasTaken;
  }

  /** False when the frame was dropped. */
  send(type: FrameType, subject?: string, data?: Uint8Array, id?: number): boolean {
    const { socket } = this.#options;
    if (this.#isEnded || socket.writableLength > QUEUE_SIZE_MAX) {
      this.#droppedCount++;
      return false;
    }
    socket.write(encodeFrame(type, subject, data, id));
    return true;
  }

  /** `reason` is told once, to `onEnd`. */
  end(reason: string): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#cancelTimer();
    this.#options.socket.destroy();
    this.#options.onEnd(this, reason);
  }

  #receive(chunk: Uint8Array): void {
    if (this.#isEnded) return;
    this.#silence = 0;
    const frames = this.#reader.push(chunk);
    if (frames === null) {
      this.end("it sent bytes that are no frame");
      return;
    }
    for (const frame of frames) {
      if (this.#isEnded) return;
      this.#wasTaken = true;
      this.#take(frame);
    }
  }

  #take(frame: Frame): void {
    switch (frame.type) {
      case "ping":
        this.send("pong");
        return;
      case "pong":
        return; // That it came is all.
      case "subscribe":
        if (this.patterns.size >= PATTERNS_MAX) this.end(`it has over ${PATTERNS_MAX} patterns`);
        else this.patterns.set(frame.subject, frame.subject.split("."));
        return;
      case "unsubscribe":
        this.patterns.delete(frame.subject);
        return;
      default:
        this.#options.onFrame(this, frame);
    }
  }

  #schedulePing(): void {
    const { setTimer, wallClock, endMs, slowness } = this.#options;
    this.#cancelTimer = setTimer(() => {
      if (wallClock() >= endMs) this.end("its certificate is over");
      else if (this.#silence >= SILENCE_MAX) {
        this.end(`nothing came, and no answer to ${SILENCE_MAX - 1} pings`);
      } else {
        // Whoever speaks anyway need not be asked.
        if (this.#silence > 0) this.send("ping");
        this.#silence++;
        this.#schedulePing();
      }
    }, PING_INTERVAL_MS * slowness());
  }
}
