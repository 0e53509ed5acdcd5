/** The plain twin of connections.ts: what tests compare the table with. */

interface GoldenConnection {
  readonly from: string;
  expires: number;
  isReplySeen: boolean;
  isBlocked: boolean;
}

/** One end of a flow in text, unique for an address and port. */
export interface GoldenKey {
  readonly zone: string;
  readonly protocol: number;
  readonly source: string;
  readonly destination: string;
}

export class GoldenConnections {
  readonly #connections = new Map<string, GoldenConnection>();

  /** The connection of a packet with that key, unless it has run out. */
  find(key: GoldenKey, now: number): GoldenConnection | undefined {
    const found = this.#connections.get(nameOf(key));
    if (found === undefined || found.expires >= now) return found;
    this.#connections.delete(nameOf(key));
    return undefined;
  }

  insert(key: GoldenKey, now: number): void {
    const connection = { from: key.source, expires: now, isReplySeen: false, isBlocked: false };
    this.#connections.set(nameOf(key), connection);
  }

  remove(key: GoldenKey): void {
    this.#connections.delete(nameOf(key));
  }

  isReply(key: GoldenKey, now: number): boolean {
    return this.find(key, now)?.from !== key.source;
  }

  /** Connections that have not run out. */
  count(now: number): number {
    return [...this.#connections.values()].filter(({ expires }) => expires >= now).length;
  }
}

function nameOf({ zone, protocol, source, destination }: GoldenKey): string {
  return JSON.stringify([zone, protocol, ...[source, destination].sort()]);
}
