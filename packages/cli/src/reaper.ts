/**
 * Removes a lab from the machine: its processes, namespaces and files. The same few lines of shell
 * run at a normal end, for what a dead lab left, and in a detached watcher that waits on a pipe
 * from the lab: when the lab is killed, however that is done, the pipe closes and the watcher
 * cleans up.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Writable } from "node:stream";
import { runOrThrow } from "./run.ts";
import { type LabRecord, runDirectory } from "./run-directory.ts";

// Every process in the lab's namespaces is the lab's: chassis, their children, programs and shells
// in workloads. A process that is just being born is found in the next round.
const CLEAN_UP = `
directory=$1; shift
round=0
while [ $round -lt 100 ]; do
  round=$((round + 1)); left=
  for namespace; do
    [ -e "/run/netns/$namespace" ] || continue
    processes=$(ip netns pids "$namespace" 2>/dev/null)
    if [ -n "$processes" ]; then left=yes; kill -KILL $processes 2>/dev/null; fi
  done
  [ -n "$left" ] || break
  sleep 0.02
done
for namespace; do
  [ ! -e "/run/netns/$namespace" ] || ip netns delete "$namespace"
done
rm -rf "$directory"
rmdir /run/rhone 2>/dev/null || true
`;
const WATCH = `read -r word || true
[ "$word" = released ] && exit 0
${CLEAN_UP}`;

export interface Reaper {
  /** Ends the watcher without cleaning up. */
  readonly release: () => Promise<void>;
}

/** Starts the watcher. It is in a session of its own: no Ctrl-C reaches it. */
export function startReaper(lab: Pick<LabRecord, "prefix" | "namespaces">): Reaper {
  const child = spawn("sh", ["-c", WATCH, "rhone-reaper", ...argumentsOf(lab)], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  const pipe = child.stdin as Writable;
  pipe.on("error", () => {});
  const exited = once(child, "exit");
  child.unref();
  return {
    release: async () => {
      child.ref();
      pipe.end("released\n");
      await exited;
    },
  };
}

/** Returns when nothing of the lab is left. */
export async function cleanUp(lab: Pick<LabRecord, "prefix" | "namespaces">): Promise<void> {
  await runOrThrow(["sh", "-c", CLEAN_UP, "rhone-clean-up", ...argumentsOf(lab)]);
}

function argumentsOf({ prefix, namespaces }: Pick<LabRecord, "prefix" | "namespaces">): string[] {
  return [runDirectory(prefix), ...namespaces];
}
