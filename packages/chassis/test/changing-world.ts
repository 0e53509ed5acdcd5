/**
 * A desired state that changes at random, also in ways that only peers' merges bring about: ports
 * without a switch, two of one address or name, older ones that come later; and a chassis in it.
 */
import type { AclDocument } from "@rhone/state/acl";
import { bindingName } from "@rhone/state/claim";
import type { Version } from "@rhone/state/record";
import { complete, type Document, type Kind } from "@rhone/state/schema";
import { EMPTY_STATE, get, type State, withEntries } from "@rhone/state/state";
import fc from "fast-check";
import type { Self } from "../src/compile.ts";
import { assignKeys } from "../src/keys.ts";
import { StampKeys } from "../src/stamp-keys.ts";

const SWITCHES = ["s0", "s1", "s2"];
const CHASSIS = ["a", "b", "c"];
const PORT_KEYS = 32767;

/** So many names, of which three want the same key in a switch, twice. */
function collidingNames(count: number): string[] {
  const byKey = new Map<number, string[]>();
  const found: string[] = [];
  for (let i = 0; found.length < 6; i++) {
    const name = `p${i}`;
    const key = assignKeys([{ name, created: { clock: 1, origin: "a" } }], 1, PORT_KEYS).get(name)!;
    const alike = [...(byKey.get(key) ?? []), name];
    byKey.set(key, alike);
    if (alike.length === 3) found.push(...alike);
  }
  return [...found, ...Array.from({ length: count - found.length }, (_, i) => `q${i}`)];
}

const PORTS = [...collidingNames(18), "r0-s0"]; // The last is a router's port's, too.
const stampKeys = new StampKeys(new Uint8Array(32).fill(1));

/** One change; the numbers choose among what there is. */
export interface Change {
  readonly what: number;
  readonly which: number;
  readonly how: number;
}

export const changes = fc.array(
  fc.array(fc.record({ what: fc.nat(99), which: fc.nat(999), how: fc.nat(9999) }), {
    minLength: 1,
    maxLength: 3,
  }),
  { minLength: 1, maxLength: 25 },
);

export class ChangingWorld {
  state: State = EMPTY_STATE;
  self: Self = {
    name: "a",
    tunnelMtu: 1418,
    keys: { made: stampKeys, epoch: 1 },
    devices: new Map(),
    workers: [0, 1],
    ruleCounters: new Map(),
  };
  #clock = 0;

  constructor() {
    for (const name of CHASSIS.slice(0, 2)) this.#put(chassis(name, 2));
    for (const name of SWITCHES.slice(0, 2)) this.#put({ kind: "switch", name });
    this.#put(router("r0", 1));
    for (let i = 0; i < 4; i++) this.#putPort(i, i);
  }

  change({ what, which, how }: Change): void {
    if (what < 34) this.#putPort(which, how);
    else if (what < 46) this.#delete("port", PORTS[which % PORTS.length]!);
    else if (what < 56) this.#bind(which, how);
    else if (what < 66) this.#setDevice(which, how);
    else if (what < 76) this.#putAcl(which, how);
    else if (what < 78) this.#delete("acl", `acl${which % 4}`);
    else if (what < 82) this.#countRules(how);
    else if (what < 87) this.#place(how);
    else if (what < 89) this.self = { ...this.self, workers: how % 2 === 0 ? [0] : [0, 1] };
    else if (what < 91) this.#put(balancer(which, how));
    else if (what < 93) this.#put(router(`r${which % 2}`, how));
    else if (what < 94) this.#put(network(which, how));
    else if (what < 95) this.#delete("switch", SWITCHES[which % SWITCHES.length]!);
    else if (what < 96) this.#put(chassis(CHASSIS[which % CHASSIS.length]!, how));
    else if (what < 97) this.self = { ...this.self, keys: { made: stampKeys, epoch: how % 3 } };
    else if (what < 98) this.self = { ...this.self, tunnelMtu: 1400 + (how % 2) };
    else this.#put({ kind: "dataplane", name: "b" }); // Nothing of it is in a's tables.
  }

  #putPort(which: number, how: number): void {
    const hosts = [how % 5, (how >> 3) % 7];
    const isDual = how % 3 === 0;
    const macs = how % 11 === 0 ? { mac: "02:00:00:00:00:01" } : {};
    const moves = how % 5 === 0 ? { migration: { chassis: CHASSIS[(how + 1) % 3]! } } : {};
    const places = how % 4 < 3 ? { chassis: CHASSIS[how % 3]!, ...moves } : {};
    const name = PORTS[which % PORTS.length]!;
    this.#put(
      {
        ...{ kind: "port", name, switch: SWITCHES[(how >> 5) % SWITCHES.length]! },
        addresses: [`10.0.0.${hosts[0]}`, ...(isDual ? [`fd00::${hosts[1]}`] : [])],
        portSecurity: how % 7 !== 0,
        labels: labels(how >> 2),
        ...{ ...macs, ...places },
      },
      // Now and then another chassis had it first, and says so late.
      how % 13 === 0 ? { clock: 1 + (how % 40), origin: "b" } : undefined,
    );
  }

  #bind(which: number, how: number): void {
    const name = PORTS[which % PORTS.length]!;
    const detail = how % 5 === 0 ? { detail: `how ${how}` } : {};
    const chassis = CHASSIS[how % 3]!;
    const binding = { kind: "binding" as const, name: bindingName(name, chassis), port: name };
    const claim = { chassis, epoch: 1 + (how % 4), standby: how % 7 === 0, up: how % 2 === 0 };
    if (how % 6 === 0) this.#delete("binding", binding.name);
    else this.#put({ ...binding, ...claim, ...detail });
  }

  #setDevice(which: number, how: number): void {
    const devices = new Map(this.self.devices);
    const name = PORTS[which % PORTS.length]!;
    if (how % 3 === 0) devices.delete(name);
    else devices.set(name, { index: how % 8 });
    this.self = { ...this.self, devices };
  }

  #putAcl(which: number, how: number): void {
    const port = how % 2 === 0 ? { port: PORTS[how % PORTS.length]! } : {};
    this.#put({
      ...{ kind: "acl", name: `acl${which % 4}`, switch: SWITCHES[how % SWITCHES.length]! },
      ...{ ...port, direction: how % 3 === 0 ? "to-port" : "from-port", priority: how % 5 },
      match: how % 5 === 0 ? { source: "10.0.0.0/8" } : how % 7 < 4 ? asked(how) : {},
      action: how % 4 === 0 ? "allow" : "drop",
    });
  }

  #countRules(how: number): void {
    const names = this.state.acls.map(({ name }) => name);
    const ruleCounters = new Map(names.map((name, i) => [name, (i + (how % 2)) * 3]));
    this.self = { ...this.self, ruleCounters };
  }

  #place(how: number): void {
    const place = how % 2 === 0 ? { worker: how % 3 } : { chassis: CHASSIS[how % 3]! };
    this.#put({ kind: "dataplane", name: "a", placement: { routing: place } });
  }

  #put(document: Document, created?: Version): void {
    this.#commit(document.kind, document.name, document, created);
  }

  #delete(kind: Kind, name: string): void {
    if (get(this.state, kind, name) !== undefined) this.#commit(kind, name, null);
  }

  #commit(kind: Kind, name: string, document: Document | null, earlier?: Version): void {
    const version = { clock: ++this.#clock, origin: "a" };
    const known = get(this.state, kind, name)?.created;
    const created = earlier ?? known ?? version;
    const value = document === null ? null : complete(document);
    this.state = withEntries(this.state, version.clock, [{ kind, name, created, version, value }]);
  }
}

function labels(how: number): Record<string, string> {
  const all = { app: how % 2 === 0 ? "web" : "db", env: "test" };
  return how % 5 === 0 ? {} : how % 3 === 0 ? { app: all.app } : all;
}

function asked(how: number): AclDocument["match"] {
  const selector = how % 3 === 0 ? { env: "test" } : { app: how % 2 === 0 ? "web" : "db" };
  if (how % 7 === 0) return { source: "10.0.0.0/30", sourceLabels: selector };
  return how % 7 === 1 ? { destinationLabels: selector } : { sourceLabels: selector };
}

function chassis(name: string, how: number): Document {
  const underlay = `192.168.${how % 2}.${1 + CHASSIS.indexOf(name)}`;
  return { kind: "chassis", name, underlay, workers: 2, version: "1" };
}

function network(which: number, how: number): Document {
  const described = how % 2 === 0 ? { description: `how ${how}` } : {};
  const limited = how % 3 === 0 ? { maxStaleSeconds: 5 + (how % 5) } : {};
  return { kind: "switch", name: SWITCHES[which % SWITCHES.length]!, ...described, ...limited };
}

function router(name: string, how: number): Document {
  const ports = SWITCHES.slice(0, 1 + (how % 3)).map((at, i) => {
    return { name: `${name}-${at}`, switch: at, addresses: [`10.0.${i}.1/24`, `fd00::${i}:1/64`] };
  });
  return { kind: "router", name, ports, routes: [{ prefix: "10.9.0.0/16", nextHop: "10.0.0.2" }] };
}

function balancer(which: number, how: number): Document {
  const vips = [{ address: `10.0.0.${how % 5}`, backends: [{ address: "10.0.0.3" }] }];
  const switches = SWITCHES.slice(how % 2, 1 + (how % 3));
  return { kind: "load-balancer", name: `lb${which % 2}`, switches, vips };
}
