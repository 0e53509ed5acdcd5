/** Every fault that there is, by its row of docs/faults.md. */
import { PARTITION_FAULTS } from "./partitions.ts";
import { PROCESS_FAULTS } from "./processes.ts";
import type { Fault } from "./run-fault.ts";

export const FAULTS: readonly Fault[] = [...PROCESS_FAULTS, ...PARTITION_FAULTS];
