/**
 * Whether rules and what they are about fit together: a rule's switch and port exist, and neither
 * goes away under a rule. Run by the control thread, as a part of `validate`.
 */
import type { Acl } from "./acl.ts";
import { type Problem, problem } from "./problem.ts";
import type { Entry, LiveEntry } from "./record.ts";
import { get, type State } from "./state.ts";

interface Proposal {
  readonly pointer: string;
  readonly entry: Entry;
}

/** What proposals of rules name and `after` does not have. */
export function checkAclReferences(after: State, { entry, pointer }: Proposal): Problem[] {
  const { value } = entry;
  if (value?.kind !== "acl") return [];
  if (get(after, "switch", value.switch) === undefined) {
    return [problem(`${pointer}/switch`, "the name of a switch that exists", value.switch)];
  }
  if (value.port === undefined || portSwitch(after, value.port) === value.switch) return [];
  return [problem(`${pointer}/port`, `the name of a port of switch ${value.switch}`, value.port)];
}

/** Ports that go away, or move to another switch, under a rule that no proposal is about. */
export function checkRuledPorts(
  before: State,
  after: State,
  proposals: readonly Proposal[],
): Problem[] {
  const leaving = proposals.filter(({ entry }) => {
    const from = entry.kind === "port" ? portSwitch(before, entry.name) : undefined;
    return from !== undefined && from !== portSwitch(after, entry.name);
  });
  if (leaving.length === 0) return [];
  const rules = Map.groupBy(unchangedAcls(after, proposals), ({ value }) => value.port);
  return leaving.flatMap(({ entry, pointer }) => {
    const from = portSwitch(before, entry.name);
    const left = (rules.get(entry.name) ?? []).filter(({ value }) => value.switch === from);
    if (left.length === 0) return [];
    const at = entry.value === null ? pointer : `${pointer}/switch`;
    const expected = `no rule left on port ${entry.name} of switch ${from}`;
    return [problem(at, expected, listed(left.map(({ name }) => `acl ${name}`)))];
  });
}

/** Rules that no proposal is about, by their switch. */
export function aclsBySwitch(
  after: State,
  proposals: readonly Proposal[],
): ReadonlyMap<string, readonly LiveEntry<Acl>[]> {
  return Map.groupBy(unchangedAcls(after, proposals), ({ value }) => value.switch);
}

/** The first three of many. */
export function listed(labels: readonly string[]): string {
  const shown = labels.slice(0, 3).join(", ");
  return labels.length > 3 ? `${shown} and ${labels.length - 3} more` : shown;
}

function unchangedAcls(after: State, proposals: readonly Proposal[]): LiveEntry<Acl>[] {
  const changed = new Set(proposals.map(({ entry }) => entry));
  return after.acls.filter((entry) => !changed.has(entry));
}

function portSwitch(state: State, name: string): string | undefined {
  return get(state, "port", name)?.value.switch;
}
