import assert from "node:assert/strict";
import { test } from "node:test";
import { bindingName } from "@rhone/state/claim";
import { createMemoryStore } from "@rhone/state/memory-store";
import { contextWith, start } from "./api-fixture.ts";

const UPLINK = { switch: "edge", addresses: [], device: "uplink", gateway: "g" };

/** What chassis a says of the cluster: b has that status. */
function clusterWith(status: "alive" | "dead") {
  const view = contextWith(createMemoryStore("a")).cluster();
  return () => ({ ...view, members: view.members.map((member) => ({ ...member, status })) });
}

/** A store in which each of `chassis` has said something of the port of gateway g. */
function storeWith(claims: Record<string, object>) {
  const store = createMemoryStore("a");
  const chassis = ["a", "b", "c"].map((name, i) => {
    return { kind: "chassis", name, underlay: `192.168.0.${i + 1}`, workers: 1, version: "1" };
  });
  const documents = [
    ...chassis,
    { kind: "switch", name: "edge" },
    { kind: "gateway", name: "g", members: [{ chassis: "a", priority: 9 }, { chassis: "b" }] },
    { kind: "port", name: "up", ...UPLINK },
    ...Object.entries(claims).map(([chassis, claim]) => {
      return { kind: "binding", name: bindingName("up", chassis), port: "up", chassis, ...claim };
    }),
  ];
  const changes = documents.map((document) => ({ op: "put" as const, document }));
  const done = store.transact(changes, "chassis");
  assert.ok(done.ok, JSON.stringify(done));
  return store;
}

test("a gateway says who forwards, since when, and why the others do not", async (t) => {
  const store = storeWith({
    a: { epoch: 3, up: true },
    b: { epoch: 1, up: true, standby: true, detail: "stands by for a" },
  });
  const call = await start(t, { store, cluster: clusterWith("alive") });
  const { status } = (await call("GET", "/v1/gateways/g")).body;
  assert.deepEqual([status.active, status.epoch, status.ports], ["a", 3, ["up"]]);
  assert.match(status.since, /^\d{4}-/);
  assert.match(status.warning, /without a witness/);
  assert.deepEqual(status.members, [
    { chassis: "a", role: "active", detail: "" },
    { chassis: "b", role: "standby", detail: "stands by for a" },
  ]);
  const [listed] = (await call("GET", "/v1/gateways")).body;
  assert.deepEqual(listed.status, status);
  const metrics = (await call("GET", "/metrics")).body;
  assert.match(metrics, /^rhone_gateway_forwards\{gateway="g"\} 1$/m);
  assert.match(metrics, /^rhone_gateway_epoch\{gateway="g"\} 3$/m);
});

test("a member that is dead, has no device or was never heard of is told apart", async (t) => {
  const store = storeWith({ a: { epoch: 1, up: false, standby: true, detail: "no such device" } });
  const cluster = clusterWith("dead");
  const call = await start(t, { store, cluster });
  const { status } = (await call("GET", "/v1/gateways/g")).body;
  assert.deepEqual([status.active, status.epoch, status.since], [null, 1, null]);
  assert.deepEqual(status.members, [
    { chassis: "a", role: "down", detail: "port up: no such device" },
    { chassis: "b", role: "down", detail: "it is dead" },
  ]);
});

test("a witness is added, the warning goes, and a gateway in use is kept", async (t) => {
  const call = await start(t, { store: storeWith({}) });
  const body = { members: [{ chassis: "a" }, { chassis: "b" }], witnesses: ["c"] };
  const put = await call("PUT", "/v1/gateways/g", body);
  assert.deepEqual([put.status, put.body.status.warning], [200, ""]);
  assert.deepEqual(put.body.status.members[0], {
    ...{ chassis: "a", role: "down" },
    detail: "it has said nothing of the gateway's ports",
  });
  assert.equal((await call("DELETE", "/v1/gateways/g")).status, 409);
  assert.equal((await call("DELETE", "/v1/ports/up")).status, 204);
  assert.equal((await call("DELETE", "/v1/gateways/g")).status, 204);
  assert.equal((await call("GET", "/v1/gateways/g")).status, 404);
});

test("a member that is dead does not forward, whatever it said before", async (t) => {
  const store = storeWith({
    a: { epoch: 1, up: true, standby: true },
    b: { epoch: 5, up: true },
  });
  const call = await start(t, { store, cluster: clusterWith("dead") });
  const { status } = (await call("GET", "/v1/gateways/g")).body;
  assert.deepEqual([status.active, status.epoch], [null, 5]);
  assert.match((await call("GET", "/metrics")).body, /^rhone_gateway_forwards\{gateway="g"\} 0$/m);
});
