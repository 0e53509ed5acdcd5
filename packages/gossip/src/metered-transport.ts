/**
 * Counts what goes through a transport, by what it is about. Runs on the control thread.
 *
 * A message is counted once, however many chassis hear it and on whichever path, and without what
 * NATS, TLS and TCP add.
 */
import type { FallbackTransport, Way } from "./peer-link/fallback-transport.ts";
import * as subjects from "./subjects.ts";
import type { MessageHandler, Transport } from "./transport.ts";

export const TOPICS = {
  changes: "What was just written, told to everybody.",
  heartbeats: "Who lives and what it holds, in one hash; once a second or less often.",
  fetches: "What a chassis lacked, asked for and answered.",
  barrier: "Who holds which tables, and when they begin.",
  questions: "Whether a write is in force, asked and answered.",
  membership: "Who lives: pings, their answers, and news.",
  gateways: "Who forwards for a gateway; five times a second, in its group only.",
  connections: "Connections that move with their port, asked for and answered.",
  other: "All the rest, such as certificates that are renewed.",
} as const;

export type Topic = keyof typeof TOPICS;

export interface TrafficCounts {
  readonly messages: number;
  readonly bytes: number;
}

export interface TopicCounts {
  readonly topic: Topic;
  readonly sent: TrafficCounts;
  readonly received: TrafficCounts;
}

type Count = { -readonly [Field in keyof TrafficCounts]: TrafficCounts[Field] };

export class MeteredTransport implements Transport {
  readonly #inner: Transport;
  readonly #sent = zeros();
  readonly #received = zeros();

  /** Owns `inner` from now on. */
  constructor(inner: Transport) {
    this.#inner = inner;
  }

  /** Since the start. */
  get counts(): TopicCounts[] {
    return (Object.keys(TOPICS) as Topic[]).map((topic) => ({
      topic,
      sent: { ...this.#sent[topic] },
      received: { ...this.#received[topic] },
    }));
  }

  get isConnected(): boolean {
    return this.#inner.isConnected;
  }

  publish(subject: string, data: Uint8Array): void {
    add(this.#sent, subject, data);
    this.#inner.publish(subject, data);
  }

  /** `sendTo` of the transport inside, if it has one. */
  sendTo(peer: string, subject: string, data: Uint8Array, way?: Way): void {
    add(this.#sent, subject, data);
    const { sendTo } = this.#inner as Partial<FallbackTransport>;
    if (sendTo === undefined) this.#inner.publish(subject, data);
    else sendTo.call(this.#inner, peer, subject, data, way);
  }

  subscribe(subject: string, handler: MessageHandler): () => void {
    return this.#inner.subscribe(subject, (data, respond, full) => {
      add(this.#received, full, data);
      const answer = (answer: Uint8Array): void => {
        add(this.#sent, full, answer);
        respond(answer);
      };
      handler(data, answer, full);
    });
  }

  async request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    add(this.#sent, subject, data);
    const answer = await this.#inner.request(subject, data, timeoutMs);
    add(this.#received, subject, answer);
    return answer;
  }

  onReconnect(listener: () => void): () => void {
    return this.#inner.onReconnect(listener);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}

function zeros(): Record<Topic, Count> {
  const topics = Object.keys(TOPICS) as Topic[];
  return Object.fromEntries(topics.map((topic) => [topic, { messages: 0, bytes: 0 }])) as Record<
    Topic,
    Count
  >;
}

function add(counts: Record<Topic, Count>, subject: string, { length }: Uint8Array): void {
  const count = counts[topicOf(subject)];
  count.messages++;
  count.bytes += length;
}

function topicOf(subject: string): Topic {
  if (subject === subjects.ASK_ALL) return "heartbeats";
  const [, side, , what] = subject.split(".");
  const isTold = side === "o";
  switch (what) {
    case "d":
      return isTold ? "changes" : "other";
    case "b":
      return isTold ? "barrier" : "other";
    case "m":
      return isTold ? "membership" : "other";
    case "g":
      return isTold ? "gateways" : "other";
    case "h":
      return "heartbeats";
    case "sync":
      return "fetches";
    case "applied":
      return "questions";
    case "connections":
      return "connections";
    default:
      return "other";
  }
}
