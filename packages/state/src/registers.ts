/**
 * A document as registers: what two users change at the same time merges, unless it is the same
 * register. Run by the control thread.
 *
 *   description           a field is a register
 *   place                 fields that mean something only together are one
 *   routes/10.0.9.0~124   … so is each element of a list, under a key of its own
 *   routes                … and the order of the list, as the keys
 *   labels/app            an entry of a map is one, under its key; they have no order
 *
 * An element that was added at one chassis and one that was added at another are both there, also
 * when the order that won knows only one of them: the other follows at the end.
 */
import { compareText } from "./record.ts";
import { type Kind, SCHEMAS } from "./schema.ts";

export type Fields = Readonly<Record<string, unknown>>;
/** null is an element that was removed, or a field that was left out. */
export type Registers = ReadonlyMap<string, unknown>;

interface Shape {
  /** Maps whose entries are registers. */
  readonly maps?: readonly string[];
  /** Lists whose elements are registers, with what an element is called. */
  readonly lists?: Readonly<Record<string, Elements>>;
  /** Fields that are one register, by its name. */
  readonly groups?: Readonly<Record<string, readonly string[]>>;
}

interface Elements extends Shape {
  readonly keyOf: (element: unknown) => string;
}

const itself = (element: unknown): string => String(element);
const byFields =
  (...fields: readonly string[]) =>
  (element: unknown): string =>
    fields.map((field) => String((element as Fields)[field] ?? "")).join(" ");

/**
 * The kinds whose documents are more than one register. The others are replaced as a whole: half of
 * one rule and half of another would be a rule that nobody wrote.
 */
const SHAPES: Partial<Record<Kind, Shape>> = {
  switch: {},
  router: {
    lists: { ports: { keyOf: byFields("name") }, routes: { keyOf: byFields("prefix", "nextHop") } },
  },
  port: {
    lists: { addresses: { keyOf: itself } },
    maps: ["labels"],
    groups: { place: ["chassis", "gateway", "device", "driver", "migration"] },
  },
  "load-balancer": {
    lists: {
      switches: { keyOf: itself },
      vips: {
        keyOf: byFields("address", "protocol", "port"),
        lists: { backends: { keyOf: byFields("address", "port") } },
      },
    },
  },
  gateway: {
    lists: { members: { keyOf: byFields("chassis") }, witnesses: { keyOf: itself } },
  },
  dataplane: { lists: {} },
};

/** Whether a change of part of such a document is a change of some registers only. */
export function hasRegisters(kind: Kind): boolean {
  return SHAPES[kind] !== undefined;
}

/** The registers of a document; `kind` and `name`, which never change, are none. */
export function registersOf(kind: Kind, document: Fields): Registers {
  const registers = new Map<string, unknown>();
  const { kind: _kind, name: _name, ...fields } = document;
  spread(SHAPES[kind] ?? {}, fields, "", registers);
  return registers;
}

/** The document that registers are of: the inverse of `registersOf`. */
export function documentOf(kind: Kind, name: string, registers: Registers): Fields {
  return { kind, name, ...gather(SHAPES[kind] ?? {}, childrenOf(registers), "") };
}

/** What has to be written so that `before` becomes `after`. */
export function difference(before: Registers, after: Registers): Record<string, unknown> {
  const changed: Record<string, unknown> = {};
  for (const [register, value] of after) {
    const old = before.get(register);
    if (JSON.stringify(old) !== JSON.stringify(value)) changed[register] = value;
  }
  for (const [register, old] of before) {
    if (old !== null && !after.has(register)) changed[register] = null;
  }
  return changed;
}

/** `document` without the fields that its kind does not have here: those of a later version. */
export function knownFields(kind: Kind, document: Fields): Fields {
  const known = SCHEMAS[kind].shape;
  const fields = Object.entries(document).filter(([field]) => Object.hasOwn(known, field));
  return Object.fromEntries(fields);
}

/** What `knownFields` leaves out. */
export function unknownFields(kind: Kind, document: Fields): Fields {
  const known = SCHEMAS[kind].shape;
  const fields = Object.entries(document).filter(([field]) => !Object.hasOwn(known, field));
  return Object.fromEntries(fields);
}

function spread(shape: Shape, fields: Fields, at: string, into: Map<string, unknown>): void {
  const grouped = new Set<string>();
  for (const [group, members] of Object.entries(shape.groups ?? {})) {
    const present = members.filter((field) => fields[field] !== undefined);
    for (const field of present) grouped.add(field);
    const value = Object.fromEntries(present.map((field) => [field, fields[field]]));
    if (present.length > 0) into.set(at + group, value);
  }
  for (const [field, value] of Object.entries(fields)) {
    const elements = ownOf(shape.lists, field);
    if (grouped.has(field) || value === undefined) continue;
    if (shape.maps?.includes(field) && isMap(value)) {
      for (const [key, entry] of Object.entries(value)) {
        into.set(`${at}${field}/${escapeKey(key)}`, entry);
      }
      continue;
    }
    if (elements === undefined || !Array.isArray(value)) into.set(at + field, value);
    else spreadList(elements, value, at + field, into);
  }
}

function spreadList(
  elements: Elements,
  list: readonly unknown[],
  at: string,
  into: Map<string, unknown>,
): void {
  const keys = new Set<string>();
  for (const element of list) {
    const name = elements.keyOf(element);
    let key = name;
    for (let copy = 2; keys.has(key); copy++) key = `${name} #${copy}`;
    keys.add(key);
    const path = `${at}/${escapeKey(key)}`;
    if (elements.lists === undefined) into.set(path, element);
    else {
      const inner = Object.entries(element as Fields);
      const own = inner.filter(([field]) => ownOf(elements.lists, field) === undefined);
      into.set(path, Object.fromEntries(own));
      const lists = inner.filter(([field]) => ownOf(elements.lists, field) !== undefined);
      spread(elements, Object.fromEntries(lists), `${path}/`, into);
    }
  }
  into.set(at, [...keys]);
}

/** Registers by what they stand below: `a/b/c` is a child of `a/b`; the top has "". */
type Children = ReadonlyMap<string, readonly (readonly [path: string, value: unknown])[]>;

function childrenOf(registers: Registers): Children {
  const present = [...registers].filter(([, value]) => value !== null);
  return Map.groupBy(present, ([path]) => path.slice(0, Math.max(0, path.lastIndexOf("/"))));
}

function gather(shape: Shape, children: Children, at: string): Fields {
  const fields: Record<string, unknown> = {};
  for (const [path, value] of children.get(at) ?? []) {
    const field = at === "" ? path : path.slice(at.length + 1);
    if (ownOf(shape.groups, field) !== undefined) Object.assign(fields, value);
    else {
      const elements = ownOf(shape.lists, field);
      fields[field] =
        elements !== undefined && Array.isArray(value)
          ? gatherList(elements, value, children, path)
          : value;
    }
  }
  for (const field of shape.maps ?? []) {
    const path = at === "" ? field : `${at}/${field}`;
    const entries = children.get(path) ?? [];
    if (entries.length === 0) continue;
    const byKey = entries.map(
      ([entry, value]) => [unescapeKey(entry.slice(path.length + 1)), value] as const,
    );
    fields[field] = Object.fromEntries(byKey.sort(([a], [b]) => compareText(a, b)));
  }
  return fields;
}

function gatherList(
  elements: Elements,
  order: readonly unknown[],
  children: Children,
  at: string,
): unknown[] {
  const found = new Map((children.get(at) ?? []).map(([path, value]) => [path, value]));
  const ordered = order.map((key) => `${at}/${escapeKey(String(key))}`);
  const late = [...found.keys()].filter((path) => !ordered.includes(path)).sort(compareText);
  return [...new Set([...ordered, ...late])]
    .filter((path) => found.has(path))
    .map((path) => {
      const value = found.get(path);
      if (elements.lists === undefined) return value;
      return { ...(value as Fields), ...gather(elements, children, path) };
    });
}

/** As in a JSON Pointer (RFC 6901 §3). */
function escapeKey(key: string): string {
  return key.replaceAll("~", "~0").replaceAll("/", "~1");
}

function unescapeKey(key: string): string {
  return key.replaceAll("~1", "/").replaceAll("~0", "~");
}

function isMap(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function ownOf<T>(map: Readonly<Record<string, T>> | undefined, key: string): T | undefined {
  return map !== undefined && Object.hasOwn(map, key) ? map[key] : undefined;
}
