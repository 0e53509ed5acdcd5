/** The plain twin of connections.ts: what tests compare the table with. */

interface GoldenConnection {
  readonly from: string;
  readonly bucket: number;
  expires: number;
  isReplySeen: boolean;
  isBlocked: boolean;
}

/** One end of a flow in text, unique for an address and port. */
export interface GoldenKey {
  readonly zone: string;
  readonly bucket: number;
  readonly protocol: number;
  readonly source: string;
  readonly destination: string;
}

export class GoldenConnections {
  /** In the order they were made. */
  readonly #connections = new Map<string, GoldenConnection>();
  readonly #perBucket: number;
  inserted = 0;
  earlyDropped = 0;
  refused = 0;

  constructor(perBucket: number) {
    this.#perBucket = perBucket;
  }

  /** The connection of a packet with that key, unless it has run out. */
  find(key: GoldenKey, now: number): GoldenConnection | undefined {
    const found = this.#connections.get(nameOf(key));
    if (found === undefined || found.expires >= now) return found;
    this.#connections.delete(nameOf(key));
    return undefined;
  }

  /** Undefined when all connections of the bucket have a reply. */
  insert(key: GoldenKey, now: number): GoldenConnection | undefined {
    if (!this.#hasRoom(key.bucket, now)) {
      this.refused++;
      return undefined;
    }
    this.inserted++;
    const { source: from, bucket } = key;
    const made = { from, bucket, expires: now, isReplySeen: false, isBlocked: false };
    this.#connections.set(nameOf(key), made);
    return made;
  }

  remove(key: GoldenKey): void {
    this.#connections.delete(nameOf(key));
  }

  isReply(key: GoldenKey, now: number): boolean {
    return this.find(key, now)?.from !== key.source;
  }

  /** Connections that have not run out. */
  count(now: number): number {
    this.#forget(now);
    return this.#connections.size;
  }

  /** Whether there is room in a bucket, if need be in place of the oldest without a reply. */
  #hasRoom(bucket: number, now: number): boolean {
    if (this.#connections.size < this.#perBucket) return true;
    this.#forget(now);
    const present = [...this.#connections].filter(([, each]) => each.bucket === bucket);
    if (present.length < this.#perBucket) return true;
    const oldest = present.find(([, { isReplySeen }]) => !isReplySeen);
    if (oldest === undefined) return false;
    this.#connections.delete(oldest[0]);
    this.earlyDropped++;
    return true;
  }

  #forget(now: number): void {
    for (const [name, { expires }] of this.#connections) {
      if (expires < now) this.#connections.delete(name);
    }
  }
}

function nameOf({ zone, protocol, source, destination }: GoldenKey): string {
  return JSON.stringify([zone, protocol, ...[source, destination].sort()]);
}
