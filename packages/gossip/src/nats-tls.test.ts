import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readdirSync, rmSync, statSync } from "node:fs";
import { connect as connectTcp, createServer } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, createSecureContext, TLSSocket } from "node:tls";
import type { Identity } from "./identity/identity.ts";
import { IdentityFixture } from "./identity/identity-fixture.ts";
import { freePorts, makeDirectory, NatsCluster, waitUntil } from "./nats-cluster-fixture.ts";
import { NatsServer } from "./nats-server.ts";
import { clientTls } from "./nats-tls.ts";
import { NatsTransport } from "./nats-transport.ts";

const NAMES = ["c1", "c2", "c3"];
const LIMIT = { timeout: 30_000 };

function makeIdentities(): IdentityFixture {
  const members = NAMES.map((name, index) => ({ name, underlay: `127.0.0.${index + 1}` }));
  return new IdentityFixture(members, Date.now());
}

describe("servers with certificates", () => {
  const identities = makeIdentities();
  const cluster = new NatsCluster((name) => identities.identity(name));
  before(() => cluster.start(3), LIMIT);
  after(async () => {
    await cluster.stop();
    identities.remove();
  }, LIMIT);

  test("carry gossip between chassis of one cluster", LIMIT, async () => {
    await cluster.connected(10_000);
    cluster.put(0, "web");
    await cluster.converged(1, 5000);
  });

  test("come back with their certificates when they are killed", LIMIT, async () => {
    process.kill(cluster.chassis[1]!.server.state.pid!, "SIGKILL");
    cluster.put(0, "db");
    await cluster.converged(2, 10_000);
  });

  test("let only their own user read the key", () => {
    const key = join(cluster.directory, "nats-server-c1.key");
    assert.equal(statSync(key).mode & 0o777, 0o400);
    if (process.getuid?.() === 0) assert.notEqual(statSync(key).uid, 0);
  });

  test("show a renewed certificate, without losing a connection", LIMIT, async () => {
    const { server, nats } = cluster.chassis[0]!;
    const { shown, stop } = watchCertificate(nats.port, identities.identity("c1"));
    identities.join({ name: "c1", underlay: "127.0.0.1" }, 60_000);
    const renewed = new X509Certificate(identities.identity("c1").nats.certificate);
    const { pid } = server.state;
    let lostCount = 0;
    const ends = nats.onReconnect(() => lostCount++);
    server.reload();
    await waitUntil("the new one is shown", 5000, () => shown.at(-1) === renewed.fingerprint256);
    stop();
    ends();
    assert.equal(server.state.pid, pid);
    assert.equal(lostCount, 0);
  });
});

test("another cluster gets no route to a server, and no client into it", LIMIT, async () => {
  const [ours, theirs] = [makeIdentities(), makeIdentities()];
  const ports = await freePorts(4);
  const cluster = new NatsCluster((name) => ours.identity(name));
  const make = (name: string, client: number, route: number, peer: number, who: IdentityFixture) =>
    new NatsServer({
      name,
      clientPort: client,
      underlay: "127.0.0.1",
      clusterPort: route,
      leafPort: 1,
      place: { role: "mesh", routes: [{ address: "127.0.0.1", port: peer }] },
      directory: cluster.directory,
      identity: () => who.identity(name),
    });
  const one = make("c1", ports[0]!, ports[1]!, ports[3]!, ours);
  const other = make("c2", ports[2]!, ports[3]!, ports[1]!, theirs);
  const good = new NatsTransport({
    name: "c1",
    port: ports[0]!,
    identity: () => ours.identity("c1"),
  });
  const foreign = new NatsTransport({
    name: "c2",
    port: ports[2]!,
    identity: () => theirs.identity("c2"),
  });
  // Their chassis c1, at our server.
  const intruder = new NatsTransport({
    name: "x",
    port: ports[0]!,
    identity: () => theirs.identity("c1"),
  });
  const plain = new NatsTransport({ name: "p", port: ports[0]! });
  try {
    await Promise.all([one.start(), other.start()]);
    await waitUntil("clients of their own cluster connect", 5000, () => {
      return good.isConnected && foreign.isConnected;
    });
    const heard: string[] = [];
    good.subscribe("t", () => heard.push("t"));
    for (let round = 0; round < 10; round++) {
      foreign.publish("t", Uint8Array.of(1));
      await sleep(100);
    }
    assert.deepEqual(heard, []);
    assert.equal(intruder.isConnected, false);
    assert.equal(plain.isConnected, false);
  } finally {
    await Promise.all([good, foreign, intruder, plain].map((transport) => transport.close()));
    await Promise.all([one.stop(), other.stop()]);
    assert.deepEqual(readdirSync(cluster.directory), []);
    await cluster.stop();
    ours.remove();
    theirs.remove();
  }
});

/** Looks at the certificate of the server at `port`, over and over; fingerprints in order. */
function watchCertificate(port: number, identity: Identity) {
  const shown: string[] = [];
  const look = (): void => {
    const plain = connectTcp(port, "127.0.0.1");
    plain.on("error", () => {});
    plain.once("data", () => {
      const secure = connect({ ...clientTls(identity), socket: plain }, () => {
        shown.push(secure.getPeerX509Certificate()?.fingerprint256 ?? "");
        plain.destroy();
      });
      secure.on("error", () => plain.destroy());
    });
  };
  const timer = setInterval(look, 50);
  return { shown, stop: () => clearInterval(timer) };
}

test("a leaf shows a renewed certificate to its hub, at its next connection", LIMIT, async () => {
  const identities = makeIdentities();
  const directory = makeDirectory();
  const [clientPort, hubPort] = await freePorts(2);
  const hub = pretendHub(hubPort!, identities.identity("c1"));
  const server = new NatsServer({
    ...{ name: "c2", clientPort: clientPort!, underlay: "127.0.0.1", directory },
    ...{ clusterPort: 1, leafPort: 1, identity: () => identities.identity("c2") },
    place: { role: "leaf", hubs: [{ address: "127.0.0.1", port: hubPort! }], standIns: [] },
  });
  const isShown = (certificate: string) => () => {
    return hub.shown.at(-1) === new X509Certificate(certificate).fingerprint256;
  };
  try {
    await server.start();
    await waitUntil(
      "the first is shown",
      10_000,
      isShown(identities.identity("c2").nats.certificate),
    );
    identities.join({ name: "c2", underlay: "127.0.0.2" }, 60_000);
    const { pid } = server.state;
    server.reload();
    await waitUntil("the new one is", 10_000, isShown(identities.identity("c2").nats.certificate));
    assert.equal(server.state.pid, pid);
  } finally {
    await server.stop();
    hub.close();
    identities.remove();
    rmSync(directory, { recursive: true });
  }
});

/** Takes leaves in as far as their certificate, and sends them away. */
function pretendHub(port: number, { authority, nats }: Identity) {
  const shown: string[] = [];
  const options = { isServer: true, requestCert: true, ca: [authority] };
  const context = createSecureContext({ key: nats.key, cert: nats.certificate, ca: [authority] });
  const server = createServer((plain) => {
    const tls = { tls_required: true, tls_verify: true };
    const info = { server_id: "HUB", ...tls, client_id: 1, max_payload: 1024, leafnode_urls: [] };
    plain.write(`INFO ${JSON.stringify(info)}\r\n`);
    const secure = new TLSSocket(plain, { ...options, secureContext: context });
    secure.on("secure", () => {
      shown.push(secure.getPeerX509Certificate()?.fingerprint256 ?? "");
      plain.destroy();
    });
    secure.on("error", () => plain.destroy());
    plain.on("error", () => {});
  }).listen(port, "127.0.0.1");
  return { shown, close: () => server.close() };
}
