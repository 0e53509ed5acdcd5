/** What users of a simulation do: put and delete documents of a few kinds, at any chassis. */
import type { Change, Store } from "@rhone/state/store";
import type { World } from "./world.ts";

/** How likely each is; what is left is a put of a switch. */
export interface Habits {
  readonly meanMs: number;
  readonly names: number;
  readonly deleteRate: number;
  readonly portRate: number;
  readonly ruleRate: number;
  readonly manyRate: number;
}

const MANY_MAX = 6;

/** One transaction. The chassis refuses it when it contradicts the state there. */
export function wish(world: World, habits: Habits, store: Store): Change[] {
  const count = world.chance(habits.manyRate) ? 2 + Math.floor(world.random() * (MANY_MAX - 1)) : 1;
  const changes = new Map<string, Change>();
  for (let i = 0; i < count; i++) {
    const change = wishOne(world, habits, store);
    const { kind, name } = change.op === "delete" ? change : (change.document as Named);
    changes.set(`${kind}/${name}`, change);
  }
  return [...changes.values()];
}

interface Named {
  readonly kind: string;
  readonly name: string;
}

function wishOne(world: World, habits: Habits, store: Store): Change {
  const { deleteRate, portRate, ruleRate, names } = habits;
  const { switches, ports, acls } = store.snapshot();
  const draw = world.random();
  const number = Math.floor(world.random() * names);
  const description = `said ${Math.floor(world.random() * 2 ** 32).toString(36)}`;
  const known = world.pick(switches)?.name;
  if (draw < deleteRate) {
    const victim = world.pick([...switches, ...ports, ...acls]);
    if (victim !== undefined) return { op: "delete", kind: victim.kind, name: victim.name };
  } else if (known !== undefined && draw < deleteRate + portRate) {
    const addresses = [`10.${number & 255}.${Math.floor(world.random() * 254)}.7`];
    return put({ kind: "port", name: `p${number}`, switch: known, addresses });
  } else if (known !== undefined && draw < deleteRate + portRate + ruleRate) {
    const priority = Math.floor(world.random() * 1000);
    const rule = { switch: known, direction: "to-port", priority, match: {}, action: "drop" };
    return put({ kind: "acl", name: `r${number}`, ...rule, description });
  }
  return put({ kind: "switch", name: `s${number}`, description });
}

function put(document: Named & Readonly<Record<string, unknown>>): Change {
  return { op: "put", document };
}
