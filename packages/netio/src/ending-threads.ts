/**
 * Threads that call the C library from code which is just being optimized, and end: 4 at a time.
 * Prints how many ended. A program for `native.test.ts`, as such a failure ends the process.
 */
import process from "node:process";
import { isMainThread, Worker } from "node:worker_threads";
import { finishCompiling, libc } from "./native.ts";

const THREADS = 120;
const AT_ONCE = 4;
/** Functions of a thread: the compiler is at some of them whenever the thread ends. */
const FUNCTIONS = 40;
const CALLS = 20;
const CALLS_IN_A_ROW = 12;
const SHORTEST_MS = 20;
const LONGEST_MS = 140;

if (isMainThread) {
  let begun = 0;
  let ended = 0;
  const next = (): void => {
    if (begun === THREADS) return;
    begun += 1;
    new Worker(new URL(import.meta.url)).on("exit", () => {
      ended += 1;
      if (ended === THREADS) process.stdout.write(`${ended} threads ended\n`);
      next();
    });
  };
  for (let i = 0; i < AT_ONCE; i++) next();
} else {
  const callers = Array.from({ length: FUNCTIONS }, () => caller());
  const end = performance.now() + SHORTEST_MS + Math.random() * (LONGEST_MS - SHORTEST_MS);
  while (performance.now() < end) for (const call of callers) call(CALLS);
  finishCompiling();
}

/** A function with code of its own, and enough calls in it that the compiler is busy with it. */
function caller(): (times: number) => number {
  const calls = "sum = (sum * 31 + close(-1)) | 0;\n".repeat(CALLS_IN_A_ROW);
  const make = new Function(
    "close",
    `return (times) => { let sum = 0; for (let i = 0; i < times; i++) { ${calls} } return sum; };`,
  );
  return make(libc.close);
}
