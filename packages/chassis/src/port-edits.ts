/**
 * Which ports' rows a change of the state concerns, and the same change in what was compiled. Part
 * of a step from one compilation to the next, and pure but for what it is given to change.
 */
import { compareVersions, type LiveEntry } from "@rhone/state/record";
import type { Port } from "@rhone/state/schema";
import { get, type State } from "@rhone/state/state";
import type { Compilation, Self } from "./compile.ts";
import { compareCreation, type NamedPort, vifPort } from "./compile-ports.ts";

/** Rows that go, come or change. Those that go were the last ones, those that come are now. */
export interface PortEdits {
  /** By row, the last one first. */
  readonly removed: ReadonlyMap<number, NamedPort>;
  readonly replaced: ReadonlyMap<number, { readonly before: NamedPort; readonly after: NamedPort }>;
  /** By row, the last one last. */
  readonly added: ReadonlyMap<number, NamedPort>;
}

/** What was compiled last, and from what. */
export interface Last {
  readonly state: State;
  readonly self: Self;
  readonly compilation: Compilation;
}

/**
 * Brings `last.compilation.ports` up to date. Returns a reason when a full compilation would give
 * ports that did not change other rows or keys; the compilation is of no use then.
 */
export function editPorts(last: Last, state: State, self: Self): PortEdits | "order" | "keys" {
  const { ports } = last.compilation;
  const names = changedPorts(last, state, self);
  const sorted = sortOut(last.compilation, state, names);
  if (sorted === "order") return sorted;
  const { gone, kept, fresh } = sorted;
  if (!moveKeys(last, sorted)) return "keys";
  const rowOf = (entry: LiveEntry<Port>): NamedPort => {
    const key = ports.keys.get(entry.value.switch)!.of(entry.name)!;
    return vifPort(state, self, last.compilation.rows, entry, key);
  };
  const removed = new Map<number, NamedPort>();
  for (const row of gone) {
    const port = ports.rows.pop()!;
    ports.vifRows.delete(port.name);
    removed.set(row, port);
  }
  const replaced = new Map<number, { before: NamedPort; after: NamedPort }>();
  for (const [row, entry] of kept) {
    const before = ports.rows[row]!;
    const after = rowOf(entry);
    if (isSameRow(before, after)) continue;
    ports.rows[row] = after;
    replaced.set(row, { before, after });
  }
  const added = new Map<number, NamedPort>();
  for (const entry of fresh) {
    const row = ports.rows.length;
    const port = rowOf(entry);
    ports.rows.push(port);
    ports.vifRows.set(entry.name, row);
    added.set(row, port);
  }
  return { removed, replaced, added };
}

/** Names of ports of which anything may have changed that their rows are made from. */
function changedPorts(last: Last, state: State, self: Self): Set<string> {
  const names = new Set<string>();
  addChanged(names, last.state.ports, state.ports);
  addChanged(names, last.state.bindings, state.bindings);
  const [before, after] = [last.self.devices, self.devices];
  for (const name of [...before.keys(), ...after.keys()]) {
    if (before.get(name)?.index !== after.get(name)?.index) names.add(name);
  }
  return names;
}

/** Adds the names whose entries differ; both lists are sorted by name. */
function addChanged(
  names: Set<string>,
  before: readonly LiveEntry[],
  after: readonly LiveEntry[],
): void {
  if (before === after) return;
  let [from, to] = [0, 0];
  while (from < before.length || to < after.length) {
    const [old, now] = [before[from], after[to]];
    if (old === now) {
      from++;
      to++;
      continue;
    }
    const isOldFirst = now === undefined || (old !== undefined && old.name <= now.name);
    const isNowFirst = old === undefined || (now !== undefined && now.name <= old.name);
    names.add(isOldFirst ? old!.name : now!.name);
    if (isOldFirst) from++;
    if (isNowFirst) to++;
  }
}

interface Sorted {
  /** Rows, the last one first. */
  readonly gone: readonly number[];
  readonly kept: ReadonlyMap<number, LiveEntry<Port>>;
  /** In the order of their creation. */
  readonly fresh: readonly LiveEntry<Port>[];
}

function sortOut(
  { rows, ports }: Compilation,
  state: State,
  names: ReadonlySet<string>,
): Sorted | "order" {
  const gone: number[] = [];
  const kept = new Map<number, LiveEntry<Port>>();
  const fresh: LiveEntry<Port>[] = [];
  for (const name of names) {
    const row = ports.vifRows.get(name);
    const entry = get(state, "port", name);
    // A peer's merge can leave a port without its switch.
    const isThere = entry !== undefined && rows.datapaths.has(`switch/${entry.value.switch}`);
    if (isThere && row === undefined) fresh.push(entry);
    if (!isThere && row !== undefined) gone.push(row);
    if (!isThere || row === undefined) continue;
    if (compareVersions(entry.created, ports.rows[row]!.created) !== 0) return "order";
    kept.set(row, entry);
  }
  gone.sort((a, b) => b - a);
  fresh.sort(compareCreation);
  const count = ports.rows.length - gone.length;
  if (gone.some((row) => row < count)) return "order";
  const isBehind =
    fresh.length === 0 ||
    count === ports.firstVif ||
    compareCreation(ports.rows[count - 1]!, fresh[0]!) < 0;
  return isBehind ? { gone, kept, fresh } : "order";
}

/** False when other ports than those that changed would have other keys. */
function moveKeys({ state, compilation }: Last, { gone, kept, fresh }: Sorted): boolean {
  const { rows, ports } = compilation;
  const switchOf = (row: number): string => state.switches[ports.rows[row]!.datapath]!.name;
  const moved = [...kept].filter(
    ([row, { value }]) =>
      rows.datapaths.get(`switch/${value.switch}`) !== ports.rows[row]!.datapath,
  );
  for (const row of [...gone, ...moved.map(([row]) => row)]) {
    if (!ports.keys.get(switchOf(row))!.remove(ports.rows[row]!.name)) return false;
  }
  const coming = [...moved.map(([, entry]) => entry), ...fresh].sort(compareCreation);
  return coming.every((entry) => ports.keys.get(entry.value.switch)!.add(entry));
}

function isSameRow(a: NamedPort, b: NamedPort): boolean {
  return (
    a.datapath === b.datapath &&
    a.key === b.key &&
    a.location === b.location &&
    a.device === b.device &&
    a.macHigh === b.macHigh &&
    a.macLow === b.macLow &&
    a.isSecured === b.isSecured &&
    a.isUp === b.isUp &&
    a.addresses.length === b.addresses.length &&
    a.addresses.every((address, i) => address.every((word, k) => word === b.addresses[i]![k]))
  );
}
