/**
 * Takes packets away in a namespace, by the kernel's packet filter (nft): before any program there
 * gets them, and nobody is told.
 */
import { runOrThrow } from "@rhone/cli/run";

const TABLE = "inet rhone_fault";

export interface Loss {
  /** An IPv4 address. */
  readonly from: string;
  /** "tcp" is what chassis talk to each other over, "udp" their tunnel. */
  readonly protocol: "tcp" | "udp";
  readonly percent: number;
}

/** From now on the namespace loses these, and nothing else. */
export async function lose(namespace: string, losses: readonly Loss[]): Promise<void> {
  const rules = losses.map(({ from, protocol, percent }) => {
    const chance = percent === 100 ? "" : `numgen random mod 100 < ${percent} `;
    return `    ip saddr ${from} meta l4proto ${protocol} ${chance}drop`;
  });
  const input = [
    `table ${TABLE}`, // Makes it, so that there is one to delete.
    `delete table ${TABLE}`,
    `table ${TABLE} {`,
    "  chain input {",
    "    type filter hook input priority 0",
    ...rules,
    "  }",
    "}",
    "",
  ].join("\n");
  await runOrThrow(["ip", "netns", "exec", namespace, "nft", "-f", "-"], { input });
}

/** What came of `lose` is over. */
export function loseNothing(namespace: string): Promise<void> {
  return lose(namespace, []);
}
