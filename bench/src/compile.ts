/** What a change of the desired state costs until its tables are there, without the workers. */
import { fileURLToPath } from "node:url";
import { runOrThrow } from "@rhone/cli/run";
import { runtimeCommand } from "@rhone/cli/runtime";
import type { Case, Options, Side } from "./case.ts";

const TIMEOUT_MS = 300_000;
const PORTS = 10_000;

const WAYS = {
  port: "a step with one port more",
  removal: "a step with one port less",
  binding: "a step with one port that is up",
  full: "everything",
} as const;
type Way = keyof typeof WAYS;

function side(way: Way, options: Options): Side {
  const path = fileURLToPath(new URL("./compile-run.ts", import.meta.url));
  const argv = [...runtimeCommand(options.runtime), path, way, String(PORTS)];
  const measure = async () => Number(await runOrThrow(argv, { timeoutMs: TIMEOUT_MS }));
  return { name: WAYS[way], measure };
}

function step(way: Exclude<Way, "full">): Case {
  return {
    name: `compile: ${WAYS[way]}, of ${PORTS}`,
    goals: "–",
    unit: "ms",
    prepare: async (options) => ({
      subject: side(way, options),
      baselines: [side("full", options)],
      end: async () => {},
    }),
  };
}

export const COMPILE_CASES: readonly Case[] = [step("port"), step("removal"), step("binding")];
