/**
 * TAP ports with a queue for each worker that there may be, beside the same with one queue, which
 * is what `ip tuntap add` makes. Two workers, which may run on both processors; so does the load.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { TapWorkload } from "@rhone/testbed/tap-workload";
import type { Case, Options, Side } from "./case.ts";
import { AT_MOST, pathThrough, progress, trickle } from "./flood.ts";
import { iperf } from "./tcp.ts";
import { CLIENT, type Router, SERVER, SERVER_ADDRESS, startRouter } from "./topology.ts";

const STREAMS = 8;

async function startTaps(name: string, isNarrow: boolean, options: Options): Promise<Router> {
  const spec = { name, chassis: 1, driver: "af-packet", workers: 2, isFree: true } as const;
  const running = await startRouter({ ...spec, rules: 100 }, options);
  for (const workload of [CLIENT, SERVER]) {
    const tap = new TapWorkload({ running }, "left", workload, `tap-${workload}`);
    await tap.give({ isNarrow });
  }
  return running;
}

type Measure = (router: Router, options: Options) => Promise<() => Promise<number>>;

/** Thousands of small packets a second that come out, of a thousand flows. */
const packets: Measure = async (router, options) => {
  const path = await pathThrough(router);
  return async () => {
    let kpps = 0;
    await trickle(path, AT_MOST, async () => {
      const [startMs, before] = [performance.now(), (await progress(path)).came];
      await sleep(options.seconds * 1000);
      kpps = ((await progress(path)).came - before) / (performance.now() - startMs);
    });
    return kpps;
  };
};

const streams: Measure = async (router, options) => {
  const [client, server] = [router.namespaceOf(CLIENT), router.namespaceOf(SERVER)];
  return () => iperf(client, server, SERVER_ADDRESS, options.seconds, STREAMS);
};

function tapCase(what: string, unit: string, letter: string, measure: Measure): Case {
  return {
    name: `tap: ${what}, a queue for each worker`,
    goals: "",
    unit,
    prepare: async (options) => {
      const many = await startTaps(`${letter}m`, false, options);
      const one = await startTaps(`${letter}o`, true, options);
      const side = async (name: string, router: Router): Promise<Side> => ({
        name,
        measure: await measure(router, options),
      });
      return {
        subject: await side("a queue for each worker", many),
        baselines: [await side("one queue", one)],
        end: async () => {
          await many.down();
          await one.down();
        },
      };
    },
  };
}

export const TAP_CASES: readonly Case[] = [
  tapCase("small packets", "kpps", "u", packets),
  tapCase(`${STREAMS} streams of TCP`, "Gbit/s", "s", streams),
];
