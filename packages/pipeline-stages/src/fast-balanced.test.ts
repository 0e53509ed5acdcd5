/** The fast path for balanced flows against the stages, with one owner and with two. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as acls from "@rhone/tables/acls";
import type { Tables } from "@rhone/tables/generation";
import type { VipRow } from "@rhone/tables/load-balancers";
import * as tcp from "@rhone/wire/tcp";
import fc from "fast-check";
import {
  framesOf,
  type Outcome,
  run,
  type Step,
  TestWorkers,
  type Way,
} from "../test/fast-path-steps.ts";
import type { Ends } from "../test/frames.ts";
import {
  BALANCER,
  buildTables,
  ip,
  MACS,
  ROUTER_DB,
  ROUTER_WEB,
  VM1,
  VM2,
  VM4,
} from "../test/network.ts";
import { number } from "../test/numbered-frames.ts";

const [UDP, TCP, WEB] = [17, 6, 0];
const TUNNEL = -1;

/** From vm1 to a VIP and back from its backend, one after the other. */
const WAYS: readonly Way[] = [
  // The backend is here, behind a router.
  { device: 0, ends: ends(VM1, "10.0.1.10", ROUTER_WEB, "10.0.9.9") },
  { device: 2, ends: ends(VM4, "10.0.2.10", ROUTER_DB, "10.0.1.10"), server: 8080 },
  // In the same switch, with its device at the other worker.
  { device: 0, ends: ends(VM1, "10.0.1.10", ROUTER_WEB, "10.0.9.10") },
  { device: 1, ends: ends(VM2, "10.0.1.11", VM1, "10.0.1.10"), server: 8080 },
  // At another chassis.
  { device: 0, ends: ends(VM1, "10.0.1.10", ROUTER_WEB, "10.0.9.11") },
  { device: TUNNEL, ends: ends(ROUTER_WEB, "10.0.2.11", VM1, "10.0.1.10"), server: 8080 },
  // To the load balancer's own MAC address: to a neighbour, and to one behind the router.
  { device: 0, ends: ends(VM1, "10.0.1.10", BALANCER, "10.0.1.99"), server: 81 },
  { device: 1, ends: ends(VM2, "10.0.1.11", VM1, "10.0.1.10"), server: 8081 },
  { device: 0, ends: ends(VM1, "10.0.1.10", BALANCER, "10.0.1.99"), server: 82 },
  { device: 2, ends: ends(VM4, "10.0.2.10", ROUTER_DB, "10.0.1.10"), server: 8082 },
  { device: 0, ends: ends(VM1, "fd00:0:0:1::10", ROUTER_WEB, "fd00:0:0:9::9") },
  { device: 2, ends: ends(VM4, "fd00:0:0:2::10", ROUTER_DB, "fd00:0:0:1::10"), server: 8080 },
  // What shall not profit from them: the backend is asked itself, or by another VIP.
  { device: 0, ends: ends(VM1, "10.0.1.10", ROUTER_WEB, "10.0.2.10"), server: 8080 },
  { device: 0, ends: ends(VM1, "10.0.1.10", ROUTER_WEB, "10.0.9.12") },
];
const BALANCED = 12;

function ends(from: number, source: string, to: number, destination: string): Ends {
  return { from: source, fromMac: MACS[from]!, to: destination, toMac: MACS[to]! };
}

const VIPS: readonly VipRow[] = [
  ...vip("10.0.9.9", 80, "10.0.2.10", 8080),
  ...vip("10.0.9.10", 80, "10.0.1.11", 8080),
  ...vip("10.0.9.11", 80, "10.0.2.11", 8080),
  ...vip("10.0.1.99", 81, "10.0.1.11", 8081),
  ...vip("10.0.1.99", 82, "10.0.2.10", 8082),
  ...vip("fd00:0:0:9::9", 80, "fd00:0:0:2::10", 8080),
  ...vip("10.0.9.12", 80, "10.0.2.10", 8080),
];

function vip(address: string, servicePort: number, backend: string, port: number): VipRow[] {
  const backends = [{ address: ip(backend), port }];
  return [UDP, TCP].map((protocol) => {
    return { datapath: WEB, address: ip(address), protocol, servicePort, backends, rejects: true };
  });
}

const RULE = {
  ...{ datapath: WEB, port: -1, source: null, destination: null, protocol: acls.ANY_PROTOCOL },
  ...{ sourcePorts: acls.ANY_PORT, destinationPorts: acls.ANY_PORT },
};
const FROM_WEB = { ...RULE, direction: acls.FROM_PORT } as const;
const TO_WEB = { ...RULE, direction: acls.TO_PORT } as const;
const TO_DB = { ...TO_WEB, datapath: 1 } as const;
const TABLES: readonly Tables[] = [
  tables(1, []),
  tables(2, [
    { ...FROM_WEB, protocol: UDP, action: acls.ACTION_ALLOW, counter: 1 },
    { ...TO_DB, protocol: TCP, action: acls.ACTION_ALLOW, counter: 2 },
    { ...TO_WEB, protocol: UDP, action: acls.ACTION_ALLOW, counter: 3 },
  ]),
  tables(3, [
    { ...FROM_WEB, protocol: TCP, action: acls.ACTION_DROP, counter: 4 },
    { ...TO_DB, protocol: UDP, action: acls.ACTION_ALLOW_STATELESS, counter: 5 },
  ]),
  // The load balancers are gone: what has begun keeps its backend.
  buildTables(4),
];

function tables(generation: number, rules: readonly acls.AclRule[]): Tables {
  return buildTables(generation, rules, null, new Map(), [], [], VIPS);
}

const steps = fc.array(
  fc.record<Step>({
    // Mostly both directions of few flows, so that most become known.
    way: fc.oneof(
      { weight: 6, arbitrary: fc.nat(1) },
      { weight: 6, arbitrary: fc.nat(BALANCED - 1) },
      { weight: 1, arbitrary: fc.nat(WAYS.length - 1) },
    ),
    protocol: fc.oneof(
      { weight: 12, arbitrary: fc.constantFrom("udp" as const, "tcp" as const) },
      { weight: 1, arbitrary: fc.constant("fragments" as const) },
    ),
    flags: fc.oneof(
      { weight: 12, arbitrary: fc.constant(tcp.ACK) },
      { weight: 1, arbitrary: fc.constantFrom(tcp.SYN, tcp.SYN | tcp.ACK, tcp.FIN | tcp.ACK) },
    ),
    ttl: fc.oneof(
      { weight: 12, arbitrary: fc.constant(64) },
      { weight: 1, arbitrary: fc.constantFrom(1, 2) },
    ),
    payload: fc.constantFrom(4, 4, 100, 1390, 1400),
    port: fc.oneof({ weight: 6, arbitrary: fc.constant(4000) }, fc.constantFrom(4001, 4002)),
    wait: fc.oneof(
      { weight: 12, arbitrary: fc.constant(0) },
      { weight: 1, arbitrary: fc.constantFrom(20_000, 70_000) },
    ),
    isLast: fc.boolean(),
    tables: fc.oneof(
      { weight: 20, arbitrary: fc.constant(null) },
      { weight: 1, arbitrary: fc.nat(TABLES.length - 1) },
    ),
  }),
  { minLength: 10, maxLength: 80, size: "max" },
);

function runAll(list: readonly Step[], isFast: boolean, foreign = 0): Outcome {
  return run(list, WAYS, TABLES, isFast, foreign);
}

test("the fast path and the stages do the same with balanced flows", () => {
  fc.assert(
    fc.property(steps, (list) => {
      assert.deepEqual(runAll(list, true), runAll(list, false));
    }),
    { numRuns: 300 },
  );
});

test("they do the same when the flow to the VIP and that to the backend have two owners", () => {
  fc.assert(
    fc.property(steps, fc.constantFrom(1, 2, 4), (list, foreign) => {
      assert.deepEqual(runAll(list, true, foreign), runAll(list, false, foreign));
    }),
    { numRuns: 300 },
  );
});

test("an end that only the entry of the backend has seen counts for the answers behind it", () => {
  const plain = { protocol: "tcp", ttl: 64, payload: 4, port: 4000, isLast: true } as const;
  const each = (way: number, flags: number, change: number | null = null, wait = 0): Step => {
    return { ...plain, way, flags, wait, tables: change };
  };
  // Tables 2 refuse the answer at stage 11, behind the first of the two look-ups. It comes by the
  // tunnel, so that there is no third entry here.
  const list = [
    ...[4, 5, 4, 5].map((way) => each(way, tcp.ACK)),
    each(5, tcp.ACK, 2),
    each(5, tcp.FIN | tcp.ACK, 0),
    ...[0, 0, 0].map((change) => each(5, tcp.ACK, change, 20_000)),
  ];
  assert.deepEqual(runAll(list, true), runAll(list, false));
});

/** Sends by one way what a step would. */
function send(workers: TestWorkers, way: number, protocol: "udp" | "tcp", port: number): number {
  const rest = { flags: tcp.ACK, ttl: 64, payload: 4, wait: 0, isLast: true, tables: null };
  for (const frame of framesOf({ ...rest, way, protocol, port }, WAYS[way]!)) {
    number(frame, 1);
    workers.add(frame, WAYS[way]!.device);
  }
  workers.run();
  return workers.take().flat().length;
}

test("packets of a known balanced flow do not walk, in either direction", () => {
  for (const foreign of [0, 1]) {
    const workers = new TestWorkers(TABLES[1]!, foreign);
    for (let way = 0; way < BALANCED; way += 2) {
      for (const protocol of ["udp", "tcp"] as const) {
        // So many that each way of owning a flow's two halves is among them.
        for (let port = 5000; port < 5016; port++) {
          // The second one of an end is the first of an established connection.
          for (const each of [way, way + 1, way, way + 1]) {
            assert.equal(send(workers, each, protocol, port), 1);
          }
          for (const each of [way, way + 1]) {
            const before = workers.walked;
            for (let i = 0; i < 3; i++) assert.equal(send(workers, each, protocol, port), 1);
            // What the tunnel brings to one worker, stage 8 passes on to the flow's owner.
            if (WAYS[each]!.device === TUNNEL && foreign !== 0) continue;
            assert.equal(workers.walked, before, `way ${each}, ${protocol}, port ${port}`);
          }
        }
      }
    }
  }
});
