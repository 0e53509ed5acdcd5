import assert from "node:assert/strict";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { after, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { freePorts, makeDirectory, waitUntil } from "./nats-cluster-fixture.ts";
import type { Endpoint } from "./nats-layout.ts";
import { NatsServer } from "./nats-server.ts";
import { NatsSilence, type RoutedPeer } from "./nats-silence.ts";
import { NatsTransport } from "./nats-transport.ts";
import { setRealTimer } from "./transport.ts";
import { VirtualClock } from "./virtual-clock.ts";

const LOOPBACK = "127.0.0.1";
/** Servers ask each other once or twice at first, and until they are answered. */
const ACQUAINTED_MS = 4000;
/** Longer than a server waits for an answer, if it asks. */
const CUT_MS = 8000;

describe("which routes are given up", () => {
  /** Looks at peers of which some are silent; returns when which of them were given up. */
  function watch() {
    const clock = new VirtualClock();
    const silent = new Set<string>();
    const scene = { clock, silent, isConnected: true, renewed: [] as string[] };
    const look = (): RoutedPeer[] | null => {
      if (!scene.isConnected) return null;
      return ["b", "c"].map((name) => {
        return { name, route: { address: name, port: 1 }, isHeard: !silent.has(name) };
      });
    };
    const renew = (routes: readonly Endpoint[]): void => {
      scene.renewed.push(`${clock.now()} ${routes.map(({ address }) => address).join()}`);
    };
    const watcher = new NatsSilence({ look, renew, setTimer: clock.setTimer });
    return Object.assign(scene, { watcher });
  }

  test("those to peers that fall silent, again when that has lasted twice as long", async () => {
    const { clock, silent, renewed, watcher } = watch();
    await clock.advance(1000);
    silent.add("b");
    await clock.advance(40_000);
    assert.deepEqual(renewed, ["3000 b", "5000 b", "9000 b", "17000 b", "33000 b"]);
    silent.delete("b");
    await clock.advance(1000);
    silent.add("b").add("c");
    await clock.advance(2000);
    assert.deepEqual(renewed.slice(5), ["44000 b,c"]);
    watcher.stop();
    await clock.advance(60_000);
    assert.equal(renewed.length, 6);
  });

  test("not those to peers that were never heard, nor while our own server is away", async () => {
    const scene = watch();
    scene.silent.add("b");
    await scene.clock.advance(60_000);
    scene.silent.clear();
    await scene.clock.advance(1000);
    scene.isConnected = false;
    scene.silent.add("b").add("c");
    await scene.clock.advance(60_000);
    assert.deepEqual(scene.renewed, []);
    scene.isConnected = true;
    await scene.clock.advance(2000);
    assert.deepEqual(scene.renewed, ["123000 b,c"]);
  });

  test("not because we have been stalled ourselves", async () => {
    const { clock, silent, renewed } = watch();
    await clock.advance(1000);
    silent.add("b").add("c");
    await clock.advance(500); // One look after a stall, before what came meanwhile is read.
    silent.clear();
    await clock.advance(60_000);
    assert.deepEqual(renewed, []);
  });
});

/** Passes on connections; cut, it keeps those that there are for ever, and they carry nothing. */
class Cable {
  readonly #sockets = new Set<Socket>();
  readonly #server;
  #isCut = false;

  constructor(from: number, to: number) {
    this.#server = createServer((near) => {
      if (this.#isCut) return void near.destroy();
      const far = connect(to, LOOPBACK);
      for (const socket of [near, far]) {
        this.#sockets.add(socket);
        socket.on("error", () => {});
      }
      near.pipe(far).pipe(near);
    }).listen(from, LOOPBACK);
  }

  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.unpipe().pause();
  }

  /** For connections that are made from now on. */
  mend(): void {
    this.#isCut = false;
  }

  async remove(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}

describe("two nats-servers", () => {
  const directory = makeDirectory();
  after(() => rmSync(directory, { recursive: true }));

  test("are together again after a failure of which TCP knows nothing", {
    timeout: 60_000,
  }, async () => {
    const ports = await freePorts(6);
    const [clients, servers, ends] = [ports.slice(0, 2), ports.slice(2, 4), ports.slice(4)];
    const cables = [new Cable(ends[0]!, servers[1]!), new Cable(ends[1]!, servers[0]!)];
    const sides = ["c1", "c2"].map((name, index) => {
      const route = { address: LOOPBACK, port: ends[index]! };
      const server = new NatsServer({
        ...{ name, directory, underlay: LOOPBACK, leafPort: 1 },
        ...{ clientPort: clients[index]!, clusterPort: servers[index]! },
        place: { role: "mesh", routes: [route] },
      });
      const nats = new NatsTransport({ name, port: clients[index]! });
      let heardMs = Number.NEGATIVE_INFINITY;
      nats.subscribe("said", () => {
        heardMs = performance.now();
      });
      const isHeard = (): boolean => performance.now() - heardMs < 500;
      const watcher = new NatsSilence({
        look: () => (nats.isConnected ? [{ name: "the other", route, isHeard: isHeard() }] : null),
        renew: (routes) => server.renew(routes),
        setTimer: setRealTimer,
      });
      // Without a pause: who has something to say does not ask whether the other is there.
      const speaking = setInterval(() => nats.publish("said", Uint8Array.of(1)), 100);
      return { server, nats, watcher, isHeard, speaking };
    });
    const isWhole = (): boolean => sides.every(({ isHeard }) => isHeard());
    try {
      await Promise.all(sides.map(({ server }) => server.start()));
      await waitUntil("each hears the other", 10_000, isWhole);
      await sleep(ACQUAINTED_MS);
      for (const cable of cables) cable.cut();
      await sleep(CUT_MS);
      assert.ok(sides.every(({ isHeard }) => !isHeard()));
      for (const cable of cables) cable.mend();
      await waitUntil("each hears the other again", 20_000, isWhole);
    } finally {
      for (const { speaking, watcher } of sides) {
        clearInterval(speaking);
        watcher.stop();
      }
      await Promise.all(sides.flatMap(({ nats, server }) => [nats.close(), server.stop()]));
      await Promise.all(cables.map((cable) => cable.remove()));
    }
  });
});
