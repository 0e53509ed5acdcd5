/**
 * Chassis that forget their connections in the middle of them, where rules let one side begin and
 * not the other: the product takes the same answers for what they are as the golden router, and
 * finds the same beginner. And such tests can fail: mistakes in what they are about are found.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PickUpWindow } from "@rhone/rings/pick-up-window";
import * as memory from "@rhone/tables/connection-memory";
import { LoadBalancers } from "@rhone/tables/load-balancers";
import fc from "fast-check";
import { caseSpec } from "./case-spec.ts";
import { type CaseSpec, compare } from "./compare.ts";
import { oneOf, placementSpecs, type RuleSpec } from "./network-spec.ts";
import { type PacketSpec, packetSpec } from "./packet-spec.ts";

const CASES = 300;
const CASES_MAX = 2000;
const PACKETS_MAX = 40;
/** With those of the walls there are ten: names of more would not be in the order of numbers. */
const OTHER_RULES_MAX = 2;
/** Always the same cases, so that a change is judged by what it changes. */
const seed = Number(process.env["SEED"] ?? 29);

const packet: fc.Arbitrary<PacketSpec> = fc
  .record({
    packet: packetSpec,
    kind: oneOf<PacketSpec["kind"]>([4, "tcp"], [8, "reply"], [6, "again"], [1, "mirror"]),
    crashed: oneOf([5, null], [1, 0], [1, 1], [1, 2]),
    pauseMs: oneOf([20, 0], [1, 1], [1, 25_000], [1, 31_000]),
    spoofs: oneOf<PacketSpec["spoofs"]>([30, "nothing"], [1, "ip"]),
    ttl: oneOf([20, 64], [1, 2]),
  })
  .map(({ packet, ...rest }) => ({ ...packet, mutation: null, ...rest }));

/** Only what is asked at a well-known port may begin, or with whose answers nobody bothers. */
const wall: fc.Arbitrary<RuleSpec[]> = fc
  .record({
    direction: fc.constantFrom<RuleSpec["direction"]>("from-port", "to-port"),
    refusal: fc.constantFrom<RuleSpec["action"]>("drop", "reject"),
    door: oneOf<RuleSpec["action"]>([6, "allow"], [1, "allow-stateless"]),
    switch: fc.nat(3),
    isV4: fc.boolean(),
  })
  .map(({ direction, refusal, door, isV4, switch: at }) => {
    const all: Omit<RuleSpec, "priority" | "action"> = {
      ...{ switch: at, port: null, direction, protocol: "tcp", isV4, source: null },
      ...{ destination: null, sourcePorts: null, destinationPorts: null },
    };
    return [
      { ...all, priority: 1, action: refusal },
      { ...all, priority: 2, destinationPorts: "1-1024", action: door },
    ];
  });

const specs: fc.Arbitrary<CaseSpec> = fc
  .record({
    spec: caseSpec,
    packets: fc.array(packet, { minLength: 4, maxLength: PACKETS_MAX, size: "max" }),
    walls: fc.array(wall, { minLength: 1, maxLength: 4 }),
  })
  .map(({ spec, packets, walls }) => {
    const rules = [...spec.network.rules.slice(0, OTHER_RULES_MAX), ...walls.flat()];
    return { ...spec, packets, network: { ...spec.network, rules } };
  });

function pickedUp(): number {
  const { buffer } = memory.installedConnections().words;
  return memory.usageOf(buffer as SharedArrayBuffer).pickedUp;
}

test(`answers in connections that a chassis has forgotten, seed ${seed}`, () => {
  const before = pickedUp();
  fc.assert(fc.property(specs, compare), { numRuns: CASES, seed });
  assert.ok(pickedUp() - before > CASES / 10, `only ${pickedUp() - before} were picked up`);
});

test(`the same where stages run elsewhere, seed ${seed}`, () => {
  const property = fc.property(specs, placementSpecs, (spec, placements) => {
    const network = { ...spec.network, placements };
    compare({ ...spec, cuts: [], isUnderlayBad: false, network });
  });
  fc.assert(property, { numRuns: CASES, seed });
});

/** Whether the property finds what is wrong now. */
function isFound(): boolean {
  const property = fc.property(specs, compare);
  return fc.check(property, { numRuns: CASES_MAX, seed, endOnFailure: true }).failed;
}

function assertFound<T extends object, K extends keyof T>(of: T, name: K, mistake: T[K]): void {
  const genuine = of[name];
  of[name] = mistake;
  try {
    assert.ok(isFound(), "every case agreed");
  } finally {
    of[name] = genuine;
  }
}

test("finds that nothing is picked up", () => {
  assertFound(PickUpWindow.prototype, "isOpen", () => false);
});

test("finds that it is for ever", () => {
  assertFound(PickUpWindow.prototype, "isOpen", () => true);
});

test("finds that what a backend sends is its own", () => {
  assertFound(LoadBalancers.prototype, "isBackend", () => false);
});
