/**
 * Has the engine put more functions into each other. A packet goes through a chain of small ones,
 * and V8 stops at a size that is made for programs that do many things: a fifth of the fast path
 * was calls.
 */
import { setFlagsFromString } from "node:v8";

/** Bytes of bytecode that one function may take in; 920 unless told otherwise. */
const INLINED_MAX = 4000;

/** For the whole process, and what is compiled from now on. */
export function inlineMore(): void {
  setFlagsFromString(`--max-inlined-bytecode-size-cumulative=${INLINED_MAX}`);
}
