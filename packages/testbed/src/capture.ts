/** What a device really carries: tcpdump writes it down, tshark reads it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { runOrThrow } from "@rhone/cli/run";

/**
 * Bytes of the longest frame. tcpdump has as many places as its buffer has room for frames of the
 * length that it keeps, so its own default of 256 KiB makes it lose some under bulk.
 */
const SUPER_FRAME_MAX = 65_600;
/** After the last packet was sent, until tcpdump has it. */
const SETTLE_MS = 200;
const STRICT = ["ip", "tcp", "udp"].flatMap((protocol) => [
  "-o",
  `${protocol}.check_checksum:TRUE`,
]);
// What programs send is data, even when it looks like, or has the port of, a protocol. From 49152
// on are the outer source ports, by which tshark would judge first.
const PLAIN = ["udp.port==1-6080", "udp.port==6082-49151", "tcp.port==1-65535"].flatMap((ports) => [
  "-d",
  `${ports},data`,
]);

export interface CaptureOptions {
  readonly namespace: string;
  readonly device: string;
  /** For tcpdump; not "inbound", of which libpcap loses the first packet. */
  readonly filter: string;
  /** Bytes that are kept of each packet, all of a super-frame's when left out. */
  readonly snapLength?: number;
}

export interface Capture {
  /** One row a packet: the values of `fields` in their order, several of one field with commas. */
  readonly rows: (fields: readonly string[], displayFilter?: string) => Promise<string[][]>;
}

/**
 * Captures while `body` runs. The capture can be read until `read` has returned: its file is
 * removed then.
 */
export async function withCapture<T>(
  options: CaptureOptions,
  body: () => Promise<unknown>,
  read: (capture: Capture) => Promise<T>,
): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), "rhone-capture-"));
  const path = join(directory, "packets.pcap");
  try {
    const stop = await startCapture(options, path);
    try {
      await body();
      await sleep(SETTLE_MS);
    } finally {
      await stop();
    }
    return await read({ rows: (fields, filter) => readRows(path, fields, filter) });
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function startCapture(options: CaptureOptions, path: string): Promise<() => Promise<void>> {
  const { namespace, device, filter, snapLength = SUPER_FRAME_MAX } = options;
  const tcpdump = ["tcpdump", "-i", device, "-U", "--immediate-mode", "-B", "65536", "-Z", "root"];
  const kept = ["-s", String(snapLength)];
  const argv = ["netns", "exec", namespace, ...tcpdump, ...kept, "-w", path, filter];
  const child = spawn("ip", argv, { stdio: ["ignore", "ignore", "pipe"] });
  const exited = once(child, "exit");
  const said: string[] = [];
  const listening = Promise.withResolvers<void>();
  createInterface({ input: child.stderr }).on("line", (line) => {
    said.push(line);
    if (line.includes("listening on")) listening.resolve();
  });
  exited.then(() => listening.reject(new Error(`tcpdump: ${said.join("\n")}`)));
  await listening.promise;
  return async () => {
    child.kill("SIGINT");
    await exited;
    const lost = said.find((line) => /^[1-9]\d* packets? dropped by kernel/.test(line));
    if (lost !== undefined) throw new Error(`tcpdump: ${lost}`);
  };
}

async function readRows(
  path: string,
  fields: readonly string[],
  displayFilter: string | undefined,
): Promise<string[][]> {
  const columns = fields.flatMap((field) => ["-e", field]);
  const filter = displayFilter === undefined ? [] : ["-Y", displayFilter];
  const tshark = ["tshark", "-n", "-r", path, ...STRICT, ...PLAIN, ...filter];
  const printed = await runOrThrow([...tshark, "-T", "fields", ...columns]);
  return printed
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split("\t"));
}
