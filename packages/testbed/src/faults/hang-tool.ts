/**
 * A program that makes the main thread of a Node process in the same network namespace hang, and
 * that thread alone: by the inspector, as a debugger would.
 *
 *   hang-tool.ts PID MILLISECONDS
 */
import { setTimeout as sleep } from "node:timers/promises";

const INSPECTOR = "http://127.0.0.1:9229/json/list";
const OPENS_MS = 5000;
const POLL_MS = 20;

const [pid, hangMs] = process.argv.slice(2).map(Number);

/** Where the inspector listens, once it does. */
async function open(): Promise<string> {
  process.kill(pid!, "SIGUSR1");
  const deadline = performance.now() + OPENS_MS;
  for (;;) {
    try {
      const targets = (await (await fetch(INSPECTOR)).json()) as { webSocketDebuggerUrl: string }[];
      return targets[0]!.webSocketDebuggerUrl;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(POLL_MS);
    }
  }
}

const socket = new WebSocket(await open());
const answered = Promise.withResolvers<void>();
socket.onmessage = () => answered.resolve();
socket.onerror = () => answered.reject(new Error("expected the inspector to answer"));
socket.onopen = () => {
  const expression = `for (const end = Date.now() + ${hangMs}; Date.now() < end; );`;
  socket.send(JSON.stringify({ id: 1, method: "Runtime.evaluate", params: { expression } }));
};
await answered.promise;
socket.close();
