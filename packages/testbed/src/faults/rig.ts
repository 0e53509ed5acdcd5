/**
 * What a fault has to work with: a lab of three chassis, one workload at each, and the ways to harm
 * them.
 */
import type { LabOptions } from "@rhone/cli/lab";
import type { Runtime } from "@rhone/cli/runtime";
import { LabFixture } from "../lab-fixture.ts";
import { labOf } from "../topology.ts";
import { NatsServers } from "./nats-servers.ts";

export const WORKLOADS = ["vm1", "vm2", "vm3"] as const;
export const CHASSIS = ["a", "b", "c"] as const;
const HUBS = { meshMax: 2, hubCount: 2 };
const PRELOAD = import.meta.resolve("../worker-killer.ts");

const lab = labOf({
  name: "faults",
  chassis: CHASSIS,
  ports: [
    { name: "vm1", switch: "s", chassis: "a", addresses: ["10.0.1.10"] },
    { name: "vm2", switch: "s", chassis: "b", addresses: ["10.0.1.11"] },
    { name: "vm3", switch: "s", chassis: "c", addresses: ["10.0.1.12"] },
  ],
});

export class Rig {
  readonly fixture = new LabFixture();
  readonly servers = new NatsServers();
  readonly runtime: Runtime;
  /** How long a partition lasts; 0: until it is noticed. */
  readonly splitMs: number;
  readonly hasHubs: boolean;
  #optionsBefore: string | undefined;

  /** With `hasHubs` the nats-servers of b and c are hubs, and that of a is a leaf. */
  constructor(runtime: Runtime, splitMs: number, hasHubs = false) {
    this.runtime = runtime;
    this.splitMs = splitMs;
    this.hasHubs = hasHubs;
  }

  async up(): Promise<void> {
    await this.servers.prepare();
    this.#optionsBefore = process.env["NODE_OPTIONS"];
    process.env["NODE_OPTIONS"] = `--import ${PRELOAD}`;
    const options: LabOptions = { lab, prefix: `rhone-t${process.pid}-faults` };
    const hubs = this.hasHubs ? { nats: HUBS } : {};
    await this.fixture.up({ ...options, ...hubs, runtime: this.runtime });
    await Promise.all(WORKLOADS.map((workload) => this.fixture.agent(workload)));
  }

  async down(): Promise<void> {
    try {
      await this.fixture.down();
    } finally {
      this.servers.dispose();
      if (this.#optionsBefore === undefined) delete process.env["NODE_OPTIONS"];
      else process.env["NODE_OPTIONS"] = this.#optionsBefore;
    }
  }
}
