/**
 * Keeps the host's own network stack from acting on frames that a port receives.
 *
 * A packet socket only gets a copy: the kernel would answer ARP a second time and route what is not
 * its own. A two-instruction program at the device's tcx ingress hook drops every frame there;
 * packet sockets tap before it, so the port still receives.
 */
import {
  ATTACH_TCX_INGRESS,
  createLink,
  exit,
  loadProgram,
  moveImmediate,
  PROG_TYPE_SCHED_CLS,
} from "./bpf.ts";
import { libc, NativeError } from "./native.ts";

const TC_ACT_SHOT = 2;

/**
 * Hides the device's frames from the host while the descriptor that is returned stays open. Returns
 * -1 where the kernel has no tcx (before 6.6): the port works there too, only less quietly.
 */
export function hideFromHost(device: number): number {
  try {
    const instructions = [moveImmediate(0, TC_ACT_SHOT), exit];
    const program = loadProgram(PROG_TYPE_SCHED_CLS, 0, instructions, "load the drop program");
    try {
      return createLink(program, device, ATTACH_TCX_INGRESS, 0, "attach the drop program");
    } finally {
      libc.close(program);
    }
  } catch (error) {
    if (error instanceof NativeError) return -1;
    throw error;
  }
}
