/** The check's findings as a table for humans. */

import type { CheckReport } from "./check.ts";
import type { Finding } from "./check-context.ts";
import { formatTable } from "./table.ts";

const TITLES = {
  router: "Routers",
  refused: "Must not pass",
  spoofed: "Spoofed",
} as const;

export function formatReport({ ok, durationMs, findings }: CheckReport): string {
  const parts = [formatPairs(findings.filter(({ group }) => group === "pair"))];
  for (const group of ["router", "refused", "spoofed"] as const) {
    const found = findings.filter((finding) => finding.group === group);
    if (found.length === 0) continue;
    // Where all went well, one line a kind of try is enough.
    const rows = [...Map.groupBy(found, summaryOf(group)).entries()].map(([name, tries]) => {
      const good = tries.filter((finding) => finding.ok).length;
      const first = tries.find((finding) => !finding.ok) ?? tries[0]!;
      const detail = good === tries.length && group !== "spoofed" ? "" : first.detail;
      return [`${mark(good === tries.length)} ${name}`, `${good}/${tries.length}`, detail];
    });
    parts.push(`${TITLES[group]}\n${formatTable(rows)}`);
  }
  const failed = findings.filter((finding) => !finding.ok);
  const verdict = ok ? "all passed" : `${failed.length} of ${findings.length} failed`;
  parts.push(
    failed
      .filter(({ group }) => group === "pair")
      .map(formatFailure)
      .join("\n"),
  );
  parts.push(`${findings.length} tries in ${(durationMs / 1000).toFixed(1)} s: ${verdict}`);
  return parts.filter((part) => part !== "").join("\n\n");
}

function formatPairs(findings: readonly Finding[]): string {
  const columns = [...new Set(findings.map(({ name }) => name))].toSorted();
  const rows = [...Map.groupBy(findings, ({ from, to }) => `${from} → ${to}`)].map(
    ([pair, tries]) => [
      pair,
      ...columns.map((name) => {
        const finding = tries.find((tried) => tried.name === name);
        return finding === undefined ? "–" : mark(finding.ok);
      }),
    ],
  );
  return rows.length === 0 ? "" : formatTable([["", ...columns], ...rows]);
}

function summaryOf(group: Finding["group"]): (finding: Finding) => string {
  return ({ name, from, to }) => (group === "spoofed" ? `${name}, ${from} to ${to}` : name);
}

function formatFailure({ name, from, to, detail }: Finding): string {
  return `✗ ${from} → ${to} ${name}: ${detail}`;
}

function mark(ok: boolean): string {
  return ok ? "✓" : "✗";
}
