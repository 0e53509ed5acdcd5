/** `--wait [level]` of commands that write. */
import { LEVELS } from "@rhone/api/views";
import { Option } from "commander";

export interface WaitOptions {
  readonly wait?: string;
}

export function waitOption(): Option {
  const levels =
    "local: at the chassis that is asked, applied: at all that live, quorum: at most, on disk";
  return new Option("--wait [level]", `return when it is in force (${levels})`)
    .choices([...LEVELS])
    .preset("applied");
}

/** For the path of a request. */
export function waitQuery({ wait }: WaitOptions, timeoutMs?: number): string {
  if (wait === undefined) return "";
  return `?wait=${wait}${timeoutMs === undefined ? "" : `&timeout=${timeoutMs}`}`;
}
