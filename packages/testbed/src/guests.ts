/**
 * More cables between chassis and workloads than a lab lays, and what moves along them: a guest
 * that has one at two hosts, or two guests that take themselves for the same.
 */
import { runOrThrow } from "@rhone/cli/run";
import type { LabFixture } from "./lab-fixture.ts";

/** A veth pair: `device` at a chassis, `inner` in a workload's namespace. */
export interface Cable {
  readonly chassis: string;
  readonly device: string;
  readonly workload: string;
  readonly inner: string;
}

/** Lays a cable; `lines` are for `ip -batch` in the workload, once it is there. */
export async function layCable(
  fixture: LabFixture,
  { chassis, device, workload, inner }: Cable,
  lines: readonly string[],
): Promise<void> {
  const netns = fixture.running.namespaceOf(workload);
  await ip(fixture, chassis, [
    `link add ${device} mtu 1418 type veth peer name ${inner} mtu 1418 netns ${netns}`,
    `link set ${device} addrgenmode none up`,
  ]);
  await ip(fixture, workload, lines);
}

/** Lines for `ip -batch` in the namespace of a chassis or a workload. */
export async function ip(
  fixture: LabFixture,
  name: string,
  lines: readonly string[],
): Promise<void> {
  const input = lines.map((line) => `${line}\n`).join("");
  await runOrThrow(["ip", "-netns", fixture.running.namespaceOf(name), "-batch", "-"], { input });
}
