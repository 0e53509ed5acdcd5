/** A program in a namespace that prints lines, and ends when its standard input does. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

export class Tool {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(namespace: string, command: readonly string[]) {
    const argv = ["netns", "exec", namespace, ...command];
    this.#child = spawn("ip", argv, { stdio: ["pipe", "pipe", "inherit"] });
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  /** The next one that it prints. */
  async line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error("expected a line of the program, but it ended");
    return value;
  }

  /** Writes it a line; resolves with the next one that it prints. */
  ask(text: string): Promise<string> {
    this.#child.stdin!.write(`${text}\n`);
    return this.line();
  }

  /** Tells it to end; resolves with its last line. */
  end(): Promise<string> {
    this.#child.stdin!.end();
    return this.line();
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exited;
  }
}
