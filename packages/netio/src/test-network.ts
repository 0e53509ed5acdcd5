/**
 * Network namespaces for tests, with veth pairs between them. Sockets stay in the namespace that
 * they were opened in, so one test holds ports in several. Run by tests only; needs root.
 */
import assert from "node:assert/strict";
import { execFileSync, type SpawnSyncReturns, spawn, spawnSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { check, libc } from "./native.ts";

const SYS_SETNS = process.arch === "arm64" ? 268n : 308n;
const SYS_UNSHARE = process.arch === "arm64" ? 97n : 272n;
const CLONE_NEWNET = 0x4000_0000n;

const PREFIX = `rhone-netio-${process.pid}-`;
// Waits on a pipe that this process holds, so it cleans up also after a process that was killed.
const WATCH = `
cat >/dev/null
for namespace in $(ip netns list | cut -d " " -f 1); do
  case $namespace in "$1"*)
    processes=$(ip netns pids "$namespace")
    [ -z "$processes" ] || kill -KILL $processes
    ip netns delete "$namespace"
  esac
done`;

let networks = 0;

function startWatcher(): void {
  const watcher = spawn("sh", ["-c", WATCH, "rhone-test-watcher", PREFIX], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  watcher.unref();
  (watcher.stdin as unknown as { unref(): void }).unref();
}

export class TestNetwork {
  readonly #prefix = `${PREFIX}${networks++}`;
  readonly #namespaces: string[] = [];

  constructor() {
    if (networks === 1) startWatcher();
  }

  /** Makes a quiet namespace: no IPv6 unless asked for, as it talks by itself. Returns its name. */
  namespace(label: string, hasIpv6 = false): string {
    const name = `${this.#prefix}-${label}`;
    ip("netns", "add", name);
    this.#namespaces.push(name);
    if (!hasIpv6) {
      for (const which of ["all", "default"]) {
        const setting = `/proc/sys/net/ipv6/conf/${which}/disable_ipv6`;
        this.run(name, "sh", "-c", `echo 1 > ${setting}`);
      }
    }
    ip("-n", name, "link", "set", "lo", "up");
    return name;
  }

  /** Joins two devices, one in each namespace, and switches both on. */
  veth(left: string, leftDevice: string, right: string, rightDevice: string): void {
    const peer = ["peer", "name", rightDevice, "netns", right];
    ip("-n", left, "link", "add", leftDevice, "type", "veth", ...peer);
    ip("-n", left, "link", "set", leftDevice, "up");
    ip("-n", right, "link", "set", rightDevice, "up");
  }

  /** Runs a command in a namespace and throws when it fails. */
  run(namespace: string, ...command: string[]): string {
    return ip("netns", "exec", namespace, ...command);
  }

  /** Runs a command in a namespace, whatever comes of it. */
  try(namespace: string, ...command: string[]): SpawnSyncReturns<string> {
    return spawnSync("ip", ["netns", "exec", namespace, ...command], {
      encoding: "utf8",
      timeout: 10_000,
    });
  }

  /** Calls `open` with this thread in a namespace, then comes back. */
  inside<T>(namespace: string, open: () => T): T {
    const home = openSync("/proc/thread-self/ns/net", "r");
    const there = openSync(`/run/netns/${namespace}`, "r");
    try {
      enter(there);
      return open();
    } finally {
      enter(home);
      closeSync(there);
      closeSync(home);
    }
  }

  /** Removes every namespace, and with them their devices. */
  close(): void {
    for (const name of this.#namespaces.splice(0)) spawnSync("ip", ["netns", "del", name]);
  }
}

/**
 * Puts this thread, and the threads and processes that it starts from now on, into a network
 * namespace of their own: nobody else has it, and it goes when they do.
 */
export function enterOwnNetwork(): void {
  check(libc.syscall(SYS_UNSHARE, CLONE_NEWNET, 0n, 0n), "unshare");
  ip("link", "set", "lo", "up");
}

export function ip(...command: string[]): string {
  return execFileSync("ip", command, { encoding: "utf8", timeout: 10_000, stdio: "pipe" });
}

/** Calls `step` until it says true; fails when that takes longer than `timeoutMs`. */
export function until(what: string, step: () => boolean, timeoutMs = 5000): void {
  const end = performance.now() + timeoutMs;
  while (!step()) {
    assert.ok(performance.now() < end, `expected ${what} within ${timeoutMs} ms`);
    libc.poll(0n, 0, 1);
  }
}

function enter(descriptor: number): void {
  check(libc.syscall(SYS_SETNS, BigInt(descriptor), CLONE_NEWNET, 0n), "setns");
}
