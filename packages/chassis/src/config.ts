/**
 * The configuration file of one chassis: YAML, checked in full before anything starts.
 */
import { readFileSync } from "node:fs";
import { DEFAULT_RULES } from "@rhone/gossip/nats-layout";
import { SOURCE_PORTS_DEFAULT } from "@rhone/netio/udp-socket";
import { WORKERS_MAX } from "@rhone/rings/buckets";
import { ENTRIES_MAX } from "@rhone/tables/connection-memory";
import { parseAddress } from "@rhone/wire/address";
import { LineCounter, parseDocument } from "yaml";
import { z } from "zod";

const SOURCE_PORTS_MAX = 1024;

const port = z.int().min(1).max(65535);
const address = z.string().refine((text) => parseAddress(text) !== null, "expected an IP address");

const CLUSTER_KEY = /^[0-9a-f]{64}$/i;

const fields = z.strictObject({
  /** Unique in the cluster. */
  name: z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/),
  /** Address of the tunnel endpoint and of the NATS routes. */
  underlay: address,
  /** MTU of the underlay network: what is left for workloads must be enough for IPv6. */
  underlayMtu: z.int().max(9216).default(1500),
  /**
   * Of the whole cluster, 32 bytes in hex. Without it stamps carry no tag, and the underlay has to
   * be trusted.
   */
  clusterKey: z
    .string()
    .regex(CLUSTER_KEY, "expected 64 hexadecimal digits, as from: openssl rand -hex 32")
    .optional(),
  /** A file with the same; a chassis that has joined a cluster has it from there. */
  clusterKeyFile: z.string().min(1).optional(),
  dataDirectory: z.string().min(1),
  /** Data-plane threads at the start. */
  workers: z.int().min(1).max(WORKERS_MAX).default(2),
  /** As many as there may ever be: memory is there for so many. 4, or `workers`, when left out. */
  workersMax: z.int().min(1).max(WORKERS_MAX).optional(),
  /** Connections that can be tracked at a time; each takes 136 bytes or a little more. */
  connections: z.int().min(256).max(ENTRIES_MAX).default(262_144),
  /**
   * Source ports of the tunnel, a power of two. More spread flows over more paths and queues of the
   * underlay, fewer let more packets leave in one call.
   */
  sourcePorts: z
    .int()
    .min(1)
    .max(SOURCE_PORTS_MAX)
    .refine((count) => (count & (count - 1)) === 0, "expected a power of two")
    .default(SOURCE_PORTS_DEFAULT),
  /**
   * How packets go to other chassis: by UDP sockets, or over AF_XDP on the device that has the
   * underlay address, and by the sockets only what AF_XDP cannot carry.
   */
  tunnelDriver: z.enum(["udp", "af-xdp"]).default("udp"),
  /** How devices are opened whose port does not say. */
  driver: z.enum(["af-packet", "af-xdp", "tap"]).default("af-packet"),
  api: z.strictObject({
    /** host:port; on another device than loopback for a member of a cluster only. */
    listen: z
      .string()
      .regex(/^.+:\d{1,5}$/, "expected host:port")
      .optional(),
    /** Path of a UNIX socket. */
    socket: z.string().min(1).optional(),
    /** Asks for a token although the chassis has joined no cluster; a member always does. */
    requireToken: z.boolean().default(false),
  }),
  nats: z
    .strictObject({
      clientPort: port.default(4222),
      routePort: port.default(6222),
      /** Where hubs take leaves, in a cluster that has them. */
      leafPort: port.default(7422),
      /**
       * In a cluster of more chassis only some have routes, to each other, and the others are their
       * leaves. The same at all chassis, as is `hubCount`.
       */
      meshMax: z.int().min(2).max(256).default(DEFAULT_RULES.meshMax),
      hubCount: z.int().min(2).max(16).default(DEFAULT_RULES.hubCount),
      /** Underlay addresses of other chassis; one that is up is enough to be found. */
      peers: z.array(address).max(1024).default([]),
    })
    .prefault({}),
  cluster: z
    .strictObject({
      /** For links between chassis, beside NATS; the same at all of them. */
      linkPort: port.default(6642),
      /** Where the authority of the cluster lets new chassis in, at its underlay address. */
      joinPort: port.default(6643),
      /** A file with a token: a chassis that has joined no cluster joins with it at its start. */
      joinTokenFile: z.string().min(1).optional(),
    })
    .prefault({}),
  log: z
    .strictObject({
      level: z.enum(["trace", "debug", "info", "warn", "error"]).default("info"),
      /** Standard output when left out. */
      file: z.string().min(1).optional(),
    })
    .prefault({}),
});

const schema = fields.superRefine((config, context) => {
  if (tunnelMtu(config) >= IPV6_MTU_MIN) return;
  const least = IPV6_MTU_MIN + outerSize(config.underlay);
  const message =
    `expected at least ${least}, got ${config.underlayMtu}: ` +
    `workloads would get ${tunnelMtu(config)}, and IPv6 needs ${IPV6_MTU_MIN} (RFC 8200 §5)`;
  context.addIssue({ code: "custom", path: ["underlayMtu"], message });
});

export type Config = z.infer<typeof fields>;

/** Reads and checks a file. Throws Error with file, line, field, expected and got. */
export function readConfig(path: string): Config {
  const text = readText(path);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const [mistake] = document.errors;
  if (mistake !== undefined) throw new Error(`${path}: ${mistake.message}`);
  const result = schema.safeParse(document.toJS() ?? {});
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => {
    const range = (document.getIn(issue.path as string[], true) as { range?: number[] } | undefined)
      ?.range;
    const line = range === undefined ? "" : `:${lines.linePos(range[0]!).line}`;
    return `${path}${line}: ${issue.path.join(".") || "(top)"}: ${issue.message}`;
  });
  throw new Error(problems.join("\n"));
}

/** The key that the configuration gives, or names a file for; null when it does neither. */
export function configuredClusterKey({ clusterKey, clusterKeyFile }: Config): Uint8Array | null {
  if (clusterKey !== undefined && clusterKeyFile !== undefined) {
    throw new Error("expected clusterKey or clusterKeyFile, got both");
  }
  if (clusterKeyFile === undefined) {
    return clusterKey === undefined ? null : Buffer.from(clusterKey, "hex");
  }
  const text = readText(clusterKeyFile).trim();
  if (CLUSTER_KEY.test(text)) return Buffer.from(text, "hex");
  const got = `${text.length} characters`;
  throw new Error(`${clusterKeyFile}: expected 64 hexadecimal digits, got ${got}`);
}

const IPV4_UDP_GENEVE_ETHERNET = 20 + 8 + 40 + 14;
const IPV6_MORE = 20;
const IPV6_MTU_MIN = 1280;

/** Largest inner IP packet that a tunnel over this underlay carries, bytes; at least 1280. */
export function tunnelMtu(config: Pick<Config, "underlay" | "underlayMtu">): number {
  return config.underlayMtu - outerSize(config.underlay);
}

/** Bytes of an outer packet that are no part of the inner one. */
function outerSize(underlay: string): number {
  return IPV4_UDP_GENEVE_ETHERNET + (underlay.includes(":") ? IPV6_MORE : 0);
}

/** Throws Error that names the file when it cannot be read. */
export function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new Error(`${path}: expected a readable file, got ${(error as Error).message}`);
  }
}

const WORKERS_MAX_DEFAULT = 4;

/** Workers that there may ever be on this chassis. */
export function workersMax({ workers, workersMax = WORKERS_MAX_DEFAULT }: Config): number {
  return Math.max(workers, workersMax);
}
