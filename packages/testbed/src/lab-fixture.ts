/** A lab for the tests of one file: up before the first, gone after the last. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { CountersView } from "@rhone/api/context";
import type { ChassisProcess } from "@rhone/cli/chassis-process";
import { type LabOptions, type RunningLab, startLab } from "@rhone/cli/lab";
import { readLabFile } from "@rhone/cli/lab-file";
import { namespaceNames, runIn } from "@rhone/cli/namespaces";
import { type RunResult, runOrThrow } from "@rhone/cli/run";
import { runtimeCommand } from "@rhone/cli/runtime";
import { WorkloadAgent } from "@rhone/cli/workload";
import { until } from "./until.ts";

const EXAMPLE = fileURLToPath(new URL("../../../labs/web-db.yaml", import.meta.url));
/** Names what chassis run on, where a test does not say: node, the default, or deno. */
const RUNTIME_VARIABLE = "RHONE_TEST_RUNTIME";
const CHASSIS_ENDED = /^chassis (\S+) ended /;
/** For what is still under way. */
const SILENCE_MS = 200;
const READY_LIMIT_MS = 60_000;
const UP_LIMIT = { timeout: 60_000 };

/** The lab of labs/web-db.yaml. */
export const exampleLab = readLabFile(EXAMPLE);

export class LabFixture {
  #running: RunningLab | null = null;
  /** Chassis that ended and were started again, with what they said. */
  readonly #ended: string[] = [];
  /** Names of those that a test has just killed. */
  readonly #killed = new Set<string>();
  readonly #agents = new Map<string, WorkloadAgent>();

  get running(): RunningLab {
    if (this.#running === null) throw new Error("the lab is not up");
    return this.#running;
  }

  async up(options: LabOptions): Promise<void> {
    const onEvent = (text: string): void => {
      const name = CHASSIS_ENDED.exec(text)?.[1];
      if (name !== undefined && !this.#killed.delete(name)) this.#ended.push(text);
    };
    const runtime = process.env[RUNTIME_VARIABLE] === "deno" ? "deno" : "node";
    this.#running = await startLab({ onEvent, runtime, ...options });
    // What is on the underlay must be whole packets with whole checksums, for whoever looks at it.
    for (const { process } of this.running.chassis) {
      const off = ["tx", "off", "tx-udp-segmentation", "off"];
      const ethtool = ["ethtool", "-K", "underlay", ...off];
      await runOrThrow(["ip", "netns", "exec", process.namespace, ...ethtool]);
    }
  }

  async down(): Promise<void> {
    await Promise.all([...this.#agents.values()].map((agent) => agent.stop()));
    await this.#running?.down();
    // It comes back so soon that a test may not have noticed.
    assert.deepEqual(this.#ended, [], "no chassis ends by itself");
  }

  /** The workload's program of sockets; its echo servers listen when this resolves. */
  async agent(workload: string): Promise<WorkloadAgent> {
    const known = this.#agents.get(workload);
    if (known !== undefined) return known;
    const found = this.running.lab.workloads.find(({ name }) => name === workload);
    if (found === undefined) throw new Error(`expected a workload of the lab, got ${workload}`);
    const agent = new WorkloadAgent(found, this.running.namespaceOf(workload));
    this.#agents.set(workload, agent);
    await agent.ready();
    return agent;
  }

  /** Runs a program in a workload. */
  run(workload: string, ...argv: readonly string[]): Promise<RunResult> {
    return runIn(this.running.namespaceOf(workload), argv);
  }

  /** Runs a script of this package in a workload; `input` is its standard input. */
  script(workload: string, url: string, argv: readonly string[], input = ""): Promise<string> {
    const command = [...runtimeCommand("node"), fileURLToPath(url), ...argv];
    const namespace = this.running.namespaceOf(workload);
    return runOrThrow(["ip", "netns", "exec", namespace, ...command], { input });
  }

  chassis(name: string): ChassisProcess {
    const found = this.running.chassis.find(({ process }) => process.name === name);
    if (found === undefined) throw new Error(`expected a chassis of the lab, got ${name}`);
    return found.process;
  }

  /**
   * Kills a chassis in the middle of whatever it does, with all that it has in memory. Resolves
   * when the one that comes in its place is healthy, or answers `isReady`, with the milliseconds
   * that took. `whileDown` is done before that one starts.
   */
  async crash(
    name: string,
    whileDown: () => void = () => {},
    isReady?: (chassis: ChassisProcess) => Promise<boolean>,
  ): Promise<number> {
    const startMs = performance.now();
    const chassis = this.chassis(name);
    const { pid } = chassis;
    this.#killed.add(name);
    chassis.kill("SIGKILL");
    await until(`chassis ${name} is dead`, () => chassis.pid !== pid);
    whileDown();
    await until(`another chassis ${name} starts`, () => chassis.pid !== undefined);
    if (isReady === undefined) await chassis.ready();
    else await until(`chassis ${name} works again`, () => isReady(chassis), READY_LIMIT_MS);
    return performance.now() - startMs;
  }

  /** Of one chassis. */
  counters(chassis: string): Promise<CountersView> {
    return this.chassis(chassis).client.get<CountersView>("/v1/counters");
  }

  /**
   * From now on no frame overtakes another one between two devices: a veth device queues it for the
   * processor that its sender runs on, and a sender comes to another one at any time.
   */
  async keepOrder(): Promise<void> {
    const { lab, prefix } = this.running;
    const file = "/sys/class/net/*/queues/rx-*/rps_cpus";
    const everyDevice = `for file in ${file}; do echo 1 > $file; done`;
    for (const namespace of namespaceNames(lab, prefix)) {
      await runOrThrow(["ip", "netns", "exec", namespace, "sh", "-c", everyDevice]);
    }
  }

  /** The workloads' kernels send nothing by themselves any more. IPv6 does not work afterwards. */
  async silence(): Promise<void> {
    for (const { name } of this.running.lab.workloads) {
      const file = "/proc/sys/net/ipv6/conf/eth0/disable_ipv6";
      await this.run(name, "sh", "-c", `echo 1 > ${file}`);
    }
    await sleep(SILENCE_MS);
  }
}

/** Registers the lab's begin and end with the test runner. `name` is unique among the files. */
export function useLab(name: string, options: LabOptions): LabFixture {
  const fixture = new LabFixture();
  before(() => fixture.up({ prefix: `rhone-t${process.pid}-${name}`, ...options }), UP_LIMIT);
  after(() => fixture.down(), UP_LIMIT);
  return fixture;
}

/** From here on chassis obey worker-killer.ts. Registered before the lab that is for. */
export function useWorkerKiller(): void {
  const optionsBefore = process.env["NODE_OPTIONS"];
  before(() => {
    process.env["NODE_OPTIONS"] = `--import ${import.meta.resolve("./worker-killer.ts")}`;
  });
  after(() => {
    if (optionsBefore === undefined) delete process.env["NODE_OPTIONS"];
    else process.env["NODE_OPTIONS"] = optionsBefore;
  });
}

/**
 * Registers the tests of `body` once for each count of workers, each time with a lab of its own.
 * `name` is unique among the files.
 */
export function underWorkers(
  name: string,
  counts: readonly number[],
  options: Omit<LabOptions, "workers">,
  body: (fixture: LabFixture, workers: number) => void,
): void {
  for (const workers of counts) {
    describe(workers === 1 ? "with 1 worker" : `with ${workers} workers`, () => {
      body(useLab(`${name}-w${workers}`, { ...options, workers }), workers);
    });
  }
}

/**
 * Frames that this machine's kernel has dropped between any two devices, as too many waited there:
 * it was busy with something else.
 */
export function frameLosses(): number {
  const lines = readFileSync("/proc/net/softnet_stat", "utf8").trim().split("\n");
  return lines.reduce((sum, line) => sum + Number.parseInt(line.split(" ")[1]!, 16), 0);
}

/** Drops of one reason so far. */
export function dropsOf({ drops }: CountersView, reason: string): number {
  return drops.find((drop) => drop.reason === reason)?.packets ?? 0;
}

/** How many packets each stage saw between two looks. */
export function stageGrowth(before: CountersView, after: CountersView): number[] {
  return after.stages.map(({ packets }, number) => packets - before.stages[number]!.packets);
}
