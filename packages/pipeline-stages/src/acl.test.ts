import assert from "node:assert/strict";
import { test } from "node:test";
import type { DropReasonName } from "@rhone/rings/drop-reason";
import * as acls from "@rhone/tables/acls";
import { parsePrefix } from "@rhone/wire/address";
import * as tcp from "@rhone/wire/tcp";
import {
  arpRequest,
  type Ends,
  echoFrame,
  solicitation,
  tcpFrame,
  udpFrame,
} from "../test/frames.ts";
import { buildTables, MACS, ROUTER_DB, ROUTER_WEB, TestWorker, VM1, VM4 } from "../test/network.ts";

const UDP = 17;
const TCP = 6;
const WEB = 0; // Datapath rows.
const DB = 1;

const vm1: Ends = {
  ...{ from: "10.0.1.10", fromMac: MACS[VM1]!, to: "10.0.2.10", toMac: MACS[ROUTER_WEB]! },
};
const vm1v6: Ends = { ...vm1, from: "fd00:0:0:1::10", to: "fd00:0:0:2::10" };
const vm4: Ends = {
  ...{ from: "10.0.2.10", fromMac: MACS[VM4]!, to: "10.0.1.10", toMac: MACS[ROUTER_DB]! },
};
const VM1_DEVICE = 0;
const VM4_DEVICE = 2;

function rule(changes: Partial<acls.AclRule>): acls.AclRule {
  return {
    ...{ direction: acls.FROM_PORT, datapath: WEB, port: -1, protocol: acls.ANY_PROTOCOL },
    ...{ source: null, destination: null },
    ...{ sourcePorts: acls.ANY_PORT, destinationPorts: acls.ANY_PORT },
    ...{ action: acls.ACTION_DROP, counter: -1, ...changes },
  };
}

function workerWith(...rules: acls.AclRule[]): TestWorker {
  return new TestWorker(0, buildTables(1, rules));
}

/** Connections outlive a test: each has a port of its own. */
let nextPort = 20_000;

function arrivals(worker: TestWorker, frame: Uint8Array, from = VM1_DEVICE, to = VM4_DEVICE) {
  worker.send(frame, from);
  return worker.toDevice(to).length;
}

const toVm4 = { direction: acls.TO_PORT, datapath: DB } as const;
const CASES: readonly (readonly [string, acls.AclRule[], Uint8Array, DropReasonName | null])[] = [
  ["no rule matches", [rule({ protocol: TCP })], udpFrame(vm1, 8, [1, 2]), null],
  ["everything is dropped from the port", [rule({})], udpFrame(vm1, 8, [1, 3]), "acl-drop"],
  ["everything is dropped to the port", [rule(toVm4)], udpFrame(vm1, 8, [1, 4]), "acl-drop"],
  ["the rule is for another switch", [rule({ datapath: DB })], udpFrame(vm1, 8, [1, 5]), null],
  ["the rule is for another port", [rule({ port: VM4 })], udpFrame(vm1, 8, [1, 6]), null],
  ["the port's own rule drops it", [rule({ port: VM1 })], udpFrame(vm1, 8, [1, 7]), "acl-drop"],
  [
    "an earlier rule allows it",
    [rule({ port: VM1, protocol: UDP, action: acls.ACTION_ALLOW }), rule({})],
    udpFrame(vm1, 8, [1, 8]),
    null,
  ],
  [
    "its destination port is in the range",
    [rule({ protocol: UDP, destinationPorts: { first: 9, last: 10 } })],
    udpFrame(vm1, 8, [1, 9]),
    "acl-drop",
  ],
  [
    "its destination port is not in the range",
    [rule({ protocol: UDP, destinationPorts: { first: 11, last: 12 } })],
    udpFrame(vm1, 8, [1, 10]),
    null,
  ],
  [
    "an IPv6 network matches",
    [rule({ destination: parsePrefix("fd00:0:0:2::/64") })],
    udpFrame(vm1v6, 8, [1, 11]),
    "acl-drop",
  ],
  [
    "the other family's network does not match",
    [rule({ destination: parsePrefix("0.0.0.0/0") })],
    udpFrame(vm1v6, 8, [1, 12]),
    null,
  ],
  [
    "a TCP segment begins nothing: the rules are asked",
    [rule({ protocol: TCP })],
    tcpFrame(vm1, [1, 13], { flags: tcp.RST }),
    "acl-drop",
  ],
];

for (const [title, rules, frame, reason] of CASES) {
  test(`a packet is ${reason === null ? "passed" : `dropped as ${reason}`} when ${title}`, () => {
    const worker = workerWith(...rules);
    const free = worker.freeSlots();
    assert.equal(arrivals(worker, frame), reason === null ? 1 : 0);
    if (reason !== null) assert.equal(worker.dropped(reason), 1);
    assert.equal(worker.freeSlots(), free);
  });
}

test("ARP and neighbour discovery pass, other multicast is asked about", () => {
  const worker = workerWith(rule({}), rule({ direction: acls.TO_PORT }));
  const toNodes = { ...vm1v6, to: "ff02::1:ff00:11", toMac: "33:33:ff:00:00:11" };
  assert.equal(arrivals(worker, arpRequest(vm1.fromMac, vm1.from, "10.0.1.1"), 0, 0), 1);
  assert.equal(arrivals(worker, solicitation(toNodes, "fd00:0:0:1::1"), 0, 0), 1);
  worker.send(udpFrame({ ...toNodes, to: "ff02::fb" }, 8), 0);
  assert.equal(worker.dropped("acl-drop"), 1);
});

test("what let the question pass lets the answer pass", () => {
  const port = nextPort++;
  const worker = workerWith(rule({ direction: acls.TO_PORT }), rule({ datapath: DB }));
  assert.equal(arrivals(worker, udpFrame(vm1, 8, [port, 53])), 1);
  assert.equal(arrivals(worker, udpFrame(vm4, 8, [53, port]), VM4_DEVICE, VM1_DEVICE), 1);
  assert.equal(arrivals(worker, udpFrame(vm4, 8, [54, port]), VM4_DEVICE, VM1_DEVICE), 0);
  assert.equal(worker.dropped("acl-drop"), 1);
});

test("a stateless rule lets packets pass, and no answer", () => {
  const port = nextPort++;
  const stateless = { action: acls.ACTION_ALLOW_STATELESS };
  const worker = workerWith(
    rule(stateless),
    rule({ ...toVm4, ...stateless }),
    rule({ datapath: DB }),
  );
  for (let i = 0; i < 3; i++) assert.equal(arrivals(worker, udpFrame(vm1, 8, [port, 53])), 1);
  assert.equal(arrivals(worker, udpFrame(vm4, 8, [53, port]), VM4_DEVICE, VM1_DEVICE), 0);
  assert.equal(worker.dropped("acl-drop"), 1);
});

for (const isFast of [true, false]) {
  const how = isFast ? "with the fast path" : "stage by stage";
  test(`a rule that comes later stops a connection both ways, and back, ${how}`, () => {
    const port = nextPort++;
    const worker = workerWith();
    worker.isFast = isFast;
    const out = udpFrame(vm1, 8, [port, 53]);
    const back = udpFrame(vm4, 8, [53, port]);
    for (let i = 0; i < 3; i++) {
      assert.equal(arrivals(worker, out), 1);
      assert.equal(arrivals(worker, back, VM4_DEVICE, VM1_DEVICE), 1);
    }
    worker.core.tables = buildTables(2, [rule({ protocol: UDP })]);
    // Answers stop at the port that asked, also when nobody asks any more.
    assert.equal(arrivals(worker, back, VM4_DEVICE, VM1_DEVICE), 0);
    assert.equal(worker.dropped("acl-blocked"), 1);
    assert.equal(arrivals(worker, out), 0);
    assert.equal(worker.dropped("acl-drop"), 1);
    for (let i = 0; i < 3; i++) {
      assert.equal(arrivals(worker, back, VM4_DEVICE, VM1_DEVICE), 0);
    }
    assert.equal(worker.dropped("acl-blocked"), 4);
    worker.core.tables = buildTables(3);
    assert.equal(arrivals(worker, out), 1);
    assert.equal(arrivals(worker, back, VM4_DEVICE, VM1_DEVICE), 1);
  });

  test(`a rule counts the packets that it decided about, ${how}`, () => {
    const port = nextPort++;
    const allow = { action: acls.ACTION_ALLOW };
    const worker = workerWith(
      rule({ ...allow, counter: 3 }),
      rule({ ...toVm4, ...allow, counter: 5 }),
      rule({ counter: 7 }),
    );
    worker.isFast = isFast;
    for (let i = 0; i < 4; i++) {
      assert.equal(arrivals(worker, udpFrame(vm1, 8, [port, 53])), 1);
      assert.equal(arrivals(worker, udpFrame(vm4, 8, [53, port]), VM4_DEVICE, VM1_DEVICE), 1);
    }
    assert.deepEqual(
      [3, 5, 7].map((index) => worker.ruleCounters.hits(index)),
      [4, 4, 0],
    );
  });
}

test("an ICMP echo is asked about by its protocol", () => {
  const worker = workerWith(rule({ protocol: 1 }));
  assert.equal(arrivals(worker, echoFrame(vm1)), 0);
  assert.equal(worker.dropped("acl-drop"), 1);
  assert.equal(arrivals(worker, echoFrame(vm1v6)), 1);
});
