/** What a lab needs of the machine, checked before anything is built. */
import { accessSync, constants } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { UserError } from "./user-error.ts";

export interface Needs {
  readonly usesXdp: boolean;
  readonly usesPing: boolean;
}

const KERNEL_MIN = { major: 5, minor: 10 };

/** Throws UserError with everything that is missing and what to do about it. */
export function checkRequirements(needs: Needs): void {
  const missing = [
    ...checkUser(process.platform, process.geteuid?.()),
    ...checkKernel(release()),
    ...checkPrograms(needs, process.env["PATH"] ?? ""),
  ];
  if (missing.length > 0) throw new UserError(missing.join("\n"));
}

export function checkUser(platform: string, user: number | undefined): string[] {
  if (platform !== "linux") return [`expected Linux, got ${platform}: use a virtual machine`];
  if (user === 0) return [];
  return [`expected to run as root, got user ${user}: namespaces need it, try "sudo"`];
}

/** `version` is that of uname(2): "6.1.0-13-amd64". */
export function checkKernel(version: string): string[] {
  const [major = 0, minor = 0] = version.split(".").map((part) => Number.parseInt(part, 10));
  const isOld =
    major < KERNEL_MIN.major || (major === KERNEL_MIN.major && minor < KERNEL_MIN.minor);
  if (!isOld) return [];
  return [`expected Linux ${KERNEL_MIN.major}.${KERNEL_MIN.minor} or later, got ${version}`];
}

export function checkPrograms({ usesXdp, usesPing }: Needs, path: string): string[] {
  const packages = {
    ip: "iproute2",
    "nats-server": "nats-server",
    ...(usesXdp ? { ethtool: "ethtool" } : {}),
    ...(usesPing ? { ping: "iputils-ping" } : {}),
  };
  return Object.entries(packages)
    .filter(([program]) => !isOnPath(program, path))
    .map(([program, name]) => {
      return `expected the program "${program}" in ${path}: run scripts/setup (package ${name})`;
    });
}

function isOnPath(program: string, path: string): boolean {
  return path.split(":").some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
