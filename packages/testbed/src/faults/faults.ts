/** Every fault that there is, by its row of docs/faults.md. */
import { CLOCK_FAULTS } from "./clock.ts";
import { HUB_FAULTS } from "./hubs.ts";
import { INTRUDER_FAULTS } from "./intruders.ts";
import { PARTITION_FAULTS } from "./partitions.ts";
import { PROCESS_FAULTS } from "./processes.ts";
import type { Fault } from "./run-fault.ts";
import { STATE_FILE_FAULTS } from "./state-files.ts";
import { VERSION_FAULTS } from "./versions.ts";
import { WRITE_FAULTS } from "./writes.ts";

export const FAULTS: readonly Fault[] = [
  ...[...PROCESS_FAULTS, ...HUB_FAULTS, ...PARTITION_FAULTS, ...CLOCK_FAULTS, ...STATE_FILE_FAULTS],
  ...[...INTRUDER_FAULTS, ...VERSION_FAULTS, ...WRITE_FAULTS],
].toSorted((a, b) => a.row - b.row);
