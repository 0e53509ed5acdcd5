/** A workload of a running lab as the check sees it: its namespace and the agent in it. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import type { Workload } from "./lab-file.ts";
import { runtimeCommand, scriptPath } from "./runtime.ts";
import type { AgentAnswer, AgentRequest } from "./workload-agent.ts";

export class WorkloadAgent {
  readonly workload: Workload;
  readonly namespace: string;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #waiting = new Map<number, (answer: AgentAnswer) => void>();
  readonly #ready: Promise<void>;
  #lastId = 0;
  #ended: AgentAnswer | null = null;

  constructor(workload: Workload, namespace: string) {
    this.workload = workload;
    this.namespace = namespace;
    const script = [...runtimeCommand("node"), scriptPath("./workload-agent.ts")];
    this.#child = spawn("ip", ["netns", "exec", namespace, ...script], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#child.stdin.on("error", () => {}); // It ended: said by the failed requests.
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#ready = promise;
    promise.catch(() => {}); // Reported by `ready`.
    createInterface({ input: this.#child.stdout }).on("line", (line) => {
      const message = JSON.parse(line) as AgentAnswer & { ready?: boolean; id: number };
      if (message.ready) resolve();
      else this.#waiting.get(message.id)?.(message);
    });
    this.#child.on("exit", (code, signal) => {
      const detail = `the agent of ${workload.name} ended (${signal ?? code})`;
      this.#ended = { ok: false, detail };
      reject(new Error(detail));
      for (const settle of this.#waiting.values()) settle(this.#ended);
    });
  }

  /** Resolves when the agent's servers listen. */
  ready(): Promise<void> {
    return this.#ready;
  }

  /** Never rejects: what goes wrong is an answer. */
  async ask(request: AgentRequest): Promise<AgentAnswer> {
    if (this.#ended !== null) return this.#ended;
    const id = ++this.#lastId;
    const { promise, resolve } = Promise.withResolvers<AgentAnswer>();
    this.#waiting.set(id, resolve);
    this.#child.stdin.write(JSON.stringify({ id, request }) + "\n");
    const answer = await promise;
    this.#waiting.delete(id);
    return answer;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, "exit");
    this.#child.stdin.end();
    await exited;
  }

  /** The first address of a family. */
  address(family: 4 | 6): string | undefined {
    return this.workload.addresses.find((address) => address.family === family)?.address;
  }

  gateway(family: 4 | 6): string | undefined {
    return this.workload.addresses.find((address) => address.family === family)?.gateway;
  }
}
