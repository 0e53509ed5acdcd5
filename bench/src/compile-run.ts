/**
 * A program of its own, so that each measurement starts fresh: compiles a network of many ports,
 * and prints milliseconds a compilation.
 *
 *   full PORTS       everything
 *   port PORTS       after one port more, from the tables before
 *   removal PORTS    without one of them, from the tables before
 *   binding PORTS    after one port more is up, from the tables before
 */
import { compile } from "@rhone/chassis/compile";
import { Compiler } from "@rhone/chassis/compiler";
import { bindingName } from "@rhone/state/claim";
import { createMemoryStore } from "@rhone/state/memory-store";
import type { Document } from "@rhone/state/schema";
import { CHANGES_MAX } from "@rhone/state/store";

const SWITCHES = 100;
const ROUTERS = 10;
const CHASSIS = ["a", "b", "c", "d"];
const WARM_UP = 40;
const STEPS = 200;
const FULL = 20;

const store = createMemoryStore("a");

function put(author: "user" | "chassis", documents: readonly Document[]): void {
  const changes = documents.map((document) => ({ op: "put" as const, document }));
  for (let from = 0; from < changes.length; from += CHANGES_MAX) {
    const result = store.transact(changes.slice(from, from + CHANGES_MAX), author);
    if (!result.ok) throw new Error(result.error.message);
  }
}

function remove(name: string): void {
  const result = store.transact([{ op: "delete", kind: "port", name }], "user");
  if (!result.ok) throw new Error(result.error.message);
}

function many<T>(count: number, make: (i: number) => T): T[] {
  return Array.from({ length: count }, (_, i) => make(i));
}

/** With an address of each family; the ports of a switch are at all chassis. */
function port(i: number): Document {
  const at = i % SWITCHES;
  const host = 256 + Math.floor(i / SWITCHES);
  const addresses = [`10.${at}.${host >> 8}.${host & 255}`, `fd00::${at.toString(16)}:${host}`];
  const chassis = CHASSIS[i % CHASSIS.length]!;
  return { kind: "port", name: `port${i}`, switch: `switch${at}`, addresses, chassis };
}

function binding(i: number): Document {
  const [port, chassis] = [`port${i}`, CHASSIS[i % CHASSIS.length]!];
  const name = bindingName(port, chassis);
  return { kind: "binding", name, port, chassis, epoch: 1, up: true };
}

function router(r: number): Document {
  const ports = many(SWITCHES / ROUTERS, (i) => {
    const at = (r * SWITCHES) / ROUTERS + i;
    const addresses = [`10.${at}.0.1/16`, `fd00::${at.toString(16)}:1/112`];
    return { name: `router${r}-${at}`, switch: `switch${at}`, addresses };
  });
  return { kind: "router", name: `router${r}`, ports };
}

const [what, count] = process.argv.slice(2);
const ports = Number(count);
put(
  "user",
  many(SWITCHES, (i) => ({ kind: "switch", name: `switch${i}` })),
);
put("user", many(ROUTERS, router));
put(
  "chassis",
  CHASSIS.map((name, i) => {
    return { kind: "chassis", name, underlay: `192.168.0.${1 + i}`, workers: 2, version: "1" };
  }),
);
put("user", many(ports, port));

const self = {
  ...{ name: "a", tunnelMtu: 1418, keys: null, devices: new Map() },
  ...{ workers: [0, 1], ruleCounters: new Map() },
};
const compiler = new Compiler((error) => {
  throw error;
});
compiler.compile(store.snapshot(), self);

function change(i: number): void {
  if (what === "port") put("user", [port(ports + i)]);
  if (what === "removal") remove(`port${(i * 7919) % ports}`);
  if (what === "binding") put("chassis", [binding(i)]);
}

function measured(i: number): number {
  change(i);
  const state = store.snapshot();
  const startMs = performance.now();
  if (what === "full") compile(state, self);
  else compiler.compile(state, self);
  return performance.now() - startMs;
}

const isFull = what === "full";
const warmUp = isFull ? FULL / 4 : WARM_UP;
for (let i = 0; i < warmUp; i++) measured(i);
const times = many(isFull ? FULL : STEPS, (i) => measured(warmUp + i));
const { steps } = compiler.counts;
if (!isFull && steps !== warmUp + STEPS) throw new Error(`${steps} steps: others were full`);
process.stdout.write(`${(times.reduce((sum, ms) => sum + ms, 0) / times.length).toFixed(4)}\n`);
