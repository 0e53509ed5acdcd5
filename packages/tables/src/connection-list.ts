/** The connections of a table as plain data, for logs and tests. */
import * as memory from "./connection-memory.ts";

export interface Connection {
  readonly vni: number;
  readonly port: number;
  readonly protocol: number;
  /** Of its first packet. */
  readonly source: readonly number[];
  readonly destination: readonly number[];
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly isReplySeen: boolean;
  readonly isBlocked: boolean;
  readonly state: number;
  readonly expires: number;
}

/** Those of all buckets of the installed table, what has run out included; exact at rest. */
export function listConnections(): Connection[] {
  const layout = memory.installedConnections();
  const { words, perBucket, headsAt, entriesAt } = layout;
  const found: Connection[] = [];
  for (let bucket = 0; bucket < memory.BUCKETS; bucket++) {
    const unused = words[headsAt + bucket * memory.HEAD_WORDS + memory.HEAD_UNUSED]!;
    for (let number = 0; number < unused; number++) {
      const at = entriesAt + (bucket * perBucket + number) * memory.ENTRY_WORDS;
      if (words[at + memory.PORT_VERSION] !== 0) found.push(decode(words, at));
    }
  }
  return found;
}

function decode(words: Int32Array, at: number): Connection {
  const isIpv4 = (words[at + memory.PORT_VERSION]! & 0xff) === 4;
  const rest = (from: number) => (isIpv4 ? [0, 0, 0xffff] : [...words.slice(from, from + 3)]);
  const low = [...rest(at + memory.LOW_REST), words[at + memory.LOW]!];
  const high = [...rest(at + memory.HIGH_REST), words[at + memory.HIGH]!];
  const lowPort = words[at + memory.PORTS]! >>> 16;
  const highPort = words[at + memory.PORTS]! & 0xffff;
  const flags = words[at + memory.FLAGS]!;
  const isFromHigh = (flags & memory.FROM_HIGH) !== 0;
  return {
    vni: words[at + memory.VNI_PROTOCOL]! >>> 8,
    port: words[at + memory.PORT_VERSION]! >>> 8,
    protocol: words[at + memory.VNI_PROTOCOL]! & 0xff,
    source: isFromHigh ? high : low,
    destination: isFromHigh ? low : high,
    sourcePort: isFromHigh ? highPort : lowPort,
    destinationPort: isFromHigh ? lowPort : highPort,
    isReplySeen: (flags & memory.REPLY_SEEN) !== 0,
    isBlocked: (flags & memory.BLOCKED) !== 0,
    state: (flags >>> memory.STATE_SHIFT) & 0xff,
    expires: words[at + memory.EXPIRES]!,
  };
}
