/** What users of a simulation do: put and delete documents of a few kinds, at any chassis. */
import type { Change, Store } from "@rhone/state/store";
import type { Plan, PlannedGateway } from "./plan.ts";
import type { World } from "./world.ts";

/** How likely each is; what is left is a put of a switch. */
export interface Habits {
  readonly meanMs: number;
  readonly names: number;
  readonly deleteRate: number;
  readonly portRate: number;
  readonly ruleRate: number;
  readonly manyRate: number;
  /** Of documents that one chassis alone writes. */
  readonly soleRate: number;
}

const MANY_MAX = 6;
/** Of wishes about ports whose devices come and go, where there are gateways. */
const GATEWAY_RATE = 0.3;
/** The switch of all guests. */
const GUESTS = "guests";

/** One transaction at chassis `at`, which refuses it when it contradicts the state there. */
export function wish(world: World, habits: Habits, at: string, store: Store): Change[] {
  const count = world.chance(habits.manyRate) ? 2 + Math.floor(world.random() * (MANY_MAX - 1)) : 1;
  const changes = new Map<string, Change>();
  for (let i = 0; i < count; i++) {
    const change = world.chance(habits.soleRate)
      ? wishSole(world, habits, at, store)
      : wishOne(world, habits, store);
    changes.set(keyOfChange(change), change);
  }
  return [...changes.values()];
}

/** Ports whose devices come and go. */
export function guestPorts({ guestCount, gateways }: Plan): readonly string[] {
  const guests = Array.from({ length: guestCount }, (_, number) => guestName(number));
  return [...guests, ...gateways.map(({ name }) => outsideName(name))];
}

/** One transaction about a port of these, or about the gateway that has it. */
export function wishOfGuest(world: World, plan: Plan, store: Store): Change[] {
  const gateway = world.pick(plan.gateways);
  const isOfGateway = plan.guestCount === 0 || world.chance(GATEWAY_RATE);
  if (gateway !== undefined && isOfGateway) return wishGateway(world, gateway);
  return wishGuest(world, plan.guestCount, store);
}

function guestName(number: number): string {
  return `guest${number}`;
}

/** Where a guest's port may be, and that it moves. */
function wishGuest(world: World, guestCount: number, store: Store): Change[] {
  const name = guestName(Math.floor(world.random() * guestCount));
  const { ports, chassis } = store.snapshot();
  const before = ports.find((entry) => entry.name === name)?.value;
  const common = { kind: "port" as const, name, switch: GUESTS, addresses: [], device: name };
  const at = world.pick(chassis)?.name ?? name;
  const changes = [put({ kind: "switch", name: GUESTS })];
  const draw = world.random();
  const { chassis: source, migration } = before ?? {};
  if (before !== undefined && draw < 0.1) return [{ op: "delete", kind: "port", name }];
  if (migration !== undefined && draw < 0.8) {
    // The move is done, or taken back.
    changes.push(put({ ...common, chassis: draw < 0.6 ? migration.chassis : source! }));
  } else if (source !== undefined && source !== at && draw < 0.7) {
    const move = world.chance(0.2) ? { chassis: at, activate: true } : { chassis: at };
    changes.push(put({ ...common, chassis: source, migration: move }));
  } else changes.push(put(world.chance(0.5) ? common : { ...common, chassis: at }));
  return changes;
}

/** The port that a gateway has to the outside. */
export function outsideName(gateway: string): string {
  return `outside-${gateway}`;
}

/** Who is preferred, and who is to be taken down. */
function wishGateway(world: World, { name, members, witnesses }: PlannedGateway): Change[] {
  const isRanked = world.chance(0.5);
  const port = outsideName(name);
  const gateway = {
    ...{ kind: "gateway" as const, name, witnesses },
    members: members.map((chassis) => {
      const priority = isRanked ? Math.floor(world.random() * 3) : 0;
      return world.chance(0.2) ? { chassis, priority, drained: true } : { chassis, priority };
    }),
  };
  const outside = { kind: "port" as const, name: port, switch: GUESTS, addresses: [] };
  const common = put({ kind: "switch", name: GUESTS });
  return [common, put(gateway), put({ ...outside, device: port, gateway: name })];
}

/** What it is about, as `kind/name`. */
export function keyOfChange(change: Change): string {
  const { kind, name } = change.op === "delete" ? change : (change.document as Named);
  return `${kind}/${name}`;
}

/** Whether only the chassis `at` writes it. */
export function isSole(key: string, at: string): boolean {
  return key === `switch/own-${at}`;
}

interface Named {
  readonly kind: string;
  readonly name: string;
}

function wishSole(world: World, habits: Habits, at: string, store: Store): Change {
  const name = `own-${at}`;
  const isThere = store.snapshot().switches.some((entry) => entry.name === name);
  if (isThere && world.chance(habits.deleteRate)) return { op: "delete", kind: "switch", name };
  return put({ kind: "switch", name, description: words(world) });
}

function wishOne(world: World, habits: Habits, store: Store): Change {
  const { deleteRate, portRate, ruleRate, names } = habits;
  const { switches, ports, acls } = store.snapshot();
  const common = switches.filter((entry) => !entry.name.startsWith("own-"));
  const draw = world.random();
  const number = Math.floor(world.random() * names);
  const known = world.pick(common)?.name;
  if (draw < deleteRate) {
    const victim = world.pick([...common, ...ports, ...acls]);
    if (victim !== undefined) return { op: "delete", kind: victim.kind, name: victim.name };
  } else if (known !== undefined && draw < deleteRate + portRate) {
    const name = `p${number}`;
    const addresses = ports.find((entry) => entry.name === name)?.value.addresses ?? [];
    const more = `10.${number & 255}.${Math.floor(world.random() * 200)}.7`;
    const left = addresses.filter((address) => address !== more && world.chance(0.6));
    return put({ kind: "port", name, switch: known, addresses: [...left.slice(0, 4), more] });
  } else if (known !== undefined && draw < deleteRate + portRate + ruleRate) {
    const priority = Math.floor(world.random() * 1000);
    const action = world.chance(0.5) ? "drop" : "allow";
    const rule = { switch: known, direction: "to-port", priority, match: {}, action };
    return put({ kind: "acl", name: `r${number}`, ...rule, description: words(world) });
  }
  return put({ kind: "switch", name: `s${number}`, description: words(world) });
}

function words(world: World): string {
  return `said ${Math.floor(world.random() * 2 ** 32).toString(36)}`;
}

function put(document: Named & Readonly<Record<string, unknown>>): Change {
  return { op: "put", document };
}
