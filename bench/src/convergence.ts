/** How fast, and at what cost, chassis come to know what was written at one of them. */
import { generateKeyPairSync, sign, verify } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { succeeded } from "@rhone/cli/rest-client";
import { decode, encode, PAGE_SIZE_MAX } from "@rhone/gossip/codec";
import type { Cursor } from "@rhone/state/ledger";
import { createMemoryStore } from "@rhone/state/memory-store";
import type { Signer } from "@rhone/state/signer";
import { openSqliteStore } from "@rhone/state/sqlite-store";
import type { Store } from "@rhone/state/store";
import type { Portion } from "@rhone/state/write";
import type { Case, Options, Prepared } from "./case.ts";
import { percentile } from "./statistics.ts";
import { type Router, startRouter } from "./topology.ts";

/** Writes of one measurement. */
const WRITES = 40;
/** Between two writes: a chassis compiles at most 40 times a second. */
const PAUSE_MS = 60;
const UPDATES_PER_SECOND = 100;
const PORTS = 100_000;
const PORTS_PER_SWITCH = 1000;
const PORTS_PER_CHANGE = 10_000;
const MIB = 1024 * 1024;

/** A case on three chassis of its own; `measured` says what is done with them. */
function onThree(
  head: Pick<Case, "name" | "unit">,
  labName: string,
  measured: (router: Router, options: Options) => Omit<Prepared, "end">,
): Case {
  return {
    ...head,
    goals: "control",
    prepare: async (options) => {
      const spec = { chassis: 3, driver: "af-packet", isFree: true, workers: 1, rules: 0 } as const;
      const router = await startRouter({ ...spec, name: labName }, options);
      return { ...measured(router, options), end: () => router.down() };
    },
  };
}

/** A rule that matches nothing here; each time another one. */
function ruleNumber(i: number): object {
  const match = { protocol: "tcp", destination: `172.17.${i & 255}.0/24` };
  const where = { kind: "acl", switch: "front", direction: "from-port", priority: 900 };
  return { ...where, name: `changing-${i & 15}`, match, action: "drop" };
}

let written = 0;

/** Milliseconds, each of many. */
interface Waits {
  /** From the answer to a write, which is on the disk then, until it is in force. */
  readonly afterAnswer: number[];
  /** From the request on. */
  readonly afterRequest: number[];
}

async function waits({ chassis }: Router, level: string): Promise<Waits> {
  const { client } = chassis[0]!.process;
  const all: Waits = { afterAnswer: [], afterRequest: [] };
  for (let i = 0; i < WRITES; i++) {
    await sleep(PAUSE_MS);
    const body = [ruleNumber(written++)];
    const requestMs = performance.now();
    succeeded(await client.request("POST", "/v1/apply", { body }));
    const answerMs = performance.now();
    succeeded(await client.request("GET", `/v1/convergence?wait=${level}`));
    const inForceMs = performance.now();
    all.afterAnswer.push(inForceMs - answerMs);
    all.afterRequest.push(inForceMs - requestMs);
  }
  return all;
}

const IN_FORCE = onThree(
  { name: "convergence: a rule is in force at three chassis", unit: "ms" },
  "inforce",
  (router) => {
    const all: number[] = [];
    const whole: number[] = [];
    const side = (name: string, level: string, onTimes?: (times: Waits) => void) => ({
      name,
      measure: async () => {
        const times = await waits(router, level);
        onTimes?.(times);
        return percentile(times.afterAnswer, 0.5);
      },
    });
    return {
      subject: side("at all that live", "applied", ({ afterAnswer, afterRequest }) => {
        all.push(...afterAnswer);
        whole.push(...afterRequest);
      }),
      baselines: [side("at the one that was asked", "local")],
      remarks: () => [
        `${all.length} writes, p99 ${percentile(all, 0.99).toFixed(1)} ms; must 25, moonshot 8`,
        `p50 ${percentile(whole, 0.5).toFixed(1)} ms from the request on`,
        "in force: packets begin under it, at all of them; from the answer to the write on",
      ],
    };
  },
);

/** Bytes that a chassis has sent and received on its underlay so far. */
function trafficOf({ pid }: { readonly pid: number | undefined }): number {
  const text = readFileSync(`/proc/${pid}/net/dev`, "utf8");
  const line = text.split("\n").find((each) => each.trim().startsWith("underlay:"));
  if (line === undefined) throw new Error("expected a device underlay in the chassis' namespace");
  const fields = line
    .slice(line.indexOf(":") + 1)
    .trim()
    .split(/\s+/);
  return Number(fields[0]) + Number(fields[8]);
}

/** Bytes a second of one chassis, the mean of all. */
async function trafficDuring(router: Router, happens: () => Promise<void>): Promise<number> {
  const before = router.chassis.map(({ process: chassis }) => trafficOf(chassis));
  const startMs = performance.now();
  await happens();
  const seconds = (performance.now() - startMs) / 1000;
  const after = router.chassis.map(({ process: chassis }) => trafficOf(chassis));
  const bytes = after.reduce((sum, each, i) => sum + each - before[i]!, 0);
  return bytes / seconds / after.length;
}

async function updates({ chassis }: Router, durationMs: number): Promise<void> {
  const endMs = performance.now() + durationMs;
  for (let i = 0; performance.now() < endMs; i++) {
    const { client } = chassis[i % chassis.length]!.process;
    const next = sleep(1000 / UPDATES_PER_SECOND);
    succeeded(await client.request("POST", "/v1/apply", { body: [ruleNumber(written++)] }));
    await next;
  }
}

const TRAFFIC = onThree(
  { name: "convergence: what chassis say to each other", unit: "B/s/chassis" },
  "traffic",
  (router, { seconds }) => {
    const durationMs = seconds * 3000;
    return {
      subject: {
        name: `${UPDATES_PER_SECOND} changes a second`,
        measure: () => trafficDuring(router, () => updates(router, durationMs)),
      },
      baselines: [{ name: "idle", measure: () => trafficDuring(router, () => sleep(durationMs)) }],
      remarks: () => [
        "sent and received on the underlay, with TLS and TCP",
        "must 100,000 with changes, 5,000 idle",
      ],
    };
  },
);

function ephemeralSigner(): Signer {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  return {
    id: "0".repeat(32),
    sign: (bytes) => Uint8Array.from(sign(null, bytes, privateKey)),
    verify: (_origin, _id, bytes, signature) => {
      return verify(null, bytes, publicKey, signature) ? "genuine" : "forged";
    },
  };
}

/** A store with that many ports. */
function filled(signer: Signer, count: number): Store {
  const store = createMemoryStore("a", { signer });
  const put = (document: object) => ({ op: "put" as const, document });
  const switches = Array.from({ length: count / PORTS_PER_SWITCH }, (_, i) => {
    return put({ kind: "switch", name: `s${i}` });
  });
  const ports = Array.from({ length: count }, (_, i) => {
    const within = i % PORTS_PER_SWITCH;
    const address = `10.${within >>> 8}.${within & 255}.1`;
    const at = `s${Math.floor(i / PORTS_PER_SWITCH)}`;
    return put({ kind: "port", name: `p${i}`, switch: at, addresses: [address], chassis: "a" });
  });
  for (let from = 0; from < count + PORTS_PER_CHANGE; from += PORTS_PER_CHANGE) {
    const some = from === 0 ? switches : ports.slice(from - PORTS_PER_CHANGE, from);
    const done = store.transact(some, "user");
    if (!done.ok) throw new Error(done.error.message);
  }
  return store;
}

/** Everything that `from` has and `to` lacks, through the codec; the bytes that it took. */
function synchronize(from: Store, to: Store): number {
  const portions: Portion[] = [];
  const { vector, root: hash } = from;
  let size = 0;
  for (let after: Cursor | null = null, isLast = false; !isLast; ) {
    const page = from.behind(to.vector, after, PAGE_SIZE_MAX);
    const rest = { certificates: [], vector, isBehind: false, hash };
    const bytes = encode({ type: "sync-reply", from: "a", ...page, ...rest });
    size += bytes.length;
    const reply = decode(bytes);
    if (reply?.type !== "sync-reply") throw new Error("expected a page, got something else");
    portions.push(...reply.portions);
    isLast = reply.next === null;
    after = reply.next;
  }
  to.merge(portions, vector);
  if (to.root !== from.root) throw new Error("expected the same on both sides");
  return size;
}

/** Bytes that are left after a collection. */
function heapUsed(): number {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
  return process.memoryUsage().heapUsed;
}

const REJOIN: Case = {
  name: `convergence: an empty chassis learns ${PORTS} ports`,
  goals: "control",
  unit: "s",
  prepare: async () => {
    const signer = ephemeralSigner();
    const whole = filled(signer, PORTS);
    const directory = mkdtempSync(join(tmpdir(), "rhone-bench-"));
    let files = 0;
    let size = 0;
    let heap = 0;
    const opened = (): Store => {
      const path = join(directory, `${files++}.sqlite`);
      const result = openSqliteStore({ path, origin: "b", signer });
      if (!result.ok) throw new Error(result.error.message);
      return result.value;
    };
    const timed = (to: Store): number => {
      const startMs = performance.now();
      size = synchronize(whole, to);
      return (performance.now() - startMs) / 1000;
    };
    return {
      subject: {
        name: "from nothing",
        measure: async () => {
          const before = heapUsed();
          const store = opened();
          const seconds = timed(store);
          heap = heapUsed() - before;
          store.close();
          return seconds;
        },
      },
      baselines: [
        {
          name: "when it lacks one in a hundred",
          measure: async () => {
            const store = opened();
            const page = whole.behind({}, null, Number.POSITIVE_INFINITY).portions;
            const count = page.length - Math.ceil(page.length / 100);
            const known = page.slice(0, count);
            store.merge(known, { a: known.at(-1)!.seal.clock - 1 });
            const seconds = timed(store);
            store.close();
            return seconds;
          },
        },
      ],
      remarks: () => [
        `${(size / MIB).toFixed(1)} MiB in the last fetch, ${(heap / MIB).toFixed(0)} MiB of heap`,
        `signed in transactions of ${PORTS_PER_CHANGE}; with checks and SQLite, no network`,
        "must 10 s and 128 MiB, moonshot 2 s and 40 MiB",
      ],
      end: async () => {
        whole.close();
        rmSync(directory, { recursive: true });
      },
    };
  },
};

export const CONVERGENCE_CASES: readonly Case[] = [IN_FORCE, TRAFFIC, REJOIN];
