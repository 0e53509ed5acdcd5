/**
 * Row 10: the wall clock of one chassis steps, by libfaketime, which reads the offset from a file
 * at each look at the clock.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { succeeded } from "@rhone/cli/rest-client";
import { until } from "../until.ts";
import { CHASSIS, type Rig } from "./rig.ts";
import type { Fault } from "./run-fault.ts";

const LIBRARY = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
const HOUR_SECONDS = 3600;
const STEPPED_MS = 3000;

class SteppingClock {
  readonly #directory = mkdtempSync(join(tmpdir(), "rhone-clock-"));
  readonly #file = join(this.#directory, "offset");
  readonly #variables: Readonly<Record<string, string>> = {
    LD_PRELOAD: LIBRARY,
    FAKETIME_TIMESTAMP_FILE: this.#file,
    FAKETIME_NO_CACHE: "1",
    FAKETIME_DONT_FAKE_MONOTONIC: "1",
    DONT_FAKE_MONOTONIC: "1",
  };

  step(seconds: number): void {
    writeFileSync(this.#file, `${seconds < 0 ? "-" : "+"}${Math.abs(seconds)}\n`);
  }

  /** Whatever starts from now on has this clock. */
  begin(): void {
    Object.assign(process.env, this.#variables);
  }

  end(): void {
    for (const name of Object.keys(this.#variables)) delete process.env[name];
  }

  dispose(): void {
    this.end();
    rmSync(this.#directory, { recursive: true });
  }
}

const clockSteps: Fault = {
  ...{ row: 10, name: "the clock of b steps by an hour, on and back", mayLose: false },
  writeTo: ["a", "b"],
  obstacle: () => (existsSync(LIBRARY) ? "" : "the Debian package libfaketime is missing"),
  arrange: async (rig) => {
    const clock = new SteppingClock();
    clock.step(0);
    await rig.fixture.crash("b", () => clock.begin());
    clock.end();
    return {
      inflict: () => stepOnAndBack(rig, clock),
      restore: async () => {
        await rig.fixture.crash("b");
        clock.dispose();
      },
    };
  },
};

async function stepOnAndBack(rig: Rig, clock: SteppingClock): Promise<string> {
  const real = await dateOf(rig, "b");
  for (const [seconds, first, second] of [
    [HOUR_SECONDS, "b", "a"],
    [-HOUR_SECONDS, "a", "b"],
  ] as const) {
    clock.step(seconds);
    await until("the clock has stepped", async () => {
      return Math.sign((await dateOf(rig, "b")) - real - seconds * 500) === Math.sign(seconds);
    });
    await changeInTurn(rig, first, second);
    await sleep(STEPPED_MS);
  }
  clock.step(0);
  return "who changes what it has seen wins";
}

/** By the chassis' own clock, as it says in the header of every answer. */
async function dateOf({ fixture }: Rig, name: string): Promise<number> {
  const { url } = fixture.running.chassis.find(({ process }) => process.name === name)!;
  const { headers } = await fetch(`${url}/healthz`);
  return Date.parse(headers.get("date")!);
}

/** Who has seen a change and changes it again wins, whatever the clocks say. */
async function changeInTurn({ fixture }: Rig, first: string, second: string): Promise<void> {
  for (const [chassis, description] of [
    [first, "first"],
    [second, "second"],
  ] as const) {
    const body = { kind: "switch", name: "in-turn", description };
    const { client } = fixture.chassis(chassis);
    succeeded(await client.request("PUT", "/v1/switches/in-turn", { body }));
    for (const name of CHASSIS) {
      await until(`${name} has the ${description} change, of ${chassis}`, async () => {
        const { body } = await fixture.chassis(name).client.request("GET", "/v1/switches/in-turn");
        return (body as { description?: string }).description === description;
      });
    }
  }
}

export const CLOCK_FAULTS: readonly Fault[] = [clockSteps];
