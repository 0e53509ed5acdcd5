import assert from "node:assert/strict";
import { test } from "node:test";
import { bindingName, type Claim, claimsOf, holderOf } from "@rhone/state/claim";
import type { PortDocument } from "@rhone/state/schema";
import { complete, type Document } from "@rhone/state/schema";
import { EMPTY_STATE, get, type State, withEntries } from "@rhone/state/state";
import { claimChanges } from "./claim-changes.ts";

type Phase = "up" | "refused";

/** Several chassis over one state, as if what is written were known to all at once. */
class World {
  state: State = EMPTY_STATE;
  readonly dead = new Map<string, number>();
  readonly awake = new Set<string>();
  /** By chassis that forwards for a gateway: the epoch. */
  readonly leases = new Map<string, number>();
  /** By chassis: its device of the port. */
  readonly devices = new Map<string, Phase>();
  writes = 0;

  constructor(port: Partial<PortDocument>) {
    for (const [i, name] of ["a", "b", "c"].entries()) {
      const underlay = `192.168.0.${i + 1}`;
      this.put({ kind: "chassis", name, underlay, workers: 1, version: "1" });
    }
    this.port(port);
  }

  port(fields: Partial<PortDocument>): void {
    this.put({ kind: "port", name: "vm", switch: "s", addresses: [], device: "vm", ...fields });
  }

  put(document: Document): void {
    this.#commit(document.kind, document.name, document);
  }

  /** The chassis look, one after the other, until nobody has anything to write. */
  settle(chassis: string): void {
    for (const name of chassis) {
      const phase = this.devices.get(name);
      const devices = phase === undefined ? [] : [{ port: "vm", phase, detail: "" }];
      const claimant = {
        ...{ chassis: name, devices },
        isDead: ({ value, version }: Claim) => version.clock <= (this.dead.get(value.chassis) ?? 0),
        isAwake: (port: string) => this.awake.has(`${port} at ${name}`),
        turnAt: () => {
          const epoch = this.leases.get(name) ?? 0;
          return { isActive: epoch > 0, epoch, text: epoch > 0 ? "" : "stands by" };
        },
      };
      for (const change of claimChanges(this.state, claimant)) {
        this.writes++;
        if (change.op === "put") this.put(change.document as Document);
        else this.#commit(change.kind, change.name, null);
      }
    }
  }

  /** "HOLDER EPOCH", and the others with what they say. */
  get claims(): string {
    const all = claimsOf(this.state, "vm");
    const holder = holderOf(get(this.state, "port", "vm")!.value, all);
    const said = all
      .map(({ value }) => `${value.chassis} ${value.standby ? "waits" : value.epoch}`)
      .sort();
    return [`at ${holder}`, ...said].join(", ");
  }

  die(chassis: string): void {
    this.dead.set(chassis, this.state.revision);
  }

  #commit(kind: Document["kind"], name: string, document: Document | null): void {
    const version = { clock: this.state.revision + 1, origin: "x" };
    const created = get(this.state, kind, name)?.created ?? version;
    const value = document === null ? null : complete(document);
    this.state = withEntries(this.state, version.clock, [{ kind, name, created, version, value }]);
  }
}

test("of two that have the device the first has the port, and the other writes once", () => {
  const world = new World({});
  world.devices.set("b", "up").set("a", "up");
  world.settle("ba");
  assert.equal(world.claims, "at b, a 1, b 1");
  world.settle("abababab");
  assert.equal(world.writes, 2);
});

test("who has no device that is open claims nothing, and what is gone is not claimed", () => {
  const world = new World({});
  world.devices.set("a", "refused").set("b", "up");
  world.settle("ab");
  assert.equal(world.claims, "at b, b 1");
  world.devices.set("a", "up");
  world.settle("ab");
  world.devices.delete("b");
  world.settle("ba");
  assert.equal(world.claims, "at a, a 1");
  world.devices.set("b", "up");
  world.settle("ba");
  assert.equal(world.claims, "at a, a 1, b 1", "it was gone: the other was first");
});

test("when the holder is dead the next one takes over, once, and the first does not fight", () => {
  const world = new World({});
  for (const name of ["b", "a", "c"]) world.devices.set(name, "up");
  world.settle("bac");
  world.die("b");
  world.settle("ca");
  assert.equal(world.claims, "at a, a 2, b 1, c 1");
  const { writes } = world;
  world.dead.clear();
  world.settle("bcabca");
  assert.equal(world.claims, "at a, a 2, b 1, c 1");
  assert.equal(world.writes, writes);
});

test("two that take each other for dead do not outbid each other", () => {
  const world = new World({});
  world.devices.set("a", "up").set("b", "up");
  world.settle("ab");
  world.die("a");
  world.settle("b");
  assert.equal(world.claims, "at b, a 1, b 2");
  world.dead.set("b", 1); // As a found it, before b said anything.
  world.settle("abab");
  assert.equal(world.claims, "at b, a 1, b 2");
});

test("a port moves when its guest is heard at the target, and stays there", () => {
  const world = new World({ chassis: "a" });
  world.devices.set("a", "up").set("b", "up");
  world.settle("a");
  world.port({ chassis: "a", migration: { chassis: "b" } });
  world.settle("ab");
  assert.equal(world.claims, "at a, a 1, b waits");
  world.awake.add("vm at b");
  world.settle("b");
  world.awake.clear();
  world.settle("abab");
  assert.equal(world.claims, "at b, a 1, b 2");
  const { writes } = world;
  world.port({ chassis: "b" });
  world.devices.delete("a");
  world.settle("ab");
  assert.equal(world.claims, "at b, b 2");
  assert.equal(world.writes, writes + 1, "only a takes its claim back");
});

test("who stood by has not claimed first when the port may be anywhere", () => {
  const world = new World({ chassis: "a", migration: { chassis: "b" } });
  world.devices.set("a", "up").set("b", "up");
  world.settle("ab");
  assert.equal(world.claims, "at a, a 1, b waits");
  world.port({});
  world.devices.delete("a");
  world.devices.set("c", "up");
  world.settle("ac");
  assert.equal(world.claims, "at c, b waits, c 1");
  world.settle("bbb");
  assert.equal(world.claims, "at c, b 1, c 1");
});

test("a move can be asked for, taken back, and begun again", () => {
  const world = new World({ chassis: "a" });
  world.devices.set("a", "up").set("b", "up");
  world.settle("a");
  world.port({ chassis: "a", migration: { chassis: "b", activate: true } });
  world.settle("ab");
  assert.equal(world.claims, "at b, a 1, b 2");
  world.port({ chassis: "a" });
  world.settle("a"); // b is away and has taken nothing back.
  assert.equal(world.claims, "at a, a 3, b 2");
  world.port({ chassis: "a", migration: { chassis: "b" } });
  world.settle("ab");
  assert.equal(world.claims, "at a, a 3, b waits", "it is not active by what it said before");
});

test("a source that lost all it knew does not take the port back", () => {
  const world = new World({ chassis: "a", migration: { chassis: "b", activate: true } });
  world.devices.set("b", "up").set("a", "up");
  world.settle("ba");
  assert.equal(world.claims, "at a, a 1, b 1");
  world.settle("ba");
  assert.equal(world.claims, "at b, a 1, b 2");
  const name = bindingName("vm", "a");
  world.state = { ...world.state, bindings: world.state.bindings.filter((b) => b.name !== name) };
  world.settle("ab");
  assert.equal(world.claims, "at b, a 1, b 2");
});

test("of a gateway's port every member says what it has, and one has it", () => {
  const world = new World({ gateway: "g" });
  world.devices.set("a", "up").set("b", "refused");
  world.settle("ab");
  assert.equal(world.claims, "at undefined, a waits, b waits");
  world.leases.set("a", 4);
  world.settle("ab");
  assert.equal(world.claims, "at a, a 4, b waits");
  // One that is cut off says nothing; the others go by the higher epoch.
  world.devices.set("b", "up");
  world.leases.set("b", 5);
  world.settle("b");
  assert.equal(world.claims, "at b, a 4, b 5");
  world.leases.delete("a");
  const { writes } = world;
  world.settle("abab");
  assert.equal(world.claims, "at b, a waits, b 5");
  assert.equal(world.writes, writes + 1);
  const known = claimsOf(world.state, "vm").find(({ value }) => value.chassis === "a")!.value;
  assert.deepEqual([known.epoch, known.detail], [4, "stands by"]);
});
