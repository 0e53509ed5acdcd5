/** Answers in connections that a chassis has forgotten: what is taken for one, and for how long. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PICK_UP_MS } from "@rhone/rings/pick-up-window";
import * as acls from "@rhone/tables/acls";
import { listConnections } from "@rhone/tables/connection-list";
import { installedConnections, usageOf } from "@rhone/tables/connection-memory";
import type { VipRow } from "@rhone/tables/load-balancers";
import { PICKED_UP_MS, TCP_MS } from "@rhone/tables/timeouts";
import * as ipv4 from "@rhone/wire/ipv4";
import * as tcp from "@rhone/wire/tcp";
import { type Ends, tcpFrame, udpFrame } from "../test/frames.ts";
import {
  buildTables,
  ip,
  MACS,
  ROUTER_DB,
  ROUTER_WEB,
  TestWorker,
  VM1,
  VM4,
} from "../test/network.ts";

const { SYN, ACK, FIN, RST } = tcp;
const WEB = 0; // Datapath rows.
const DB = 1;
const SERVICE = 80;
const CLIENT_DEVICE = 0;
const SERVER_DEVICE = 2;

const client: Ends = {
  ...{ from: "10.0.1.10", fromMac: MACS[VM1]!, to: "10.0.2.10", toMac: MACS[ROUTER_WEB]! },
};
const server: Ends = {
  ...{ from: "10.0.2.10", fromMac: MACS[VM4]!, to: "10.0.1.10", toMac: MACS[ROUTER_DB]! },
};

function rule(changes: Partial<acls.AclRule>): acls.AclRule {
  return {
    ...{ direction: acls.TO_PORT, datapath: DB, port: -1, protocol: acls.ANY_PROTOCOL },
    ...{ source: null, destination: null, counter: -1 },
    ...{ sourcePorts: acls.ANY_PORT, destinationPorts: acls.ANY_PORT },
    ...{ action: acls.ACTION_DROP, ...changes },
  };
}

/** The server may be asked for its service, and may begin nothing. */
function serverRules(door: number = acls.ACTION_ALLOW): acls.AclRule[] {
  const service = { first: SERVICE, last: SERVICE };
  return [
    rule({ protocol: ipv4.PROTOCOL_TCP, destinationPorts: service, action: door }),
    rule({ action: acls.ACTION_REJECT }),
    rule({ direction: acls.FROM_PORT, action: acls.ACTION_REJECT }),
  ];
}

/** The client may ask for anything, and be asked for nothing. */
const clientRules = [rule({ datapath: WEB })];

let nowMs = 1;
let nextPort = 30_000;

/** A worker that knows no connection, and maybe knows that. */
function makeWorker(
  rules: acls.AclRule[],
  { isRestarted = true, vips = [] as VipRow[] } = {},
): TestWorker {
  const worker = new TestWorker(0, buildTables(1, rules, null, new Map(), [], [], vips));
  nowMs += 100_000_000;
  worker.core.nowMs = nowMs;
  if (isRestarted) worker.core.pickUp.open(nowMs);
  return worker;
}

/** A connection of its own, by the client's port, that is under way. */
function makeConnection(worker: TestWorker) {
  const port = nextPort++;
  const fields = { flags: ACK, sequence: 500, acknowledgment: 100, payload: 4 };
  const answers = (changes: object = {}): boolean => {
    worker.send(tcpFrame(server, [SERVICE, port], { ...fields, ...changes }), SERVER_DEVICE);
    worker.toDevice(SERVER_DEVICE); // What it is told of a refusal.
    return worker.toDevice(CLIENT_DEVICE).length === 1;
  };
  const asks = (changes: object = {}): boolean => {
    const frame = { flags: ACK, sequence: 100, acknowledgment: 504, ...changes };
    worker.send(tcpFrame(client, [port, SERVICE], frame), CLIENT_DEVICE);
    return worker.toDevice(SERVER_DEVICE).length === 1;
  };
  const entries = () => {
    const live = listConnections().filter(({ expires }) => expires >= worker.core.nowMs);
    return live.filter(({ sourcePort, destinationPort }) => {
      return sourcePort === port || destinationPort === port;
    });
  };
  return { port, answers, asks, entries };
}

function pickedUp(): number {
  return usageOf(installedConnections().words.buffer as SharedArrayBuffer).pickedUp;
}

for (const [side, rules] of [
  ["server's", serverRules()],
  ["client's", clientRules],
  ["client's and the server's", [...serverRules(), ...clientRules]],
] as const) {
  test(`an answer that the ${side} rules refuse goes on as what it is`, () => {
    const worker = makeWorker([...rules]);
    const before = pickedUp();
    const { answers, asks, entries } = makeConnection(worker);
    assert.ok(answers());
    assert.ok(pickedUp() > before);
    assert.ok(asks());
    assert.ok(answers({ sequence: 504 }));
    const ours = entries().filter(({ sourcePort }) => sourcePort !== SERVICE);
    assert.ok(ours.length > 0, "the client is who began it");
    for (const { isReplySeen, expires } of ours) {
      assert.ok(isReplySeen);
      assert.equal(expires - worker.core.nowMs, TCP_MS.established);
    }
  });
}

test("before a restart, and when it is long over, it is refused", () => {
  const never = makeWorker(serverRules(), { isRestarted: false });
  assert.equal(makeConnection(never).answers(), false);
  const worker = makeWorker(serverRules());
  worker.core.nowMs += PICK_UP_MS;
  assert.equal(makeConnection(worker).answers(), true);
  worker.core.nowMs += 1;
  assert.equal(makeConnection(worker).answers(), false);
  assert.equal(worker.dropped("acl-reject"), 1);
});

for (const [what, flags, passes] of [
  ["data", ACK | tcp.PSH, true],
  ["the last of it", FIN | ACK, true],
  ["a question", SYN, false],
  ["the answer to one", SYN | ACK, false],
  ["a reset", RST | ACK, false],
  ["what has no flags", 0, false],
  ["an end without an acknowledgment", FIN, false],
] as const) {
  test(`${what} is ${passes ? "" : "not "}picked up`, () => {
    const worker = makeWorker(serverRules());
    assert.equal(makeConnection(worker).answers({ flags }), passes);
  });
}

test("what neither side may begin is refused, and UDP", () => {
  const worker = makeWorker(serverRules());
  const frame = tcpFrame(server, [SERVICE + 1, nextPort++], { flags: ACK });
  worker.send(frame, SERVER_DEVICE);
  worker.send(udpFrame(server, 8, [SERVICE, nextPort++]), SERVER_DEVICE);
  assert.equal(worker.toDevice(CLIENT_DEVICE).length, 0);
  assert.equal(worker.dropped("acl-reject"), 2);
});

test("what an end says to itself is no answer", () => {
  const worker = makeWorker(serverRules());
  const itself = { ...server, to: server.from };
  worker.send(tcpFrame(itself, [SERVICE, SERVICE], { flags: ACK }), SERVER_DEVICE);
  worker.toDevice(SERVER_DEVICE);
  assert.equal(worker.dropped("acl-reject"), 1);
});

test("a question without a connection has no answers in one", () => {
  const worker = makeWorker(serverRules(acls.ACTION_ALLOW_STATELESS));
  assert.equal(makeConnection(worker).answers(), false);
});

test("what a backend sends to who may have asked the VIP is refused", () => {
  const backends = [{ address: ip(server.from), port: SERVICE }];
  const vip = {
    address: ip("10.0.9.9"),
    protocol: ipv4.PROTOCOL_TCP,
    servicePort: SERVICE,
    backends,
  };
  const served = { ...vip, datapath: WEB, rejects: false };
  assert.equal(makeConnection(makeWorker(clientRules, { vips: [served] })).answers(), false);
  const elsewhere = { ...served, datapath: DB };
  assert.equal(makeConnection(makeWorker(clientRules, { vips: [elsewhere] })).answers(), true);
});

test("an answer to nobody ends in time, whatever its sender says, and opens nothing", () => {
  const worker = makeWorker(serverRules());
  const { answers, entries } = makeConnection(worker);
  assert.ok(answers());
  worker.core.nowMs += PICKED_UP_MS;
  assert.ok(answers({ sequence: 504 }));
  assert.equal(answers({ flags: SYN, sequence: 900 }), false, "a SYN in it");
  const own = entries().filter(({ source }) => `${source}` === `${ip(client.from)}`);
  assert.ok(own.length > 0 && own.every(({ isReplySeen }) => !isReplySeen));
  worker.core.nowMs += 1;
  assert.equal(answers({ sequence: 508 }), false);
});

test("a receiver that knows nothing of it does not prolong it", () => {
  const worker = makeWorker(serverRules());
  const { answers, asks, entries } = makeConnection(worker);
  assert.ok(answers());
  assert.ok(asks({ flags: RST, sequence: 100, acknowledgment: 0 }));
  worker.core.nowMs += PICKED_UP_MS;
  assert.ok(answers({ sequence: 504 }));
  const own = entries().filter(({ source }) => `${source}` === `${ip(client.from)}`);
  assert.deepEqual(
    own.map(({ isReplySeen }) => isReplySeen),
    [false],
  );
  worker.core.nowMs += 1;
  assert.equal(answers({ sequence: 508 }), false);
});
