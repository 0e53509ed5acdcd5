/** What a thread has to do that has called C, before it ends: see `native-node.ts`. */
import { finishCompiling } from "./native.ts";

/** The thread's last words may follow, but nothing that is called often. */
export function prepareThreadEnd(): void {
  finishCompiling();
}
