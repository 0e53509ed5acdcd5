/** What is lost when the router is changed or hurt under a steady load. */
import { setTimeout as sleep } from "node:timers/promises";
import type { WorkersView } from "@rhone/api/context";
import { succeeded } from "@rhone/cli/rest-client";
import type { Case, Options } from "./case.ts";
import { type Path, pathThrough, progress, trickle } from "./flood.ts";
import { type Router, startRouter } from "./topology.ts";

/** Packets a second. */
const RATE = 150_000;
/** Changes that are under way at once. */
const CHANGES = 8;
const SETTLE_TIMEOUT_MS = 20_000;
const SETTLE_POLL_MS = 50;
/** For the first packet of a chassis that starts. */
const LOOK_MS = 5;
const LOOKS_MAX = 4000;

/** What happens; says what is worth a remark. */
type Event = (router: Router, options: Options) => Promise<string>;

async function nothing(_: Router, options: Options): Promise<string> {
  await sleep(options.seconds * 1000);
  return "";
}

/** As many as the chassis takes. */
async function ruleChanges(router: Router, options: Options): Promise<string> {
  const { client } = router.chassis[0]!.process;
  const endMs = performance.now() + options.seconds * 1000;
  let changes = 0;
  const change = async (i: number): Promise<void> => {
    while (performance.now() < endMs) {
      const match = { protocol: "tcp", destination: `172.17.${changes & 255}.0/24` };
      const body = { kind: "acl", switch: "front", direction: "from-port", priority: 900, match };
      const name = `changing-${i}`;
      const document = { ...body, name, action: "drop" };
      succeeded(await client.request("POST", "/v1/apply", { body: [document] }));
      changes++;
    }
  };
  await Promise.all(Array.from({ length: CHANGES }, (_, i) => change(i)));
  return `${Math.round(changes / options.seconds)} changes a second`;
}

async function scaling(router: Router, options: Options): Promise<string> {
  const { client, name } = router.chassis[0]!.process;
  const path = `/v1/chassis/${name}/dataplane?wait=applied&timeout=${SETTLE_TIMEOUT_MS}`;
  const endMs = performance.now() + options.seconds * 1000;
  let times = 0;
  while (performance.now() < endMs) {
    for (const workers of [2, 1]) {
      const body = { workers };
      succeeded(await client.request("PUT", path, { body, timeoutMs: SETTLE_TIMEOUT_MS }));
      await sleep(200);
    }
    times++;
  }
  return `${times} times`;
}

async function crash(router: Router, options: Options): Promise<string> {
  const chassis = router.chassis[0]!.process;
  await sleep(options.seconds * 500);
  chassis.kill("SIGUSR2");
  await sleep(options.seconds * 500);
  const deadlineMs = performance.now() + SETTLE_TIMEOUT_MS;
  for (;;) {
    const { settled, workers } = await chassis.client.get<WorkersView>("/v1/workers");
    if (settled) return `${workers.length} workers`;
    if (performance.now() > deadlineMs) throw new Error("expected the worker to be replaced");
    await sleep(SETTLE_POLL_MS);
  }
}

function loss(what: string, workers: number, event: Event): Case {
  const name = `loss: ${what}`;
  return {
    name,
    goals: "P14",
    unit: "packets",
    prepare: async (options) => {
      const labName = `l${what.replaceAll(/[^a-z]/g, "").slice(0, 6)}`;
      const spec = { chassis: 1, driver: "af-packet", isFree: true, rules: 100 } as const;
      const isMortal = event === crash;
      const router = await startRouter({ ...spec, name: labName, workers, isMortal }, options);
      const path = await pathThrough(router);
      const said = new Set<string>();
      const side = (title: string, happens: Event) => ({
        name: title,
        measure: async () => {
          let remark = "";
          const { sent, came } = await trickle(path, RATE, async () => {
            remark = await happens(router, options);
          });
          if (remark !== "") said.add(remark);
          return sent - came;
        },
      });
      return {
        subject: side(what, event),
        baselines: [side("nothing happens", nothing)],
        remarks: () => [`${RATE / 1000} packets are one millisecond's`, ...said],
        end: () => router.down(),
      };
    },
  };
}

/** Packets of one second that do not come out, from when the first one does. */
async function lostInSecond(path: Path): Promise<number> {
  const begin = await progress(path);
  let first = begin;
  for (let look = 0; look < LOOKS_MAX && first.came === begin.came; look++) {
    await sleep(LOOK_MS);
    first = await progress(path);
  }
  if (first.came === begin.came) throw new Error("expected packets to come out, got none");
  await sleep(1000);
  const last = await progress(path);
  return Math.max(0, last.sent - first.sent - (last.came - first.came));
}

/** Its code is not compiled yet, and nobody else takes the load meanwhile. */
const COLD: Case = {
  name: "loss: the first second of a chassis that starts under load",
  goals: "P14",
  unit: "packets",
  prepare: async (options) => {
    const spec = { name: "cold", chassis: 1, driver: "af-packet", workers: 1 } as const;
    const router = await startRouter({ ...spec, isFree: true, rules: 100 }, options);
    const path = await pathThrough(router);
    const { process: chassis } = router.chassis[0]!;
    const side = (name: string, before: () => Promise<void>) => ({
      name,
      measure: async () => {
        let lost = Number.NaN;
        await trickle(path, RATE, async () => {
          await before();
          lost = await lostInSecond(path);
        });
        return lost;
      },
    });
    const restart = async (): Promise<void> => {
      await chassis.stop();
      chassis.start();
    };
    return {
      subject: side("it has just started", restart),
      baselines: [side("it has run for seconds", () => sleep(2000))],
      remarks: () => [`${RATE / 1000} packets are one millisecond's`],
      end: () => router.down(),
    };
  },
};

export const LOSS_CASES: readonly Case[] = [
  loss("rules change all the time", 1, ruleChanges),
  loss("workers 1 → 2 → 1", 1, scaling),
  loss("a worker of two dies", 2, crash),
  COLD,
];
