/** TCP streams of iperf3 between workloads, kept going while a test does something. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import type { LabFixture } from "./lab-fixture.ts";

/** Between two looks at whether the stream goes on, and how many there are. */
const LOOK_MS = 50;
const LOOKS_MAX = 400;

export interface StreamOptions {
  readonly from: string;
  /** The workload that hears, one of its own for each stream, and its address. */
  readonly to: string;
  readonly address: string;
  readonly megabitsPerSecond: number;
  /** Whether the one who hears sends, to the one who asks for it. */
  readonly isReverse?: boolean;
}

export interface StreamReport {
  readonly streams: readonly {
    /** That the client has sent, all in all. */
    readonly bytes: number;
    /** Why the client ended; "" as it was told to. */
    readonly failure: string;
  }[];
  /** Of all TCP of the workloads while the test did something. */
  readonly tcp: {
    /**
     * Segments that came before one that was sent earlier, as it was lost or overtaken. A sender
     * repeats more than that: what is late for it, too.
     */
    readonly outOfOrder: number;
    /** Connections of either end that were reset. */
    readonly resets: number;
  };
}

/** How iperf3 3.12 says that it was told to end by SIGINT. */
const TOLD_TO_END = "interrupt - the client has terminated";

interface ClientReport {
  readonly end: { readonly sum_sent?: { readonly bytes: number } };
  readonly error?: string;
}

/**
 * What became of the streams while `body` ran. `body` gets a function that resolves when segments
 * of each have come since it was called, and throws when none do.
 */
export async function withStreams(
  fixture: LabFixture,
  streams: readonly StreamOptions[],
  body: (goOn: () => Promise<void>) => Promise<void>,
): Promise<StreamReport> {
  const workloads = [...new Set(streams.flatMap(({ from, to }) => [from, to]))];
  const children: ChildProcess[] = [];
  try {
    for (const { to } of streams) {
      const server = start(fixture, to, ["--server", "--one-off", "--forceflush"]);
      children.push(server);
      await Promise.race([once(server.stdout!, "data"), failed(server)]);
    }
    const clients = streams.map(({ from, address, megabitsPerSecond, isReverse }) => {
      const direction = isReverse === true ? ["--reverse"] : [];
      const rate = ["--bitrate", `${megabitsPerSecond}M`, "--time", "0", ...direction];
      return start(fixture, from, ["--client", address, ...rate, "--json"]);
    });
    children.push(...clients);
    const said = clients.map(({ stdout }) => text(stdout!));
    const goOn = async (): Promise<void> => {
      await Promise.all(streams.map((stream) => goesOn(fixture, stream)));
    };
    await goOn();
    const before = await sumOfFigures(fixture, workloads);
    await body(goOn);
    const after = await sumOfFigures(fixture, workloads);
    for (const client of clients) client.kill("SIGINT");
    return {
      streams: (await Promise.all(said)).map((json) => {
        const { end, error } = JSON.parse(json) as ClientReport;
        const failure = error === TOLD_TO_END ? "" : (error ?? "it ended by itself");
        return { bytes: end.sum_sent?.bytes ?? 0, failure };
      }),
      tcp: {
        outOfOrder: after.outOfOrder - before.outOfOrder,
        resets: after.resets - before.resets,
      },
    };
  } finally {
    for (const child of children) await end(child);
  }
}

async function goesOn(fixture: LabFixture, { from, to }: StreamOptions): Promise<void> {
  const before = (await tcpFigures(fixture, to)).segments;
  const hasCome = async () => (await tcpFigures(fixture, to)).segments > before;
  if (await comesTrue(hasCome)) return;
  throw new Error(`expected segments from ${from} to come to ${to}, got none`);
}

async function comesTrue(condition: () => Promise<boolean>): Promise<boolean> {
  for (let look = 0; look < LOOKS_MAX; look++) {
    if (await condition()) return true;
    await sleep(LOOK_MS);
  }
  return false;
}

/** `ip netns exec` becomes the program: a signal to it reaches iperf3. */
function start(fixture: LabFixture, workload: string, argv: readonly string[]): ChildProcess {
  const inside = ["netns", "exec", fixture.running.namespaceOf(workload)];
  return spawn("ip", [...inside, "iperf3", ...argv], { stdio: ["ignore", "pipe", "ignore"] });
}

async function failed(child: ChildProcess): Promise<never> {
  const [code] = await once(child, "exit");
  throw new Error(`expected iperf3 to listen, got exit status ${code}`);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
}

interface TcpFigures {
  readonly segments: number;
  readonly outOfOrder: number;
  readonly resets: number;
}

/** Of a workload's kernel: RFC 4022, and Linux's snmp_counter document. */
async function tcpFigures(fixture: LabFixture, workload: string): Promise<TcpFigures> {
  const files = ["/proc/self/net/snmp", "/proc/self/net/netstat"];
  const { stdout } = await fixture.run(workload, "cat", ...files);
  const figure = (group: string, name: string): number => {
    const lines = stdout.split("\n").filter((line) => line.startsWith(`${group}: `));
    const column = lines[0]?.split(" ").indexOf(name) ?? -1;
    if (column < 0) throw new Error(`expected ${name} of ${group} in ${files}, got none`);
    return Number(lines[1]!.split(" ")[column]);
  };
  return {
    segments: figure("Tcp", "InSegs"),
    outOfOrder: figure("TcpExt", "TCPOFOQueue"),
    resets: figure("Tcp", "EstabResets"),
  };
}

async function sumOfFigures(
  fixture: LabFixture,
  workloads: readonly string[],
): Promise<TcpFigures> {
  const all = await Promise.all(workloads.map((workload) => tcpFigures(fixture, workload)));
  const sum = (name: keyof TcpFigures): number =>
    all.reduce((total, figures) => total + figures[name], 0);
  return {
    ...{ segments: sum("segments"), outOfOrder: sum("outOfOrder"), resets: sum("resets") },
  };
}
