/**
 * Who listens on a TCP port, as far as /proc tells (proc(5), /proc/net/tcp): for error messages.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { createServer } from "node:net";

const STATE_LISTEN = "0A";

/** Fails with a message that says who holds the port, if a server cannot listen there. */
export async function assertPortIsFree(address: string, port: number): Promise<void> {
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host: address, port }, resolve);
    });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "EADDRINUSE") {
      throw new Error(`port ${port} at ${address} is taken by ${findPortHolder(port)}`);
    }
    throw new Error(`cannot listen on port ${port} at ${address}: ${message}`);
  }
  await new Promise<void>((resolve) => server.close(() => resolve()));
}

/** `process 123 (nats-server)`, or that it could not be found out. */
export function findPortHolder(port: number): string {
  const inodes = new Set([...listenerInodes("tcp", port), ...listenerInodes("tcp6", port)]);
  for (const pid of readNames("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    for (const descriptor of readNames(`/proc/${pid}/fd`)) {
      const inode = /^socket:\[(\d+)\]$/.exec(readLink(`/proc/${pid}/fd/${descriptor}`))?.[1];
      if (inode === undefined || !inodes.has(inode)) continue;
      return `process ${pid} (${readText(`/proc/${pid}/comm`).trim()})`;
    }
  }
  return "a process that this user cannot see";
}

function listenerInodes(table: "tcp" | "tcp6", port: number): string[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return readText(`/proc/net/${table}`)
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[1]?.endsWith(suffix) && fields[3] === STATE_LISTEN)
    .map((fields) => fields[9] ?? "");
}

// Processes end while we look at them, and some are not ours to see: nothing found is an answer.

function readNames(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function readLink(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
