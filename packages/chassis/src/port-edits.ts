/**
 * Which ports' rows a change of the state concerns, and the same change in what was compiled. Part
 * of a step from one compilation to the next, and pure but for what it is given to change.
 */
import { claimsOf } from "@rhone/state/claim";
import { compareVersions, type LiveEntry } from "@rhone/state/record";
import type { Port, Resource } from "@rhone/state/schema";
import { get, type State } from "@rhone/state/state";
import type { Compilation, Self } from "./compile.ts";
import { type CompiledPorts, compareCreation, type NamedPort, vifPort } from "./compile-ports.ts";

/** What happens to the rows of ports. */
export interface PortEdits {
  /** With the rows that they had. */
  readonly removed: readonly { readonly row: number; readonly port: NamedPort }[];
  readonly replaced: readonly Replaced[];
  /** With the rows that they have now, in their order. */
  readonly added: readonly { readonly row: number; readonly port: NamedPort }[];
  /** By the row that a port had, the one that it has now; null when none that stays moves. */
  readonly moved: Int32Array | null;
}

export interface Replaced {
  /** The row that it had, and the one that it has now. */
  readonly oldRow: number;
  readonly row: number;
  readonly before: NamedPort;
  readonly after: NamedPort;
}

/** What was compiled last, and from what. */
export interface Last {
  readonly state: State;
  readonly self: Self;
  readonly compilation: Compilation;
}

/**
 * Brings `last.compilation.ports` up to date; null when ports that did not change would get other
 * keys by it, and then the compilation is of no use.
 */
export function editPorts(last: Last, state: State, self: Self): PortEdits | null {
  const { rows, ports } = last.compilation;
  const sorted = sortOut(last.compilation, state, changedPorts(last, state, self));
  if (!moveKeys(last, sorted)) return null;
  const { gone, kept, fresh } = sorted;
  const portOf = (entry: LiveEntry<Port>): NamedPort => {
    const key = ports.keys.get(entry.value.switch)!.of(entry.name)!;
    return vifPort(claimsOf(state, entry.name), self, rows, entry, key);
  };
  const removed = gone.map((row) => ({ row, port: ports.rows[row]! }));
  const changed = [...kept].flatMap(([oldRow, entry]) => {
    const [before, after] = [ports.rows[oldRow]!, portOf(entry)];
    if (isSameRow(before, after)) return [];
    ports.rows[oldRow] = after;
    return [{ oldRow, before, after }];
  });
  const moved = renumber(ports, gone, fresh.map(portOf));
  const replaced = changed.map((each) => ({ ...each, row: moved?.[each.oldRow] ?? each.oldRow }));
  const added = fresh.map(({ name }) => {
    const row = ports.vifRows.get(name)!;
    return { row, port: ports.rows[row]! };
  });
  return { removed, replaced, added, moved };
}

/** Takes ports out and in, in their order. Returns where those that stay went, null: nowhere. */
function renumber(
  ports: CompiledPorts,
  gone: readonly number[],
  fresh: readonly NamedPort[],
): Int32Array | null {
  const { rows, vifRows, firstVif } = ports;
  for (const row of gone) vifRows.delete(rows[row]!.name);
  const count = rows.length - gone.length;
  const isBehind =
    fresh.length === 0 || count === firstVif || compareCreation(rows[count - 1]!, fresh[0]!) < 0;
  if (gone.every((row) => row >= count) && isBehind) {
    rows.length = count;
    for (const port of fresh) vifRows.set(port.name, rows.push(port) - 1);
    return null;
  }
  const moved = new Int32Array(rows.length).fill(-1);
  for (let row = 0; row < firstVif; row++) moved[row] = row;
  const before = rows.splice(firstVif);
  const leaving = new Set(gone);
  let next = 0;
  for (const [i, port] of before.entries()) {
    if (leaving.has(firstVif + i)) continue;
    while (next < fresh.length && compareCreation(fresh[next]!, port) < 0)
      rows.push(fresh[next++]!);
    moved[firstVif + i] = rows.push(port) - 1;
  }
  while (next < fresh.length) rows.push(fresh[next++]!);
  for (let row = firstVif; row < rows.length; row++) vifRows.set(rows[row]!.name, row);
  return moved;
}

/** Names of ports of which anything may have changed that their rows are made from. */
function changedPorts(last: Last, state: State, self: Self): Set<string> {
  const names = new Set<string>();
  addChanged(names, last.state.ports, state.ports, ({ name }) => name);
  addChanged(names, last.state.bindings, state.bindings, ({ value }) => value.port);
  const [before, after] = [last.self.devices, self.devices];
  for (const name of [...before.keys(), ...after.keys()]) {
    if (before.get(name)?.index !== after.get(name)?.index) names.add(name);
  }
  return names;
}

/** Adds the ports whose entries differ; both lists are sorted by name. */
function addChanged<T extends Resource>(
  names: Set<string>,
  before: readonly LiveEntry<T>[],
  after: readonly LiveEntry<T>[],
  portOf: (entry: LiveEntry<T>) => string,
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
    names.add(portOf(isOldFirst ? old! : now!));
    if (isOldFirst) from++;
    if (isNowFirst) to++;
  }
}

interface Sorted {
  /** Rows. */
  readonly gone: readonly number[];
  /** By row. */
  readonly kept: ReadonlyMap<number, LiveEntry<Port>>;
  /** In the order of their creation. */
  readonly fresh: readonly LiveEntry<Port>[];
}

function sortOut({ rows, ports }: Compilation, state: State, names: ReadonlySet<string>): Sorted {
  const gone: number[] = [];
  const kept = new Map<number, LiveEntry<Port>>();
  const fresh: LiveEntry<Port>[] = [];
  for (const name of names) {
    const row = ports.vifRows.get(name);
    const entry = get(state, "port", name);
    // A peer's merge can leave a port without its switch.
    const isThere = entry !== undefined && rows.datapaths.has(`switch/${entry.value.switch}`);
    const stays =
      isThere &&
      row !== undefined &&
      compareVersions(entry.created, ports.rows[row]!.created) === 0;
    if (stays) kept.set(row, entry);
    if (!stays && row !== undefined) gone.push(row);
    if (!stays && isThere) fresh.push(entry);
  }
  return { gone, kept, fresh: fresh.sort(compareCreation) };
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

/** Labels are no word of a row, but rules ask for them. */
export function haveSameLabels(a: NamedPort, b: NamedPort): boolean {
  return a.labels === b.labels || JSON.stringify(a.labels) === JSON.stringify(b.labels);
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
    haveSameLabels(a, b) &&
    a.standby === b.standby &&
    a.addresses.length === b.addresses.length &&
    a.addresses.every((address, i) => address.every((word, k) => word === b.addresses[i]![k]))
  );
}
