/**
 * Harm to a worker of a chassis that obeys worker-killer.ts, and how long it takes until another
 * one has its place.
 */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { HealthView, WorkersView } from "@rhone/api/context";
import type { ChassisProcess } from "@rhone/cli/chassis-process";

export interface Harm {
  readonly signal: "SIGUSR2" | "SIGPWR";
  /** What is said of it afterwards. */
  readonly detail: string;
  readonly noticedMs: number;
}

const REPLACED_MS = 1000;
/** On a machine that has more to do than this test. */
const SLACK_MS = 10_000;
/** Until a worker that died is replaced, and has all of its share again. */
export const REPLACED_MAX_MS = REPLACED_MS + SLACK_MS;
const POLL_MS = 5;

export const DEATH: Harm = { signal: "SIGUSR2", detail: "", noticedMs: 0 };
export const HANG: Harm = {
  signal: "SIGPWR",
  detail: "hung: not a loop in 5 seconds",
  noticedMs: 6000,
};

/**
 * Harms one of a chassis's workers; resolves when all run again, with the milliseconds that took.
 * `whileHarmed` is called when nobody has noticed yet.
 */
export async function harm(
  chassis: ChassisProcess,
  workers: number,
  what: Harm,
  whileHarmed: () => Promise<void> = async () => {},
): Promise<number> {
  const startedAt = performance.now();
  chassis.kill(what.signal);
  await whileHarmed();
  let hasSeenIt = false;
  for (;;) {
    const { body } = await chassis.client.request("GET", "/healthz");
    const check = (body as HealthView).checks.find(({ name }) => name === "workers")!;
    if (!check.ok) {
      hasSeenIt = true;
      assert.match(
        check.detail,
        new RegExp(`^${workers - 1} of ${workers} run; worker \\d died: ${what.detail}`),
      );
    } else if (hasSeenIt && (await chassis.client.get<WorkersView>("/v1/workers")).settled) {
      return performance.now() - startedAt;
    }
    const limitMs = what.noticedMs + REPLACED_MAX_MS;
    assert.ok(performance.now() - startedAt < limitMs, "not replaced in time");
    await sleep(POLL_MS);
  }
}
