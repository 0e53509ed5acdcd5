/**
 * What gossip asks of the thing that carries its messages. Runs on the control thread.
 *
 * A transport promises nothing: any message may be lost, doubled or late. What the protocol needs
 * to be true it repairs itself. Two implementations: NATS (nats-transport.ts) and its in-memory
 * twin (memory-transport.ts).
 */
import { clearTimeout, setTimeout } from "node:timers";
import type { SetTimer } from "@rhone/state/clock";

/**
 * Called for each message that arrives. It must not throw: bad bytes are traffic, to be counted.
 * `respond` answers a request; for a message that nobody waits on, it does nothing. `data` belongs
 * to the transport once the handler has returned.
 */
export type MessageHandler = (
  data: Uint8Array,
  respond: (data: Uint8Array) => void,
  subject: string,
) => void;

export interface Transport {
  /** Sends to every other subscriber of `subject`, at most once, never back to the sender. */
  publish(subject: string, data: Uint8Array): void;

  /**
   * Subscribes to `subject`, where the token `*` matches any one token. Survives reconnects.
   * Returns what ends the subscription.
   */
  subscribe(subject: string, handler: MessageHandler): () => void;

  /** The first answer to a request. Rejects after `timeoutMs`, or when nobody can answer. */
  request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array>;

  /**
   * Calls `listener` each time the transport becomes connected, the first time too: whatever was
   * sent before may be lost. Returns what ends it.
   */
  onReconnect(listener: () => void): () => void;

  readonly isConnected: boolean;

  /** Ends subscriptions and requests in flight. Idempotent. */
  close(): Promise<void>;
}

export type { SetTimer };

/** `SetTimer` on the real clock; a timer does not keep the process alive. */
export function setRealTimer(callback: () => void, delayMs: number): () => void {
  const timer = setTimeout(callback, delayMs);
  timer.unref();
  return () => clearTimeout(timer);
}
