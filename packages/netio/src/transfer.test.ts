import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import * as packet from "@rhone/rings/packet";
import { openAfPacket } from "./af-packet.ts";
import { Poller } from "./doorbell.ts";
import type { Port } from "./port.ts";
import { finishChecksum, segmentInto } from "./segment.ts";
import { openTap } from "./tap.ts";
import { ip, TestNetwork } from "./test-network.ts";
import { findHeaders, TestWorker } from "./test-worker.ts";

const SIZE = 20_000_000; // bytes

/** Says "listening", then the hash of all that comes on its first connection. */
const SERVER = `
  const hash = require("node:crypto").createHash("sha256");
  const server = require("node:net").createServer((socket) => {
    socket.on("data", (data) => hash.update(data));
    socket.on("end", () => { console.log(hash.digest("hex")); socket.end(); server.close(); });
  });
  server.listen(7000, () => console.log("listening"));
`;
/** Sends pseudo-random bytes and says their hash. */
const CLIENT = `
  const { createCipheriv, createHash } = require("node:crypto");
  const random = createCipheriv("aes-128-ctr", Buffer.alloc(16, 7), Buffer.alloc(16));
  const data = random.update(Buffer.alloc(${SIZE}));
  const socket = require("node:net").connect(7000, process.argv[1]);
  socket.end(data);
  socket.on("close", () => console.log(createHash("sha256").update(data).digest("hex")));
  socket.resume();
`;

for (const driver of ["AF_PACKET", "TAP"] as const) {
  describe(`a TCP transfer over two ${driver} ports`, { timeout: 90_000 }, () => {
    const network = new TestNetwork();
    const worker = new TestWorker();
    const children: ChildProcess[] = [];
    let [clientSpace, middle, serverSpace] = ["", "", ""];
    let ports: readonly Port[] = [];

    before(() => {
      clientSpace = network.namespace("client", true);
      middle = network.namespace("middle");
      serverSpace = network.namespace("server", true);
      if (driver === "AF_PACKET") {
        network.veth(clientSpace, "eth0", middle, "to-client");
        network.veth(serverSpace, "eth0", middle, "to-server");
      }
      ports = openPorts();
      ip("-n", clientSpace, "link", "set", "eth0", "up");
      ip("-n", serverSpace, "link", "set", "eth0", "up");
      ip("-n", clientSpace, "addr", "add", "10.7.0.1/24", "dev", "eth0");
      ip("-n", serverSpace, "addr", "add", "10.7.0.2/24", "dev", "eth0");
      ip("-n", clientSpace, "addr", "add", "fd07::1/64", "dev", "eth0", "nodad");
      ip("-n", serverSpace, "addr", "add", "fd07::2/64", "dev", "eth0", "nodad");
    });
    after(() => {
      for (const port of ports) port.close();
      worker.assertAllHome();
      for (const child of children) child.kill("SIGKILL");
      network.close();
    });

    /** Starts a script in a namespace; `said` collects its lines. */
    function start(namespace: string, script: string, ...values: string[]): string[] {
      const command = ["netns", "exec", namespace, process.execPath, "-e", script, ...values];
      const child = spawn("ip", command, { stdio: ["ignore", "pipe", "inherit"] });
      const said: string[] = [];
      child.stdout.on("data", (text) => said.push(...String(text).trim().split("\n")));
      children.push(child);
      return said;
    }

    function openPorts(): readonly Port[] {
      if (driver === "TAP") {
        return [clientSpace, serverSpace].map((space, i) =>
          network.inside(space, () => openTap("eth0", worker.context(i))),
        );
      }
      return ["to-client", "to-server"].map((device, i) =>
        network.inside(middle, () => openAfPacket(device, worker.context(i))),
      );
    }

    async function transfer(
      address: string,
      forward: (slot: number, to: Port) => void,
    ): Promise<void> {
      const [left, right] = ports;
      const poller = new Poller();
      for (const port of ports) poller.add(...port.descriptors);
      const slots = new Int32Array(64);
      const move = (from: Port, to: Port): number => {
        const count = from.receive(slots, 64);
        for (let i = 0; i < count; i++) forward(slots[i]!, to);
        return count;
      };
      const received = start(serverSpace, SERVER);
      let sent: string[] | undefined;
      const end = performance.now() + 30_000;
      while (received.length < 2 || sent?.length !== 1) {
        assert.ok(performance.now() < end, "expected the transfer to end within 30 s");
        if (received.length > 0) sent ??= start(clientSpace, CLIENT, address);
        for (let i = 0; i < 100; i++) {
          if (move(left!, right!) + move(right!, left!) === 0) poller.poll(1);
        }
        await nextTurn();
      }
      assert.equal(received[1], sent![0]);
    }

    for (const address of ["10.7.0.2", "fd07::2"]) {
      test(`passes super-frames whole, to ${address}`, async () => {
        let superFrames = 0;
        const one = new Int32Array(1);
        await transfer(address, (slot, to) => {
          if (packet.gsoType(slot) !== 0) superFrames++;
          one[0] = slot;
          to.transmit(one, 1);
        });
        assert.ok(superFrames > 100, `expected super-frames, got ${superFrames}`);
        assert.equal(worker.counters.device(0).drops + worker.counters.device(1).drops, 0);
      });

      test(`arrives when cut into plain frames with full checksums, to ${address}`, async () => {
        const out = new Int32Array(128);
        let cut = 0;
        await transfer(address, (slot, to) => {
          let count = 1;
          out[0] = slot;
          if (packet.gsoType(slot) !== 0) {
            findHeaders(slot);
            count = segmentInto(slot, worker.allocator, out);
            assert.ok(count > 1, `expected segments, got ${count}`);
            cut++;
          } else if (packet.checksumStart(slot) !== 0) {
            finishChecksum(slot);
          }
          to.transmit(out, count);
        });
        assert.ok(cut > 100, `expected super-frames to cut, got ${cut}`);
        const bad = network.run(serverSpace, "cat", "/proc/net/snmp").match(/^Tcp: \d.*$/m)![0];
        assert.equal(bad.trim().split(" ").at(-1), "0", "expected no TCP checksum error");
      });
    }
  });
}
