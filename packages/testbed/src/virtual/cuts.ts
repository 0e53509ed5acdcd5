/**
 * Cuts: packets that go on at another worker of their chassis in the middle of the pipeline, where
 * nothing but the test asks for it. What the stages do must not depend on it (S57).
 */
import type { Batch, Core } from "@rhone/pipeline-stages/core";
import { STAGES, type Stage } from "@rhone/pipeline-stages/pipeline";
import * as packet from "@rhone/rings/packet";
import type { Random } from "./random.ts";

/**
 * Stages that may be resumed. Not 2 and 11: rules follow the look-up at once, since the entry that
 * it found stays with the worker. Not 8: a packet that is resumed there has come to its chassis.
 */
export const CUT_STAGES: readonly number[] = [1, 4, 5, 7, 9, 10, 13];
/** Hand-offs that are left to the product itself. */
const HOPS_KEPT = 5;

/** Runs `body` while packets are cut at `stages`, some of them; `workersOf` counts a core's. */
export function withCuts(
  stages: readonly number[],
  random: Random,
  workersOf: (core: Core) => number,
  body: () => void,
): void {
  const mutable = STAGES as Stage[];
  const genuine = [...mutable];
  const underway = new Set<string>();
  for (const number of new Set(stages)) {
    const { run } = genuine[number]!;
    const cutAndRun = (core: Core, batch: Batch): void => {
      let kept = 0;
      for (let i = 0; i < batch.count; i++) {
        const slot = batch.slots[i]!;
        const mark = `${slot} ${number}`;
        const count = workersOf(core);
        const isCut =
          !underway.delete(mark) &&
          count > 1 &&
          packet.outPort(slot) !== packet.FLOOD &&
          packet.ringHopsLeft(slot) > HOPS_KEPT &&
          random.once(2);
        if (!isCut) {
          batch.slots[kept++] = slot;
          continue;
        }
        underway.add(mark);
        core.handOver(slot, (core.worker + 1 + random.below(count - 1)) % count, number);
      }
      batch.count = kept;
      run(core, batch);
    };
    mutable[number] = { ...genuine[number]!, run: cutAndRun };
  }
  try {
    body();
  } finally {
    for (const [number, stage] of genuine.entries()) mutable[number] = stage;
  }
}
