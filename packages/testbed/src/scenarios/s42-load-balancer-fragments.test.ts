/**
 * S42: datagrams of 8 KB to a load balancer's address reach one backend with all their fragments,
 * at whichever chassis it is, and so do the answers. Fragments that come in the wrong order wait
 * for the first one; without it they are dropped under their reason and never shared out. TCP
 * through the same address keeps its backend.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { CountersView } from "@rhone/api/context";
import { succeeded } from "@rhone/cli/rest-client";
import { udpFragments } from "../frames.ts";
import { dropsOf, type LabFixture, underWorkers } from "../lab-fixture.ts";
import { labOf } from "../topology.ts";

const LIMIT = { timeout: 60_000 };
const SIZE = 8000; // bytes of payload
const FLOWS = 24;
const VIPS = ["10.0.9.9", "fd00:0:0:9::9"] as const;
/** In the clients' own network. */
const NEAR_VIP = "10.0.1.100";
const BACKENDS = ["s1", "s2", "s3"] as const;
const ECHO = 7;
const PIECE = 1360;
const SETTLED_MS = 300;
/** Datagrams whose last fragment is sent first. */
const REVERSED = 3;

const lab = labOf({
  name: "s42",
  chassis: ["a", "b", "c"],
  ports: [
    { name: "vm1", switch: "clients", chassis: "a", addresses: ["10.0.1.10", "fd00:0:0:1::10"] },
    { name: "s1", switch: "servers", chassis: "a", addresses: ["10.0.2.11", "fd00:0:0:2::11"] },
    { name: "s2", switch: "servers", chassis: "b", addresses: ["10.0.2.12", "fd00:0:0:2::12"] },
    { name: "s3", switch: "servers", chassis: "c", addresses: ["10.0.2.13", "fd00:0:0:2::13"] },
  ],
  routers: [
    {
      name: "r1",
      ports: [
        { name: "r1-c", switch: "clients", addresses: ["10.0.1.1/24", "fd00:0:0:1::1/64"] },
        { name: "r1-s", switch: "servers", addresses: ["10.0.2.1/24", "fd00:0:0:2::1/64"] },
      ],
    },
  ],
});

function backendsIn(network: string): { address: string }[] {
  return [11, 12, 13].map((host) => ({ address: `${network}${host}` }));
}

const LOAD_BALANCER = {
  ...{ kind: "load-balancer", name: "echo", switches: ["clients"] },
  vips: [
    { address: VIPS[0], protocol: "udp", port: ECHO, backends: backendsIn("10.0.2.") },
    { address: VIPS[1], protocol: "udp", port: ECHO, backends: backendsIn("fd00:0:0:2::") },
    { address: VIPS[0], protocol: "tcp", port: ECHO, backends: backendsIn("10.0.2.") },
    { address: VIPS[1], protocol: "tcp", port: ECHO, backends: backendsIn("fd00:0:0:2::") },
    { address: NEAR_VIP, protocol: "tcp", port: ECHO, backends: backendsIn("10.0.2.") },
  ],
};

async function balance(fixture: LabFixture): Promise<void> {
  const { client } = fixture.running.chassis[1]!.process; // Not the one that has the client.
  succeeded(await client.request("POST", "/v1/apply", { body: [LOAD_BALANCER] }));
  await fixture.running.settled();
  await Promise.all(BACKENDS.map((name) => fixture.agent(name)));
}

interface Counts {
  readonly datagrams: number;
  /** That a host was asked to put together, and could. */
  readonly fragments: number;
  readonly joined: number;
}

/** Of both families, as the workload's kernel counts them. */
async function countsOf(fixture: LabFixture, workload: string): Promise<Counts> {
  const { stdout } = await fixture.run(workload, "cat", "/proc/net/snmp", "/proc/net/snmp6");
  const lines = stdout.split("\n");
  const ofIpv4 = (protocol: string, name: string): number => {
    const [names, values] = lines
      .filter((line) => line.startsWith(`${protocol}: `))
      .map((line) => line.split(" "));
    return Number(values![names!.indexOf(name)]);
  };
  const ofIpv6 = (name: string): number => {
    const line = lines.find((each) => each.startsWith(`${name} `) || each.startsWith(`${name}\t`));
    return Number(line!.split(/\s+/)[1]);
  };
  return {
    datagrams: ofIpv4("Udp", "InDatagrams") + ofIpv6("Udp6InDatagrams"),
    fragments: ofIpv4("Ip", "ReasmReqds") + ofIpv6("Ip6ReasmReqds"),
    joined: ofIpv4("Ip", "ReasmOKs") + ofIpv6("Ip6ReasmOKs"),
  };
}

/** What each backend got meanwhile. */
async function growth(fixture: LabFixture, during: () => Promise<void>): Promise<Counts[]> {
  const look = () => Promise.all(BACKENDS.map((name) => countsOf(fixture, name)));
  const before = await look();
  await during();
  const after = await look();
  return after.map(({ datagrams, fragments, joined }, i) => ({
    datagrams: datagrams - before[i]!.datagrams,
    fragments: fragments - before[i]!.fragments,
    joined: joined - before[i]!.joined,
  }));
}

/** As they are, from vm1. */
async function sendFrames(fixture: LabFixture, frames: readonly Buffer[]): Promise<void> {
  const program = new URL("../raw-frames.ts", import.meta.url).href;
  await fixture.script("vm1", program, [], frames.map((frame) => frame.toString("hex")).join("\n"));
}

const orphansOf = (counters: CountersView): number => dropsOf(counters, "fragment-orphan");

function sumOf(counts: readonly Counts[], name: keyof Counts): number {
  return counts.reduce((sum, each) => sum + each[name], 0);
}

/** Of a datagram to the load balancer; every one has another identification. */
async function fragmentsOf(fixture: LabFixture, identification: number): Promise<Buffer[]> {
  const { client } = fixture.running.chassis[0]!.process;
  const vm1 = await client.get<{ mac: string }>("/v1/ports/vm1");
  const { ports } = await client.get<{ ports: { mac: string }[] }>("/v1/routers/r1");
  const ends = { fromMac: vm1.mac, toMac: ports[0]!.mac, from: "10.0.1.10", to: VIPS[0] };
  return udpFragments(ends, ECHO, identification, Buffer.alloc(SIZE, 0x62), PIECE);
}

function testOrder(fixture: LabFixture): void {
  test("S42: fragments in the wrong order reach one backend all the same", LIMIT, async () => {
    const before = await fixture.counters("a");
    let count = 0;
    const counts = await growth(fixture, async () => {
      for (let datagram = 0; datagram < REVERSED; datagram++) {
        const fragments = await fragmentsOf(fixture, 4711 + datagram);
        count += fragments.length;
        await sendFrames(fixture, fragments.toReversed());
      }
      await sleep(SETTLED_MS);
    });
    assert.equal(dropsOf(await fixture.counters("a"), "fragment-orphan"), orphansOf(before));
    const told = JSON.stringify(counts);
    assert.deepEqual(
      [sumOf(counts, "fragments"), sumOf(counts, "joined")],
      [count, REVERSED],
      told,
    );
    assert.equal(sumOf(counts, "datagrams"), REVERSED, told);
  });

  test("S42: those whose first never comes are dropped by name", LIMIT, async () => {
    const before = await fixture.counters("a");
    const [, ...later] = await fragmentsOf(fixture, 4811);
    const counts = await growth(fixture, async () => {
      await sendFrames(fixture, later);
      await sleep(SETTLED_MS);
    });
    const after = await fixture.counters("a");
    assert.equal(orphansOf(after) - orphansOf(before), later.length);
    assert.deepEqual([sumOf(counts, "fragments"), sumOf(counts, "datagrams")], [0, 0]);
  });
}

underWorkers("s42", [1, 2, 4], { lab }, (fixture) => {
  test(
    "S42: datagrams of 8 KB reach one backend each, and so do their answers",
    LIMIT,
    async () => {
      await balance(fixture);
      const vm1 = await fixture.agent("vm1");
      for (const to of VIPS) {
        const counts = await growth(fixture, async () => {
          for (let flow = 0; flow < FLOWS; flow++) {
            const { ok, detail } = await vm1.ask({ op: "udp", to, sizes: [SIZE, SIZE] });
            assert.ok(ok, `${to}: ${detail}`);
          }
        });
        assert.equal(sumOf(counts, "datagrams"), FLOWS * 2);
        const serving = counts.filter(({ datagrams }) => datagrams > 0);
        assert.ok(serving.length > 1, `expected several backends, got ${JSON.stringify(counts)}`);
        for (const { datagrams, fragments, joined } of serving) {
          assert.equal(joined, datagrams, "every datagram was put together");
          assert.equal(fragments % datagrams, 0, "and nobody got fragments of another's");
        }
      }
      assert.equal(dropsOf(await fixture.counters("a"), "fragment-orphan"), 0);
    },
  );

  testOrder(fixture);

  test(
    "S42: TCP through the same addresses, and through one of the clients' network",
    LIMIT,
    async () => {
      const vm1 = await fixture.agent("vm1");
      for (const to of [...VIPS, NEAR_VIP]) {
        for (let flow = 0; flow < 4; flow++) {
          const { ok, detail } = await vm1.ask({ op: "tcp", to, size: 300_000 });
          assert.ok(ok, `${to}: ${detail}`);
        }
      }
    },
  );

  test("S42: without backends the sender is told at once", LIMIT, async () => {
    const [first] = LOAD_BALANCER.vips;
    const empty = { ...LOAD_BALANCER, vips: [{ ...first!, protocol: "tcp", backends: [] }] };
    const { client } = fixture.running.chassis[2]!.process;
    succeeded(await client.request("POST", "/v1/apply", { body: [empty] }));
    await fixture.running.settled();
    const vm1 = await fixture.agent("vm1");
    const { ok, detail } = await vm1.ask({ op: "tcp", to: VIPS[0], size: 1 });
    assert.ok(!ok && /ECONNREFUSED/.test(detail), detail);
    assert.ok(dropsOf(await fixture.counters("a"), "lb-no-backend") > 0);
  });
});
