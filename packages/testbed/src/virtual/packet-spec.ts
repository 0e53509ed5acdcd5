/**
 * A random packet, described by small numbers that fast-check can make smaller. What the numbers
 * mean depends on the network and on what was delivered before (`packet-builder.ts`).
 */
import fc from "fast-check";
import { oneOf } from "./network-spec.ts";

export interface PacketSpec {
  readonly kind:
    | "udp"
    | "tcp"
    | "echo"
    | "other-ip"
    | "icmp-error"
    | "arp"
    | "discovery"
    | "raw"
    /** An answer to something that was delivered. */
    | "reply"
    /** More of something that was delivered, in its direction. */
    | "again"
    /** The answer to it, but by the port that it came from. */
    | "mirror";
  readonly from: number;
  readonly isV4: boolean;
  readonly to: number;
  /** Which destination MAC address. */
  readonly way: number;
  readonly spoofs: "nothing" | "mac" | "ip" | "both";
  readonly ttl: number;
  readonly size: number;
  readonly dontFragment: boolean;
  readonly hasOptions: boolean;
  readonly fragment: "none" | "first" | "later" | "atomic";
  readonly ports: number;
  readonly detail: number;
  readonly raw: Uint8Array;
  readonly mutation: Mutation | null;
  /** Time that passes before it. */
  readonly pauseMs: number;
  /** Whether the network changes before it. */
  readonly isAfterChange: boolean;
  /**
   * A chassis that forgets its connections before it; null or left out: none. Only
   * forgotten-connections.test.ts has them: elsewhere connections are to grow old.
   */
  readonly crashed?: number | null;
}

export interface Mutation {
  readonly truncateTo: number | null;
  readonly changes: readonly (readonly [number, number])[];
  readonly tags: number;
}

const mutation: fc.Arbitrary<Mutation> = fc.record({
  truncateTo: fc.option(fc.nat(100)),
  changes: fc.array(fc.tuple(fc.nat(90), fc.nat(255)), { maxLength: 3 }),
  tags: oneOf([4, 0], [1, 1], [1, 2], [1, 3]),
});

const kind = oneOf<PacketSpec["kind"]>(
  ...([
    [6, "udp"],
    [6, "tcp"],
    [4, "echo"],
    [1, "other-ip"],
    [2, "icmp-error"],
    [2, "arp"],
    [2, "discovery"],
    [1, "raw"],
    [16, "reply"],
    [12, "again"],
    [1, "mirror"],
  ] as [number, PacketSpec["kind"]][]),
);

export const packetSpec: fc.Arbitrary<PacketSpec> = fc.record({
  kind,
  from: fc.nat(15),
  isV4: fc.boolean(),
  to: fc.nat(40),
  way: fc.nat(15),
  spoofs: oneOf([12, "nothing"], [1, "mac"], [1, "ip"], [1, "both"]),
  ttl: oneOf([8, 64], [1, 255], [1, 0], [1, 1], [1, 2], [1, 3], [1, 5], [1, 7], [1, 8], [1, 9]),
  size: fc.oneof(
    { weight: 8, arbitrary: fc.nat(40) },
    { weight: 1, arbitrary: fc.integer({ min: 1340, max: 1460 }) },
    { weight: 1, arbitrary: fc.integer({ min: 500, max: 700 }) },
  ),
  dontFragment: fc.boolean(),
  hasOptions: oneOf([9, false], [1, true]),
  fragment: oneOf([12, "none"], [1, "first"], [1, "later"], [1, "atomic"]),
  ports: fc.nat(5),
  detail: fc.nat(63),
  raw: fc.uint8Array({ maxLength: 80 }),
  mutation: fc.oneof(
    { weight: 12, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: mutation },
  ),
  isAfterChange: oneOf([9, false], [1, true]),
  pauseMs: oneOf([40, 0], [1, 1], [1, 5_000], [1, 31_000], [1, 61_000], [1, 100_000]),
});
