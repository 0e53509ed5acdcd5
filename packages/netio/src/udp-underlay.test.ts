import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { TUNNEL_DEVICE } from "@rhone/rings/counters";
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { FRAME_OFFSET, SLOT_SIZE } from "@rhone/rings/pool";
import { parseAddress } from "@rhone/wire/address";
import { openAfPacket } from "./af-packet.ts";
import { ip, TestNetwork, until } from "./test-network.ts";
import { frameOf, TestWorker } from "./test-worker.ts";
import { SOURCE_PORTS_DEFAULT } from "./udp-socket.ts";
import { UdpUnderlay } from "./udp-underlay.ts";

const PORT = 6081;
const HEADER_ROOM = 40;
const GSO_UDP_L4 = 5;
const PEER_MAC = "02:00:00:00:00:99";

/** A packet's bytes, Geneve header and all; only the tunnel's ends look into them. */
const payload = (size: number, number: number): Uint8Array =>
  new Uint8Array(size).map((_, i) => (i < 2 ? number >> (8 - i * 8) : i * 3 + number) & 0xff);

describe("the UDP underlay", { timeout: 60_000 }, () => {
  const network = new TestNetwork();
  const worker = new TestWorker();
  const { allocator, counters } = worker;
  let [leftSpace, rightSpace] = ["", ""];

  before(() => {
    leftSpace = network.namespace("left", true);
    rightSpace = network.namespace("right", true);
    network.veth(leftSpace, "left", rightSpace, "right");
    ip("-n", leftSpace, "addr", "add", "10.8.0.1/24", "dev", "left");
    ip("-n", rightSpace, "addr", "add", "10.8.0.2/24", "dev", "right");
    ip("-n", leftSpace, "addr", "add", "fd08::1/64", "dev", "left", "nodad");
    ip("-n", rightSpace, "addr", "add", "fd08::2/64", "dev", "right", "nodad");
  });
  after(() => network.close());

  const opened: { close(): void }[] = [];
  afterEach(() => {
    for (const one of opened.splice(0)) one.close();
    worker.assertAllHome();
  });

  function open(namespace: string, address: string): UdpUnderlay {
    const options = { address, port: PORT, allocator, counters };
    const underlay = network.inside(namespace, () => new UdpUnderlay(options));
    opened.push(underlay);
    return underlay;
  }

  /** Sends each payload under its flow hash to one address, from where sockets are then opened. */
  function send(
    namespace: string,
    from: UdpUnderlay,
    to: string,
    payloads: readonly Uint8Array[],
    flowHash: (i: number) => number,
  ): void {
    const slots = Int32Array.from(payloads, (bytes, i) => {
      const slot = worker.packet(bytes);
      packet.setFlowHash(slot, flowHash(i));
      return slot;
    });
    const destinations = Int32Array.from(payloads.flatMap(() => [...parseAddress(to)!]));
    network.inside(namespace, () => from.transmit(slots, slots.length, destinations));
  }

  /** All payloads that arrive until there are `count`, with their sources checked. */
  function receive(at: UdpUnderlay, count: number, source: string): Uint8Array[] {
    const slots = new Int32Array(64);
    const payloads: Uint8Array[] = [];
    until(`${count} packets`, () => {
      const received = at.receive(slots, 64);
      for (let i = 0; i < received; i++) {
        const slot = slots[i]!;
        assert.equal(packet.frameAt(slot), slot * SLOT_SIZE + FRAME_OFFSET - HEADER_ROOM);
        assert.equal(packet.device(slot), -1);
        assert.deepEqual([...at.sources.subarray(i * 4, i * 4 + 4)], [...parseAddress(source)!]);
        payloads.push(frameOf(slot));
        allocator.give(slot);
      }
      return payloads.length === count;
    });
    return payloads;
  }

  for (const [left, right] of [
    ["10.8.0.1", "10.8.0.2"],
    ["fd08::1", "fd08::2"],
  ] as const) {
    test(`carries runs of equal packets in order, ${left} to ${right}`, () => {
      const [from, to] = [open(leftSpace, left), open(rightSpace, right)];
      // One flow: runs that end with a shorter packet, runs longer than the kernel takes at once,
      // packets that grow, and single ones.
      const sizes = [
        ...Array(100).fill(1400),
        300,
        1200,
        1200,
        80,
        90,
        1300,
        ...Array(3).fill(500),
      ];
      const payloads = sizes.map((size, i) => payload(size, i));
      send(leftSpace, from, right, payloads, () => 5);
      assert.deepEqual(receive(to, payloads.length, left), payloads);
      send(rightSpace, to, left, payloads.slice(0, 3), () => 7);
      assert.deepEqual(receive(from, 3, right), payloads.slice(0, 3));
    });
  }

  test("hands a run of equal packets to the kernel as one", () => {
    const from = open(leftSpace, "10.8.0.1");
    const to = network.inside(rightSpace, () => openAfPacket("right", worker.context(0)));
    opened.push(to);
    ip("-n", leftSpace, "neigh", "replace", "10.8.0.2", "lladdr", PEER_MAC, "dev", "left");
    const payloads = Array.from({ length: 9 }, (_, i) => payload(i < 8 ? 1000 : 70, i));
    send(leftSpace, from, "10.8.0.2", payloads, () => 3);
    const slots = new Int32Array(1);
    until("a super-datagram", () => {
      if (to.receive(slots, 1) === 0) return false;
      const slot = slots[0]!;
      const whole = [packet.gsoType(slot), packet.gsoSize(slot), packet.length(slot)];
      allocator.give(slot);
      return whole.join() === [GSO_UDP_L4, 1000, 42 + 8070].join();
    });
    ip("-n", leftSpace, "neigh", "del", "10.8.0.2", "dev", "left");
  });

  test("spreads flows over source ports, and keeps a flow on one", () => {
    const from = open(leftSpace, "10.8.0.1");
    const to = network.inside(rightSpace, () => openAfPacket("right", worker.context(0)));
    opened.push(to);
    ip(
      "-n",
      leftSpace,
      "neigh",
      "replace",
      "10.8.0.2",
      "lladdr",
      "02:00:00:00:00:99",
      "dev",
      "left",
    );
    const portOf = new Map<number, number>();
    const sourcePorts = new Set<number>();
    let seen = 0;
    const step = 100;
    for (let first = 0; first < 2000; first += step) {
      // Two packets of each of 1000 flows, each longer than the one before: none are cut from one.
      const numbers = Array.from({ length: step }, (_, i) => (first + i) % 1000);
      const packets = numbers.map((number, i) => payload(100 + i, number));
      send(leftSpace, from, "10.8.0.2", packets, (i) => Math.imul(numbers[i]!, 0x9e3779b1));
      until(`${step} packets`, () => {
        for (const frame of worker.receive(to)) {
          const view = new DataView(frame.buffer);
          if (view.getUint16(12) !== 0x0800 || view.getUint16(36) !== PORT) continue;
          assert.equal(view.getUint16(20) & 0x4000, 0x4000, "expected DF");
          const flow = view.getUint16(42);
          const port = view.getUint16(34);
          assert.ok(port >= 49152, `expected a dynamic port, got ${port}`);
          assert.equal(portOf.get(flow) ?? port, port);
          portOf.set(flow, port);
          sourcePorts.add(port);
          seen++;
        }
        return seen === first + step;
      });
    }
    assert.equal(sourcePorts.size, SOURCE_PORTS_DEFAULT);
    ip("-n", leftSpace, "neigh", "del", "10.8.0.2", "dev", "left");
  });

  test("packets of one source port leave together, those of a flow in their order", () => {
    const [from, to] = [open(leftSpace, "10.8.0.1"), open(rightSpace, "10.8.0.2")];
    const flows = Array.from({ length: 60 }, (_, i) => i % 3);
    const payloads = flows.map((_, i) => payload(100, i));
    send(leftSpace, from, "10.8.0.2", payloads, (i) => flows[i]!);
    const came = receive(to, 60, "10.8.0.1");
    const grouped = [0, 1, 2].flatMap((flow) => payloads.filter((_, i) => flows[i] === flow));
    assert.deepEqual(came, grouped);
  });

  test("drops by name what is too big for the path, and only that", () => {
    const [from, to] = [open(leftSpace, "10.8.0.1"), open(rightSpace, "10.8.0.2")];
    const tooBig = counters.dropped(DROP["too-big"]);
    const payloads = [payload(1472, 1), payload(1473, 2), payload(1473, 3), payload(1472, 4)];
    send(leftSpace, from, "10.8.0.2", payloads, () => 1);
    assert.deepEqual(receive(to, 2, "10.8.0.1"), [payloads[0], payloads[3]]);
    assert.equal(counters.dropped(DROP["too-big"]), tooBig + 2);
  });

  test("drops by name what cannot go to its destination", () => {
    const from = open(leftSpace, "10.8.0.1");
    const before = counters.dropped(DROP["tunnel-send-failed"]);
    send(leftSpace, from, "fd08::2", [payload(100, 1), payload(100, 2)], () => 1);
    send(leftSpace, from, "192.0.2.1", [payload(100, 1), payload(100, 2)], () => 1); // no route
    assert.equal(counters.dropped(DROP["tunnel-send-failed"]), before + 4);
    assert.equal(from.reclaim(), false);
  });

  test("lets every worker of a chassis have a socket on the same port", () => {
    const from = open(leftSpace, "10.8.0.1");
    const workers = [open(rightSpace, "10.8.0.2"), open(rightSpace, "10.8.0.2")];
    const payloads = Array.from({ length: 200 }, (_, i) => payload(100, i));
    send(leftSpace, from, "10.8.0.2", payloads, (i) => i);
    const slots = new Int32Array(64);
    const counts = [0, 0];
    until("200 packets", () => {
      for (const [w, underlay] of workers.entries()) {
        const received = underlay.receive(slots, 64);
        for (let i = 0; i < received; i++) allocator.give(slots[i]!);
        counts[w]! += received;
      }
      return counts[0]! + counts[1]! === 200;
    });
    assert.ok(Math.min(...counts) > 20, `expected both workers to get flows, got ${counts}`);
  });

  test("says what is wrong with its address", () => {
    assert.throws(() => open(leftSpace, "10.8.0"), /expected an IP address, got "10.8.0"/);
    const notOurs = /bind the tunnel at 10\.8\.0\.99, UDP port 6081: EADDRNOTAVAIL/;
    assert.throws(() => open(leftSpace, "10.8.0.99"), notOurs);
  });

  test("counts packets and bytes of the tunnel", () => {
    const before = counters.device(TUNNEL_DEVICE);
    const [from, to] = [open(leftSpace, "10.8.0.1"), open(rightSpace, "10.8.0.2")];
    send(leftSpace, from, "10.8.0.2", [payload(100, 1), payload(100, 2), payload(60, 3)], () => 1);
    receive(to, 3, "10.8.0.1");
    const now = counters.device(TUNNEL_DEVICE);
    assert.deepEqual([now.txPackets - before.txPackets, now.txBytes - before.txBytes], [3, 260]);
    assert.deepEqual([now.rxPackets - before.rxPackets, now.rxBytes - before.rxBytes], [3, 260]);
  });
});
