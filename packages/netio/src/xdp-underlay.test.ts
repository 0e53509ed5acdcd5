import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { TUNNEL_DEVICE } from "@rhone/rings/counters";
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { parseAddress, parseMac } from "@rhone/wire/address";
import * as checksum from "@rhone/wire/checksum";
import { openAfPacket } from "./af-packet.ts";
import { openAfXdp } from "./af-xdp.ts";
import { OuterHeaders, outerSizeOf } from "./outer-headers.ts";
import type { Port, Tunnel } from "./port.ts";
import { ip, TestNetwork, until } from "./test-network.ts";
import { frameOf, TestWorker } from "./test-worker.ts";
import { TunnelPaths, writePaths } from "./tunnel-paths.ts";
import { openTunnelProgram } from "./tunnel-program.ts";
import { parseEndpoint } from "./udp-socket.ts";
import { UdpUnderlay } from "./udp-underlay.ts";
import { XdpUnderlay } from "./xdp-underlay.ts";

const PORT = 6081;
const MTU = 1500;
const MACS = { left: "02:00:00:00:0a:01", right: "02:00:00:00:0a:02" } as const;
const FAMILIES = [
  { left: "10.4.0.1", right: "10.4.0.2", other: "10.4.0.3" },
  { left: "fd04::1", right: "fd04::2", other: "fd04::3" },
] as const;
const SIZES = [41, 60, 99, 100, 577, 1400, 1418];

type Side = "left" | "right";

/** A packet's bytes, Geneve header and all; only the tunnel's ends look into them. */
const payload = (size: number, number: number): Uint8Array =>
  new Uint8Array(size).map((_, i) => (i < 2 ? number >> (8 - i * 8) : i * 3 + number) & 0xff);

for (const addresses of FAMILIES) {
  const isIpv6 = addresses.left.includes(":");
  describe(`the tunnel over AF_XDP and ${isIpv6 ? "IPv6" : "IPv4"}`, { timeout: 60_000 }, () => {
    const network = new TestNetwork();
    const worker = new TestWorker();
    const { allocator, counters } = worker;
    const spaces = { left: "", right: "" };
    const opened: { close(): void }[] = [];

    before(() => {
      for (const side of ["left", "right"] as const) spaces[side] = network.namespace(side, true);
      network.veth(spaces.left, "left", spaces.right, "right");
      for (const side of ["left", "right"] as const) {
        const device = ["dev", side];
        ip("-n", spaces[side], "link", "set", side, "address", MACS[side]);
        const length = isIpv6 ? 64 : 24;
        const detection = isIpv6 ? ["nodad"] : [];
        ip(
          "-n",
          spaces[side],
          "addr",
          "add",
          `${addresses[side]}/${length}`,
          ...device,
          ...detection,
        );
      }
    });
    after(() => network.close());
    afterEach(() => {
      for (const one of opened.splice(0).reverse()) one.close();
      worker.assertAllHome();
    });

    const keep = <T extends { close(): void }>(one: T): T => {
      opened.push(one);
      return one;
    };
    const other = (side: Side): Side => (side === "left" ? "right" : "left");

    function openUdp(side: Side): UdpUnderlay {
      const options = { address: addresses[side], port: PORT, allocator, counters };
      return network.inside(spaces[side], () => new UdpUnderlay(options));
    }

    function pathTo(side: Side, mtu = MTU): TunnelPaths {
      const header = new DataView(new ArrayBuffer(14));
      for (const [i, mac] of [MACS[side], MACS[other(side)]].entries()) {
        const { high, low } = parseMac(mac)!;
        header.setInt32(i * 6, high);
        header.setUint16(i * 6 + 4, low);
      }
      header.setUint16(12, isIpv6 ? 0x86dd : 0x0800);
      const address = parseAddress(addresses[side])!;
      const path = { address, mtu, header: new Uint8Array(header.buffer) };
      return new TunnelPaths(writePaths([path]));
    }

    function openXdp(side: Side): XdpUnderlay {
      const program = keep(
        network.inside(spaces[side], () => openTunnelProgram(addresses[side], PORT)),
      );
      assert.equal(program.device, side);
      const queues: Port[] = [];
      const udp = openUdp(side);
      const endpoint = parseEndpoint(addresses[side]);
      const underlay = new XdpUnderlay({ endpoint, port: PORT, udp, queues, allocator, counters });
      const context = { ...worker.context(TUNNEL_DEVICE), outerSize: outerSizeOf(endpoint) };
      const { socketMap } = program;
      const open = () => openAfXdp(side, context, { queue: 0, socketMap });
      queues.push(keep(network.inside(spaces[side], open)));
      underlay.adoptPaths(pathTo(other(side)));
      return keep(underlay);
    }

    const open = (side: Side, driver: "udp" | "af-xdp"): Tunnel =>
      driver === "udp" ? keep(openUdp(side)) : openXdp(side);

    function send(side: Side, from: Tunnel, payloads: readonly Uint8Array[], flow = 7): void {
      const slots = Int32Array.from(payloads, (bytes) => {
        const slot = worker.packet(bytes);
        packet.setFlowHash(slot, flow);
        return slot;
      });
      const to = parseAddress(addresses[other(side)])!;
      const destinations = Int32Array.from(payloads.flatMap(() => [...to]));
      network.inside(spaces[side], () => from.transmit(slots, slots.length, destinations));
    }

    /** All payloads that arrive until there are `count`, with their sources checked. */
    function receive(side: Side, at: Tunnel, count: number): Uint8Array[] {
      const slots = new Int32Array(64);
      const payloads: Uint8Array[] = [];
      const source = [...parseAddress(addresses[other(side)])!];
      until(`${count} packets`, () => {
        const received = at.receive(slots, 64);
        for (let i = 0; i < received; i++) {
          assert.deepEqual([...at.sources.subarray(i * 4, i * 4 + 4)], source);
          assert.equal(packet.device(slots[i]!), -1);
          payloads.push(frameOf(slots[i]!));
          allocator.give(slots[i]!);
        }
        return payloads.length === count;
      });
      return payloads;
    }

    /** Datagrams that the kernel has handed to sockets. */
    function datagramsOf(side: Side): number {
      if (isIpv6) {
        const text = network.run(spaces[side], "cat", "/proc/net/snmp6");
        return Number(/^Udp6InDatagrams\s+(\d+)$/m.exec(text)![1]);
      }
      const text = network.run(spaces[side], "cat", "/proc/net/snmp");
      return Number(/^Udp: (\d+)/m.exec(text)![1]);
    }

    /** The frame that the tunnel makes of a packet, with a right sum. */
    function frameTo(side: Side, bytes: Uint8Array): Uint8Array {
      const headers = new OuterHeaders(parseEndpoint(addresses[other(side)]), PORT, 16);
      const paths = pathTo(side);
      const slot = worker.packet(bytes);
      const to = Int32Array.from(parseAddress(addresses[side])!);
      assert.ok(headers.fit(slot, MTU));
      headers.add(slot, paths, paths.find(to, 0), to, 0);
      const frame = frameOf(slot);
      allocator.give(slot);
      return frame;
    }

    for (const [left, right] of [
      ["af-xdp", "af-xdp"],
      ["af-xdp", "udp"],
      ["udp", "af-xdp"],
    ] as const) {
      test(`from ${left} to ${right}: every packet comes once, as it was`, () => {
        const [from, to] = [open("left", left), open("right", right)];
        const before = { datagrams: datagramsOf("right"), ...counters.device(TUNNEL_DEVICE) };
        const payloads = Array.from({ length: 140 }, (_, i) => payload(SIZES[i % 7]!, i));
        const received: Uint8Array[] = [];
        for (let i = 0; i < payloads.length; i += 20) {
          for (const each of payloads.slice(i, i + 20)) send("left", from, [each]);
          received.push(...receive("right", to, 20));
        }
        assert.deepEqual(received, payloads);
        const isDirect = right === "af-xdp";
        assert.equal(datagramsOf("right") - before.datagrams, isDirect ? 0 : 140);
        const { rxBytes, txBytes } = counters.device(TUNNEL_DEVICE);
        const bytes = payloads.reduce((sum, { length }) => sum + length, 0);
        assert.deepEqual([rxBytes - before.rxBytes, txBytes - before.txBytes], [bytes, bytes]);
      });
    }

    test("without a path, and with one that is too narrow, packets leave by the socket", () => {
      const [from, to] = [openXdp("left"), openXdp("right")];
      const kernel = datagramsOf("right");
      from.adoptPaths(new TunnelPaths(writePaths([])));
      send("left", from, [payload(500, 1)]);
      assert.equal(receive("right", to, 1).length, 1);
      from.adoptPaths(pathTo("right", 1000));
      send("left", from, [payload(1000, 2), payload(900, 3)]);
      assert.equal(receive("right", to, 2).length, 2);
      assert.equal(datagramsOf("right"), kernel, "all of them came by the queue");
      const before = counters.dropped(DROP["too-big"]);
      send("left", from, [payload(1500, 4)]);
      assert.equal(counters.dropped(DROP["too-big"]), before + 1, "as the socket says");
    });

    test("a frame in a large slot leaves by the socket, however wide the path", () => {
      const from = openXdp("left");
      from.adoptPaths(pathTo("right", 9000));
      const before = counters.dropped(DROP["too-big"]);
      send("left", from, [payload(3000, 1)]);
      assert.equal(counters.dropped(DROP["too-big"]), before + 1, "as the socket says");
    });

    test("the sockets get their turn while the queue is never empty", () => {
      const [from, to] = [openXdp("left"), openXdp("right")];
      const slots = new Int32Array(4);
      const wanted = new Uint8Array(2000).map((_, i) => i);
      send(
        "left",
        from,
        Array.from({ length: 64 }, (_, i) => payload(100, i)),
      );
      const send2000 = `
        const socket = require("node:dgram").createSocket("udp${isIpv6 ? 6 : 4}");
        const close = () => socket.close();
        const bytes = Uint8Array.from({ length: 2000 }, (_, i) => i);
        socket.send(bytes, ${PORT}, "${addresses.right}", close);
      `;
      network.run(spaces.left, process.execPath, "-e", send2000); // In fragments.
      const sizes: number[] = [];
      for (let calls = 0; calls < 8; calls++) {
        const received = to.receive(slots, 4);
        for (let i = 0; i < received; i++) {
          const frame = frameOf(slots[i]!);
          sizes.push(frame.length);
          if (frame.length !== 100) assert.deepEqual(frame, wanted);
          allocator.give(slots[i]!);
        }
      }
      assert.deepEqual(sizes, [...new Array(30).fill(100), 2000]);
      receive("right", to, 34);
    });

    test("the kernel gets what is not the tunnel's, and what is no plain datagram", () => {
      const [from, to] = [openXdp("left"), openXdp("right")];
      send("left", from, [payload(100, 1)]);
      receive("right", to, 1);
      ip("-n", spaces.left, "neigh", "flush", "dev", "left");
      const ping = ["ping", "-c", "2", "-i", "0.2", "-W", "2", "-s", "4000", addresses.right];
      network.run(spaces.left, ...ping); // In fragments, and asks for the MAC address first.
      const before = datagramsOf("right");
      const send5000 = `
        const socket = require("node:dgram").createSocket("udp${isIpv6 ? 6 : 4}");
        const close = () => socket.close();
        socket.send(Buffer.alloc(5000), ${PORT}, "${addresses.right}", close);
      `;
      network.run(spaces.left, process.execPath, "-e", send5000);
      assert.deepEqual(receive("right", to, 1), [new Uint8Array(5000)]);
      assert.equal(datagramsOf("right"), before + 1, "it was put together by the kernel");
    });

    test("drops what the kernel would not have taken, under a name", () => {
      const to = openXdp("right");
      const peer = keep(network.inside(spaces.left, () => openAfPacket("left", worker.context(0))));
      const l3Size = isIpv6 ? 40 : 20;
      const good = frameTo("right", payload(200, 9));
      const change = (at: number, value: number): Uint8Array => {
        const frame = good.slice();
        frame[at]! ^= value;
        return frame;
      };
      const before = counters.dropped(DROP["tunnel-outer-malformed"]);
      const bad = [
        change(14 + l3Size + 8 + 100, 1), // a byte of the payload
        change(14 + l3Size + 6, 1), // the UDP checksum
        change(14 + l3Size + 4, 0x10), // the UDP length
        change(isIpv6 ? 14 + 4 : 14 + 2, 0x10), // IP's length
        change(isIpv6 ? 14 + 8 : 14 + 8, 1), // the source, or TTL without the header's sum
      ];
      worker.transmit(peer, [...bad, good]);
      assert.deepEqual(receive("right", to, 1), [payload(200, 9)]);
      assert.equal(counters.dropped(DROP["tunnel-outer-malformed"]), before + bad.length);
    });

    test("takes a sum that a sender on this machine has left to its device", () => {
      const to = openXdp("right");
      const peer = keep(network.inside(spaces.left, () => openAfPacket("left", worker.context(0))));
      const l4At = 14 + (isIpv6 ? 40 : 20);
      const frame = frameTo("right", payload(300, 5));
      const view = new DataView(frame.buffer);
      const isUnfinished = (): void => {
        const size = view.getUint16(l4At + 4);
        const partial = isIpv6
          ? checksum.pseudoHeader6(view, 14, 17, size)
          : checksum.pseudoHeader4(view, 14, 17, size);
        view.setUint16(l4At + 6, ~checksum.fold(partial) & 0xffff);
      };
      isUnfinished();
      worker.transmit(peer, [frame]);
      assert.deepEqual(receive("right", to, 1), [payload(300, 5)]);
      view.setUint16(l4At + 6, 0);
      worker.transmit(peer, [frame]);
      if (isIpv6) {
        const before = counters.dropped(DROP["tunnel-outer-malformed"]);
        const slots = new Int32Array(1);
        until("a drop", () => {
          assert.equal(to.receive(slots, 1), 0);
          return counters.dropped(DROP["tunnel-outer-malformed"]) === before + 1;
        });
      } else {
        assert.deepEqual(receive("right", to, 1), [payload(300, 5)], "IPv4 may do without");
      }
    });

    test("says what it cannot be on", () => {
      const openAt = (address: string) =>
        network.inside(spaces.left, () => openTunnelProgram(address, PORT));
      assert.throws(() => openAt(addresses.other), /expected a device with the underlay address/);
      const loopback = isIpv6 ? "::1" : "127.0.0.1";
      assert.throws(() => openAt(loopback), /expected an Ethernet device .* got "lo"/);
    });
  });
}
