/** Super-frames through the tunnel: sent from where they lie, joined again where they arrive. */
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { TUNNEL_DEVICE } from "@rhone/rings/counters";
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import { parseAddress } from "@rhone/wire/address";
import * as resume from "@rhone/wire/resume";
import { segmentPlainly } from "./segment.golden.ts";
import { segmentHeadersInto, segmentInto } from "./segment.ts";
import { ip, TestNetwork, until } from "./test-network.ts";
import { type Shape, superFrame, superPacket } from "./test-super-frame.ts";
import { findHeaders, frameOf, TestWorker } from "./test-worker.ts";
import type { JoinCheck } from "./udp-receiver.ts";
import { UdpUnderlay } from "./udp-underlay.ts";

const { bytes } = poolViews();
const LEFT = Int32Array.from(parseAddress("10.8.0.1")!);
const RIGHT = Int32Array.from(parseAddress("10.8.0.2")!);
/** Of 46 segments, which are more than one datagram holds. */
const bulk: Shape = {
  ...{ isTcp: true, isIpv4: true, optionWords: 3, flags: 0x10, sequence: 0x1000_0000 },
  ...{ identification: 7, payloadSize: 61_000, segmentSize: 1340, seed: 5 },
};
const STAMP = resume.encode({
  ...{ vni: 5, stage: 8, flags: 1, handOffsLeft: 3, reason: 0, ingressPort: 1, egressPort: 2 },
  ...{ identity: 7, generation: 9, origin: 3, flowHash: 0x1234, connection: 2, ttlDecrements: 1 },
  ...{ tagHigh: 0, tagLow: 0 },
});

describe("super-frames through the tunnel", { timeout: 60_000 }, () => {
  const network = new TestNetwork();
  const worker = new TestWorker();
  const { allocator, counters } = worker;
  let [leftSpace, rightSpace] = ["", ""];

  before(() => {
    leftSpace = network.namespace("left");
    rightSpace = network.namespace("right");
    network.veth(leftSpace, "left", rightSpace, "right");
    ip("-n", leftSpace, "addr", "add", "10.8.0.1/24", "dev", "left");
    ip("-n", rightSpace, "addr", "add", "10.8.0.2/24", "dev", "right");
  });
  after(() => network.close());

  const opened: { close(): void }[] = [];
  afterEach(() => {
    for (const one of opened.splice(0)) one.close();
    worker.assertAllHome();
  });

  function open(namespace: string, address: string, mayJoin?: JoinCheck): UdpUnderlay {
    const options = { address, port: 6081, allocator, counters };
    const underlay = network.inside(
      namespace,
      () => new UdpUnderlay(mayJoin === undefined ? options : { ...options, mayJoin }),
    );
    opened.push(underlay);
    return underlay;
  }

  /** Sends a super-frame, each segment behind the stamp; returns what its segments look like. */
  function send(from: UdpUnderlay, shape: Shape): Uint8Array[] {
    const whole = superFrame(shape);
    const slot = superPacket(worker, whole);
    const segments = new Int32Array(64);
    const count = segmentHeadersInto(slot, allocator, segments);
    for (let i = 0; i < count; i++) {
      const at = packet.frameAt(segments[i]!) - resume.HEADER_SIZE;
      bytes.set(STAMP, at);
      packet.setFrameAt(segments[i]!, at);
      packet.setLength(segments[i]!, packet.length(segments[i]!) + resume.HEADER_SIZE);
    }
    const headersSize = packet.headerLength(slot);
    const payloadAt = packet.frameAt(slot) + headersSize;
    network.inside(leftSpace, () => {
      const sizes = [headersSize + resume.HEADER_SIZE, payloadAt] as const;
      from.transmitSegments(segments, count, ...sizes, RIGHT);
    });
    allocator.give(slot);
    return segmentPlainly(whole);
  }

  /** The segments of all that arrives until there are `count`, and how many packets they were. */
  function receive(at: UdpUnderlay, count: number, limit = 64): [Uint8Array[], number] {
    const slots = new Int32Array(64);
    const frames: Uint8Array[] = [];
    let packets = 0;
    until(`${count} segments`, () => {
      const received = at.receive(slots, limit);
      packets += received;
      for (let i = 0; i < received; i++) {
        assert.deepEqual(at.sources.slice(i * 4, i * 4 + 4), LEFT);
        frames.push(...segmentsOf(slots[i]!));
      }
      return frames.length === count;
    });
    return [frames, packets];
  }

  function segmentsOf(slot: number): Uint8Array[] {
    assert.deepEqual(frameOf(slot).slice(0, resume.HEADER_SIZE), STAMP);
    packet.setFrameAt(slot, packet.frameAt(slot) + resume.HEADER_SIZE);
    packet.setLength(slot, packet.length(slot) - resume.HEADER_SIZE);
    findHeaders(slot);
    const out = new Int32Array(64).fill(slot);
    const count = packet.gsoType(slot) === 0 ? 1 : segmentInto(slot, allocator, out);
    return Array.from(out.subarray(0, count), (segment) => {
      const frame = frameOf(segment);
      allocator.give(segment);
      return frame;
    });
  }

  for (const isIpv4 of [true, false]) {
    test(`arrive as two for a large one, ${isIpv4 ? "IPv4" : "IPv6"}`, () => {
      const [from, to] = [open(leftSpace, "10.8.0.1"), open(rightSpace, "10.8.0.2")];
      const before = counters.device(TUNNEL_DEVICE);
      const expected = send(from, { ...bulk, isIpv4 });
      assert.deepEqual(receive(to, 46), [expected, 2]);
      const now = counters.device(TUNNEL_DEVICE);
      assert.deepEqual(
        [now.txPackets - before.txPackets, now.rxPackets - before.rxPackets],
        [46, 46],
      );
      assert.equal(now.rxBytes - before.rxBytes, now.txBytes - before.txBytes);
    });
  }

  test("arrive as segments when they are no TCP, a few at a time", () => {
    const [from, to] = [open(leftSpace, "10.8.0.1"), open(rightSpace, "10.8.0.2")];
    const expected = send(from, { ...bulk, isTcp: false });
    const others = send(from, { ...bulk, payloadSize: 3000, isTcp: false });
    assert.deepEqual(receive(to, 46 + 3, 5), [[...expected, ...others], 49]);
  });

  test("are joined only as far as the marks of the datagrams are right", () => {
    let asked = 0;
    const mayJoin: JoinCheck = (at, end, source) => {
      assert.equal(end - at, asked === 9 ? 1246 : 1446);
      assert.deepEqual(bytes.slice(at, at + resume.HEADER_SIZE), STAMP);
      assert.deepEqual(source, LEFT);
      return asked++ !== 4;
    };
    const [from, to] = [open(leftSpace, "10.8.0.1"), open(rightSpace, "10.8.0.2", mayJoin)];
    const expected = send(from, { ...bulk, payloadSize: 9 * 1340 - 200 });
    // The fifth stays alone after four; then, asked again, it begins the rest.
    assert.deepEqual(receive(to, 9), [expected, 2]);
  });

  test("wait in the socket while no large slot is free", () => {
    const [from, to] = [open(leftSpace, "10.8.0.1"), open(rightSpace, "10.8.0.2")];
    const slots = new Int32Array(64);
    const taken: number[] = [];
    assert.equal(to.receive(slots, 64), 0); // It has what it wants.
    while (allocator.largeFree > 1) taken.push(allocator.takeLarge());
    for (let i = 0; i < 40; i++) send(from, { ...bulk, payloadSize: 40_000 });
    const held: number[] = [];
    for (let i = 0; i < 10; i++) held.push(...slots.slice(0, to.receive(slots, 64)));
    assert.equal(held.length, 33);
    for (const slot of [...held, ...taken]) allocator.give(slot);
    receive(to, 7 * 30);
  });
});
