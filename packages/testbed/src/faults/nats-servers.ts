/** The nats-servers of a lab's chassis, and how to take them away so that they stay away. */
import { mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { HealthView } from "@rhone/api/context";
import type { ChassisProcess } from "@rhone/cli/chassis-process";
import { runOrThrow } from "@rhone/cli/run";

const VARIABLE = "RHONE_NATS_SERVER";

export class NatsServers {
  readonly #directory = mkdtempSync(join(tmpdir(), "rhone-nats-"));
  /** The chassis find their server by it. */
  readonly #link = join(this.#directory, "nats-server");
  readonly #before = process.env[VARIABLE];

  /** Before the lab is up. */
  async prepare(): Promise<void> {
    symlinkSync(this.#before ?? (await runOrThrow(["which", "nats-server"])).trim(), this.#link);
    process.env[VARIABLE] = this.#link;
  }

  /** When the lab is down. */
  dispose(): void {
    if (this.#before === undefined) delete process.env[VARIABLE];
    else process.env[VARIABLE] = this.#before;
    rmSync(this.#directory, { recursive: true });
  }

  /** Sends the server of a chassis a signal; resolves with its process id. */
  async signal(chassis: ChassisProcess, signal: NodeJS.Signals): Promise<number> {
    const pid = await this.pidOf(chassis);
    process.kill(pid, signal);
    return pid;
  }

  /** Throws when there is none. */
  async pidOf({ name, namespace }: ChassisProcess): Promise<number> {
    const pids = (await runOrThrow(["ip", "netns", "pids", namespace])).trim().split("\n");
    const server = pids.find((pid) => readCommand(pid) === "nats-server");
    if (server === undefined) throw new Error(`expected a nats-server of chassis ${name}`);
    return Number(server);
  }

  /** Kills those of `chassis`, and none can start any more. */
  async takeAway(chassis: readonly ChassisProcess[]): Promise<void> {
    renameSync(this.#link, `${this.#link}.away`);
    for (const process of chassis) await this.signal(process, "SIGKILL");
  }

  giveBack(): void {
    renameSync(`${this.#link}.away`, this.#link);
  }
}

/** Whether a chassis says that its server works. */
export async function serverWorks({ client }: ChassisProcess): Promise<boolean> {
  const { body } = await client.request("GET", "/healthz");
  return (body as HealthView).checks.find(({ name }) => name === "nats")!.ok;
}

/** "" when it has just ended. */
function readCommand(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "";
  }
}
