import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  type Endpoint,
  hubsOf,
  type Layout,
  layoutOf,
  mapPlace,
  needsRestart,
  type Place,
  placeAmongHubs,
} from "./nats-layout.ts";

const RULES = { meshMax: 32, hubCount: 5 };

const names = fc.uniqueArray(fc.stringMatching(/^[a-z][a-z0-9]{0,5}$/), {
  ...{ minLength: 8, maxLength: 60 },
});

function placesOf(all: readonly string[], living = all): Map<string, Place<string>> {
  const chassis = { known: all, living, steady: living };
  return new Map(living.map((name) => [name, placeAmongHubs(name, chassis, RULES)]));
}

function endpointsOf(place: Place<string>): Place {
  return mapPlace<Endpoint>(place, (address) => ({ address, port: 7422 }));
}

test("hubs are the same whoever computes them, and in whatever order", () => {
  fc.assert(
    fc.property(names, fc.infiniteStream(fc.nat()), (all, chance) => {
      const shuffled = all
        .map((name) => ({ name, at: chance.next().value as number }))
        .sort((a, b) => a.at - b.at)
        .map(({ name }) => name);
      const hubs = hubsOf({ living: all, steady: all }, 5);
      assert.equal(hubs.length, 5);
      assert.deepEqual(hubsOf({ living: shuffled, steady: shuffled }, 5), hubs);
    }),
  );
});

test("each leaf goes to hubs alone, and each hub has a route to every other", () => {
  fc.assert(
    fc.property(names, (all) => {
      const places = placesOf(all);
      const hubs = all.filter((name) => places.get(name)!.role === "hub").sort();
      assert.deepEqual(hubs, hubsOf({ living: all, steady: all }, 5));
      for (const [name, place] of places) {
        if (place.role === "leaf") {
          assert.deepEqual(place.hubs.toSorted(), hubs);
          assert.ok(place.standIns.every((other) => !hubs.includes(other) && other !== name));
        } else {
          assert.deepEqual([...place.routes, name].sort(), hubs);
        }
      }
    }),
  );
});

test("a chassis that dies moves its own leaves alone, and one server at most starts anew", () => {
  fc.assert(
    fc.property(names, fc.nat(), (all, chance) => {
      const dead = all[chance % all.length]!;
      const before = placesOf(all);
      const after = placesOf(
        all,
        all.filter((name) => name !== dead),
      );
      let restartCount = 0;
      for (const [name, place] of after) {
        const was = before.get(name)!;
        if (needsRestart(endpointsOf(was), endpointsOf(place))) restartCount++;
        if (was.role !== "leaf" || place.role !== "leaf" || was.hubs[0] === dead) continue;
        // A stand-in may be nearer to it than all that there were; it goes there at its next start.
        const isTaken = place.hubs[0] === was.hubs[0] || !was.hubs.includes(place.hubs[0]!);
        assert.ok(isTaken, `${name} went from ${was.hubs[0]} to ${place.hubs[0]}`);
      }
      assert.equal(restartCount, before.get(dead)!.role === "hub" ? 1 : 0);
    }),
  );
});

test("leaves are spread over the hubs", () => {
  const all = Array.from({ length: 205 }, (_, index) => `c${index}`);
  const counts = new Map<string, number>();
  for (const place of placesOf(all).values()) {
    if (place.role !== "leaf") continue;
    counts.set(place.hubs[0]!, (counts.get(place.hubs[0]!) ?? 0) + 1);
  }
  assert.equal(counts.size, 5);
  for (const [hub, count] of counts) assert.ok(count > 20 && count < 65, `${hub}: ${count}`);
});

test("one that has just come back is a hub to itself, and the hubs have routes to it", () => {
  const all = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
  const back = hubsOf({ living: all, steady: all }, 5)[0]!;
  const steady = all.filter((name) => name !== back);
  const chassis = { known: all, living: all, steady };
  const hubs = hubsOf(chassis, 5);
  assert.ok(!hubs.includes(back));
  for (const hub of hubs) {
    const place = placeAmongHubs(hub, chassis, RULES);
    assert.ok(place.role === "hub" && place.routes.includes(back));
  }
  const own = placeAmongHubs(back, { known: all, living: all, steady: all }, RULES);
  assert.equal(own.role, "hub");
});

test("where too few have lived for long, others that live are hubs", () => {
  const living = ["a", "b", "c"];
  assert.deepEqual(hubsOf({ living, steady: ["b"] }, 2).length, 2);
  assert.deepEqual(hubsOf({ living, steady: ["b"] }, 5), living);
});

test("a leaf starts anew when its list has one hub left, or none", () => {
  const at = (...addresses: string[]) => addresses.map((address) => ({ address, port: 1 }));
  const place: Place = { role: "leaf", hubs: at("a", "b", "c"), standIns: at("d") };
  const to = (...hubs: string[]): Place => ({ role: "leaf", hubs: at(...hubs), standIns: [] });
  assert.equal(needsRestart(place, to("c", "x", "d")), false);
  assert.equal(needsRestart(place, to("x", "d", "y")), true);
  assert.equal(needsRestart(place, to("d")), false);
  assert.equal(needsRestart(place, to("x")), true);
  const mesh: Place = { role: "mesh", routes: [] };
  assert.equal(needsRestart(mesh, { role: "mesh", routes: at("a") }), false);
  assert.equal(needsRestart(mesh, { role: "hub", routes: [] }), true);
  assert.equal(needsRestart(place, mesh), true);
});

test("a layout changes only where the size has left the room between the two", () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(sizes, (counts) => {
      let said: Layout[] = [];
      let layout: Layout = "mesh";
      for (const count of counts) {
        // Those that come say nothing yet.
        const next = layoutOf(count, said.slice(0, count), RULES);
        if (count > 32) assert.equal(next, "hubs");
        else if (count < 24) assert.equal(next, "mesh");
        else assert.equal(next, layout);
        layout = next;
        said = Array.from({ length: count }, () => next);
      }
    }),
  );
});

test("whichever layout half of the chassis have in between, all get the same one", () => {
  const halves: Layout[] = Array.from({ length: 28 }, (_, index) => (index % 2 ? "hubs" : "mesh"));
  assert.equal(layoutOf(28, halves, RULES), "mesh");
  assert.equal(layoutOf(28, [...halves, "hubs"], RULES), "hubs");
});
