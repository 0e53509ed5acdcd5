/** The tunnel over AF_XDP on an underlay device with several receive queues. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { TUNNEL_DEVICE } from "@rhone/rings/counters";
import * as packet from "@rhone/rings/packet";
import { parseAddress } from "@rhone/wire/address";
import { openAfXdp } from "./af-xdp.ts";
import { libc } from "./native.ts";
import { OuterHeaders } from "./outer-headers.ts";
import type { Port } from "./port.ts";
import { ip, TestNetwork, until } from "./test-network.ts";
import { frameOf, TestWorker } from "./test-worker.ts";
import { TunnelPaths, writePaths } from "./tunnel-paths.ts";
import { openTunnelProgram, type TunnelProgram } from "./tunnel-program.ts";
import { parseEndpoint } from "./udp-socket.ts";
import { UdpUnderlay } from "./udp-underlay.ts";
import { createSocketMap } from "./xdp-program.ts";
import { XdpUnderlay } from "./xdp-underlay.ts";

const PORT = 6081;
const PEER = "10.4.1.1";
const OURS = "10.4.1.2";
const QUEUES = 2;
const ROUNDS = 10;
const SIZE = 200;

describe("the tunnel over AF_XDP and several queues", { timeout: 60_000 }, () => {
  const network = new TestNetwork();
  const worker = new TestWorker();
  const { allocator, counters } = worker;
  const noProgram = createSocketMap(QUEUES);
  let [peerSpace, ourSpace] = ["", ""];
  let header = new Uint8Array();

  before(() => {
    peerSpace = network.namespace("peer");
    ourSpace = network.namespace("ours");
    const queues = ["numrxqueues", String(QUEUES), "numtxqueues", String(QUEUES)];
    const end = (name: string, space: string) => ["name", name, ...queues, "netns", space];
    ip("link", "add", ...end("ours", ourSpace), "type", "veth", "peer", ...end("peer", peerSpace));
    for (const [space, device, address] of [
      [peerSpace, "peer", PEER],
      [ourSpace, "ours", OURS],
    ] as const) {
      const channels = ["rx", String(QUEUES), "tx", String(QUEUES)];
      network.run(space, "ethtool", "--set-channels", device, ...channels);
      ip("-n", space, "addr", "add", `${address}/24`, "dev", device);
      ip("-n", space, "link", "set", device, "up");
    }
  });
  after(() => {
    libc.close(noProgram);
    network.close();
  });

  /** As the peer's tunnel makes it: a packet of `SIZE` bytes that begins with its number. */
  function frame(number: number): Uint8Array {
    const bytes = new Uint8Array(SIZE).fill(number);
    const slot = worker.packet(bytes);
    const to = Int32Array.from(parseAddress(OURS)!);
    const paths = new TunnelPaths(
      writePaths([{ address: parseAddress(OURS)!, mtu: 1500, header }]),
    );
    new OuterHeaders(parseEndpoint(PEER), PORT, 16).add(slot, paths, paths.find(to, 0), to, 0);
    const made = frameOf(slot);
    allocator.give(slot);
    return made;
  }

  function datagrams(): number {
    const text = network.run(ourSpace, "cat", "/proc/net/snmp");
    return Number(/^Udp: (\d+)/m.exec(text)![1]);
  }

  /** Sends by both queues in turns to a tunnel that has sockets on these; returns what came. */
  function exchange(program: TunnelProgram, served: readonly number[]): number[] {
    const options = { address: OURS, port: PORT, allocator, counters };
    const udp = network.inside(ourSpace, () => new UdpUnderlay(options));
    const endpoint = parseEndpoint(OURS);
    const queues: Port[] = [];
    const tunnel = new XdpUnderlay({ ...options, endpoint, udp, queues });
    const context = { ...worker.context(TUNNEL_DEVICE), outerSize: 0 };
    const { socketMap } = program;
    for (const queue of served) {
      const open = (): Port => openAfXdp("ours", context, { queue, socketMap });
      queues.push(network.inside(ourSpace, open));
    }
    const senders = Array.from({ length: QUEUES }, (_, queue) =>
      network.inside(peerSpace, () =>
        openAfXdp("peer", worker.context(0), { queue, socketMap: noProgram }),
      ),
    );
    const slots = new Int32Array(64);
    const received: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      for (const [queue, sender] of senders.entries()) {
        worker.transmit(sender, [frame(round * QUEUES + queue)]);
      }
      until("what was sent", () => {
        for (const sender of senders) sender.reclaim();
        const count = tunnel.receive(slots, 64);
        for (let i = 0; i < count; i++) {
          assert.equal(packet.length(slots[i]!), SIZE);
          received.push(frameOf(slots[i]!)[0]!);
          allocator.give(slots[i]!);
        }
        return received.length === (round + 1) * QUEUES;
      });
    }
    for (const port of [...queues, ...senders]) port.close();
    tunnel.close();
    worker.assertAllHome();
    return received.toSorted((a, b) => a - b);
  }

  test("takes what comes on each; a queue without a socket is the kernel's", () => {
    const program = network.inside(ourSpace, () => openTunnelProgram(OURS, PORT));
    assert.equal(program.count, QUEUES);
    const mac = /link\/ether (\S+)/.exec(ip("-n", ourSpace, "link", "show", "ours"))![1]!;
    header = Uint8Array.from([
      ...mac.split(":").map((byte) => Number.parseInt(byte, 16)),
      ...[2, 0, 0, 0, 0, 1, 0x08, 0x00],
    ]);
    const all = Array.from({ length: ROUNDS * QUEUES }, (_, number) => number);
    let before = datagrams();
    assert.deepEqual(exchange(program, [0, 1]), all);
    assert.equal(datagrams(), before, "none by the sockets");
    before = datagrams();
    assert.deepEqual(exchange(program, [1]), all);
    assert.equal(datagrams() - before, ROUNDS, "those of the other queue by the sockets");
    program.close();
  });
});
