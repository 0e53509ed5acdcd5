/** Ends of UDP flows in workloads, for tests that change rules under them. */
import { fileURLToPath } from "node:url";
import { runtimeCommand } from "@rhone/cli/runtime";
import type { LabFixture } from "./lab-fixture.ts";
import type { StreamCounts } from "./stream-tool.ts";
import { Tool } from "./tool.ts";
import { until } from "./until.ts";

export class Stream {
  readonly #tool: Tool;

  private constructor(tool: Tool) {
    this.#tool = tool;
  }

  /** `argv` is for stream-tool.ts; its socket is there when this resolves. */
  static async start(fixture: LabFixture, workload: string, ...argv: string[]): Promise<Stream> {
    const script = fileURLToPath(import.meta.resolve("./stream-tool.ts"));
    const command = [...runtimeCommand("node"), script, ...argv];
    const tool = new Tool(fixture.running.namespaceOf(workload), command);
    await tool.line();
    return new Stream(tool);
  }

  /** So far. */
  async counts(): Promise<StreamCounts> {
    return JSON.parse(await this.#tool.ask("counts")) as StreamCounts;
  }

  /** Resolves when so many more came than now. */
  async receives(more: number): Promise<void> {
    const { received } = await this.counts();
    await until(`${more} more datagrams`, async () => {
      return (await this.counts()).received >= received + more;
    });
  }

  kill(): Promise<void> {
    return this.#tool.kill();
  }
}

/** Runs `body`, and ends the streams that it started. */
export async function withStreams(
  fixture: LabFixture,
  body: (start: (workload: string, ...argv: string[]) => Promise<Stream>) => Promise<void>,
): Promise<void> {
  const streams: Stream[] = [];
  try {
    await body(async (workload, ...argv) => {
      const stream = await Stream.start(fixture, workload, ...argv);
      streams.push(stream);
      return stream;
    });
  } finally {
    await Promise.all(streams.map((stream) => stream.kill()));
  }
}
