/** Every fault that there is, by its row of docs/faults.md. */
import { CLOCK_FAULTS } from "./clock.ts";
import { PARTITION_FAULTS } from "./partitions.ts";
import { PROCESS_FAULTS } from "./processes.ts";
import type { Fault } from "./run-fault.ts";
import { STATE_FILE_FAULTS } from "./state-files.ts";

export const FAULTS: readonly Fault[] = [
  ...PROCESS_FAULTS,
  ...PARTITION_FAULTS,
  ...CLOCK_FAULTS,
  ...STATE_FILE_FAULTS,
];
