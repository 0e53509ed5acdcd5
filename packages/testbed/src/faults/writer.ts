/** Keeps writing to one chassis, and remembers what was acknowledged. */
import { setTimeout as sleep } from "node:timers/promises";
import type { ChassisProcess } from "@rhone/cli/chassis-process";

const PAUSE_MS = 100;
const TIMEOUT_MS = 3000;

/** Writers of one process never use a name twice. */
let count = 0;

export class Writer {
  readonly #chassis: ChassisProcess;
  readonly #acknowledged: string[] = [];
  readonly #refused = new Map<number, number>();
  #isStopping = false;
  readonly #running: Promise<void>;

  constructor(chassis: ChassisProcess) {
    this.#chassis = chassis;
    this.#running = this.#run();
  }

  /** Names of the switches that are there by its word. */
  get acknowledged(): readonly string[] {
    return this.#acknowledged;
  }

  /** By status: how often the chassis answered that it did not take it. */
  get refused(): ReadonlyMap<number, number> {
    return this.#refused;
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#isStopping) {
      await this.#write(`written-${this.#chassis.name}-${count++}`);
      await sleep(PAUSE_MS);
    }
  }

  async #write(name: string): Promise<void> {
    const { client } = this.#chassis;
    const options = { body: { kind: "switch", name }, timeoutMs: TIMEOUT_MS };
    try {
      const { status } = await client.request("PUT", `/v1/switches/${name}`, options);
      if (status < 300) this.#acknowledged.push(name);
      else this.#refused.set(status, (this.#refused.get(status) ?? 0) + 1);
    } catch {
      // No answer: it may be there or not, and nobody was told.
    }
  }
}

/** Those of `names` that are no switch at a chassis. */
export async function missingAt(
  { client }: ChassisProcess,
  names: readonly string[],
): Promise<string[]> {
  const known = await client.get<{ name: string }[]>("/v1/switches");
  const present = new Set(known.map(({ name }) => name));
  return names.filter((name) => !present.has(name));
}
