/**
 * From one compilation to the next, when little has changed between their states: writes what is
 * new, and shares the rest. What comes of it is what `compile` makes of the new state, word for
 * word. Run by the control thread.
 */
import { compareVersions, type LiveEntry } from "@rhone/state/record";
import type { Switch } from "@rhone/state/schema";
import type { State } from "@rhone/state/state";
import { changeExactTable, type ExactEntry, type ExactImage } from "@rhone/tables/exact-table";
import type { PlainSection, TableImages } from "@rhone/tables/generation";
import {
  appendPorts,
  buildPorts,
  cutPorts,
  type PortAppenders,
  type PortImages,
  replacePorts,
} from "@rhone/tables/ports";
import { asShared } from "@rhone/tables/shared-words";
import {
  aclImages,
  type Compilation,
  groupImages,
  indexOf,
  placementImage,
  type Self,
} from "./compile.ts";
import { entriesOf, type NamedPort, type PortIndex } from "./compile-ports.ts";
import { editPorts, haveSameLabels, type Last, type PortEdits } from "./port-edits.ts";

/** Why a step cannot be taken. */
export const FULL_REASONS = {
  first: "there was nothing to go on from",
  networks: "a switch, router or load balancer changed",
  chassis: "another chassis came, went or changed",
  self: "this chassis has other keys for stamps or another MTU",
  keys: "a port's number in its switch is one that another port wants",
  failed: "the step failed, which is a mistake in it",
} as const satisfies Record<string, string>;
export type FullReason = keyof typeof FULL_REASONS;

/**
 * The next compilation, or why it takes a full one. Changes what `last` has of ports: that is of no
 * use afterwards, whatever is returned.
 */
export function compileStep(
  last: Last,
  state: State,
  self: Self,
  appenders: PortAppenders,
): Compilation | FullReason {
  const reason = reasonFor(last, state, self);
  if (reason !== null) return reason;
  const edits = editPorts(last, state, self);
  if (edits === null) return "keys";
  const { generation, rows, ports } = last.compilation;
  const { sections } = generation;
  const next = {
    ...sections,
    ...portSections(sections, edits, ports.rows, appenders),
    ...changedSections(sections, {
      ...(movesGroups(edits) ? groupImages(ports.rows, rows) : {}),
      ...(changesAcls(last, state, self, edits) ? aclImages(state, self, rows, ports) : {}),
      placement: placementImage(state, self, rows),
    }),
  };
  return {
    generation: { ...generation, generation: state.revision >>> 0, sections: next },
    ...{ rows, ports },
  };
}

function reasonFor(last: Last, state: State, self: Self): FullReason | null {
  const before = last.state;
  const areNetworksSame =
    areSwitchesAlike(before.switches, state.switches) &&
    areSame(before.routers, state.routers) &&
    areSame(before.loadBalancers, state.loadBalancers);
  if (!areNetworksSame) return "networks";
  if (!areSame(before.chassis, state.chassis)) return "chassis";
  const { name, tunnelMtu, keys } = last.self;
  const areKeysSame = keys?.made === self.keys?.made && keys?.epoch === self.keys?.epoch;
  return name === self.name && tunnelMtu === self.tunnelMtu && areKeysSame ? null : "self";
}

function areSame<T>(a: readonly T[], b: readonly T[]): boolean {
  return a === b || (a.length === b.length && a.every((entry, i) => entry === b[i]));
}

/** Whether tables have the same of all of them: what describes a switch is nothing to them. */
function areSwitchesAlike(
  a: readonly LiveEntry<Switch>[],
  b: readonly LiveEntry<Switch>[],
): boolean {
  const isAlike = (entry: LiveEntry<Switch>, other: LiveEntry<Switch>): boolean =>
    entry === other ||
    (entry.name === other.name &&
      compareVersions(entry.created, other.created) === 0 &&
      entry.value.maxStaleSeconds === other.value.maxStaleSeconds);
  return a === b || (a.length === b.length && a.every((entry, i) => isAlike(entry, b[i]!)));
}

/** The sections that have something of every port. */
function portSections(
  sections: TableImages,
  edits: PortEdits,
  rows: readonly NamedPort[],
  appenders: PortAppenders,
): PortImages & Record<Exclude<PortIndex, "ownAddresses">, ExactImage> {
  return {
    ...rowImages(sections, edits, rows, appenders),
    portByKey: changedIndex(sections, "portByKey", edits, rows),
    portByDevice: changedIndex(sections, "portByDevice", edits, rows),
    portByMac: changedIndex(sections, "portByMac", edits, rows),
    neighbours: changedIndex(sections, "neighbours", edits, rows),
  };
}

function rowImages(
  before: PortImages,
  { removed, replaced, added, moved }: PortEdits,
  rows: readonly NamedPort[],
  appenders: PortAppenders,
): PortImages {
  if (moved !== null) return buildPorts(rows);
  const count = rows.length - added.length;
  const kept = removed.length === 0 ? before : cutPorts(before, count);
  const after = new Map(replaced.map(({ row, after }) => [row, after]));
  const written = replaced.length === 0 ? kept : replacePorts(kept, after, appenders);
  // Where one has more addresses, those of all behind it move.
  if (written === null) return buildPorts(rows);
  return added.length === 0 ? written : appendPorts(written, rows.slice(count), appenders);
}

function changedIndex(
  sections: TableImages,
  index: PortIndex,
  { removed, replaced, added, moved }: PortEdits,
  rows: readonly NamedPort[],
): ExactImage {
  const old = removed.flatMap(({ row, port }) => entriesOf(index, port, row));
  const fresh = added.flatMap(({ row, port }) => entriesOf(index, port, row));
  for (const { oldRow, row, before, after } of replaced) {
    const [from, to] = [entriesOf(index, before, oldRow), entriesOf(index, after, row)];
    if (keysIn(from) === keysIn(to)) continue;
    old.push(...from);
    fresh.push(...to);
  }
  return changeExactTable(sections[index], old, fresh, moved) ?? indexOf(index, rows);
}

function keysIn(entries: readonly ExactEntry[]): string {
  return entries.map(({ key }) => key.join()).join();
}

/** Whether other ports or chassis get a copy of what is for many. */
function movesGroups({ removed, replaced, added }: PortEdits): boolean {
  if (removed.length > 0 || added.length > 0) return true;
  return replaced.some(
    ({ before, after }) =>
      before.datapath !== after.datapath ||
      before.location !== after.location ||
      before.device !== after.device,
  );
}

/** Whether other rules are in force, or one that is for a port finds another one, or none. */
function changesAcls(last: Last, state: State, self: Self, edits: PortEdits): boolean {
  if (!areSame(last.state.acls, state.acls)) return true;
  if (!areCountersSame(last.self.ruleCounters, self.ruleCounters)) return true;
  if (hasSelectors(state) && movesAddresses(edits)) return true;
  const isRuled = state.acls.some(({ value }) => value.port !== undefined);
  if (!isRuled || edits.moved !== null) return isRuled;
  const places = edits.replaced.filter(({ before, after }) => before.datapath !== after.datapath);
  const names = new Set([
    ...[...edits.removed, ...edits.added].map(({ port }) => port.name),
    ...places.map(({ after }) => after.name),
  ]);
  if (names.size === 0) return false;
  return state.acls.some(({ value }) => value.port !== undefined && names.has(value.port));
}

function hasSelectors({ acls }: State): boolean {
  return acls.some(({ value: { match } }) => {
    return match.sourceLabels !== undefined || match.destinationLabels !== undefined;
  });
}

/** Whether a label, or an address of who may have it, comes, goes or changes. */
function movesAddresses({ removed, replaced, added }: PortEdits): boolean {
  if (removed.length > 0 || added.length > 0) return true;
  return replaced.some(
    ({ before, after }) =>
      before.datapath !== after.datapath ||
      before.addresses.join(" ") !== after.addresses.join(" ") ||
      !haveSameLabels(before, after),
  );
}

function areCountersSame(a: Self["ruleCounters"], b: Self["ruleCounters"]): boolean {
  if (a === b) return true;
  return a.size === b.size && [...a].every(([name, counter]) => b.get(name) === counter);
}

/** Of the sections that were made anew, those that came out other than they were. */
function changedSections(
  sections: TableImages,
  made: Partial<Record<PlainSection, Int32Array>>,
): Partial<TableImages> {
  const entries = Object.entries(made) as [PlainSection, Int32Array][];
  const changed = entries.filter(([name, words]) => {
    const before = sections[name];
    return before.length !== words.length || before.some((word, i) => word !== words[i]);
  });
  return Object.fromEntries(changed.map(([name, words]) => [name, asShared(words)]));
}
