import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { bindingName } from "@rhone/state/claim";
import { createMemoryStore } from "@rhone/state/memory-store";
import { openSqliteStore } from "@rhone/state/sqlite-store";
import type { Store } from "@rhone/state/store";
import { createApi } from "./api.ts";
import { type Client, contextWith, pointersOf, start } from "./api-fixture.ts";
import type { ApiContext, ProblemView } from "./context.ts";
import { BODY_SIZE_MAX } from "./request.ts";
import { serveApi } from "./serve.ts";

const vm1 = { switch: "web", addresses: ["10.0.1.10"], mac: "02:00:00:00:00:01" };

function claim(port: string, chassis: string) {
  const name = bindingName(port, chassis);
  return { kind: "binding", name, port, chassis, epoch: 1, up: true };
}

function chassisDocument(name: string) {
  return { kind: "chassis", name, underlay: "192.168.0.1", workers: 1, version: "1" };
}

function announce(store: Store, ...documents: readonly object[]): void {
  const changes = documents.map((document) => ({ op: "put", document }) as const);
  assert.ok(store.transact(changes, "chassis").ok);
}

async function workThrough(call: Client): Promise<void> {
  assert.equal((await call("PUT", "/v1/switches/web", {})).status, 201);
  const created = await call("PUT", "/v1/ports/vm1", vm1);
  assert.equal(created.status, 201);
  assert.equal(created.headers.get("x-rhone-revision"), "2");
  assert.deepEqual(created.body, {
    kind: "port",
    name: "vm1",
    ...vm1,
    portSecurity: true,
    status: { up: false, chassis: null, detail: "no chassis has the port", claims: [] },
  });
  const same = await call("PUT", "/v1/ports/vm1", { kind: "port", name: "vm1", ...vm1 });
  assert.equal(same.status, 200);
  assert.equal(same.headers.get("x-rhone-revision"), "2");
  const router = { ports: [{ name: "to-web", switch: "web", addresses: ["10.0.1.1/24"] }] };
  assert.equal((await call("PUT", "/v1/routers/r", router)).status, 201);
  assert.equal((await call("GET", "/v1/routers/r")).body.ports[0].name, "to-web");
  assert.deepEqual(
    (await call("GET", "/v1/ports")).body.map(({ name }: { name: string }) => name),
    ["vm1"],
  );
  pointersOf(await call("DELETE", "/v1/switches/web"), 409);
  for (const path of ["/v1/routers/r", "/v1/ports/vm1", "/v1/switches/web"]) {
    const deleted = await call("DELETE", path);
    assert.equal(deleted.status, 204);
    assert.equal(deleted.body, "");
    pointersOf(await call("GET", path), 404);
    pointersOf(await call("DELETE", path), 404);
  }
  assert.deepEqual((await call("GET", "/v1/switches")).body, []);
}

test("documents are created, read, replaced and deleted over a memory store", async (t) => {
  await workThrough(await start(t));
});

test("documents are created, read, replaced and deleted over a SQLite store", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), `rhone-api-${process.pid}-`));
  const opened = openSqliteStore({ path: join(directory, "state.sqlite"), origin: "a" });
  assert.ok(opened.ok);
  t.after(() => {
    opened.value.close();
    rmSync(directory, { recursive: true });
  });
  await workThrough(await start(t, { store: opened.value }));
});

test("apply is one transaction and says what became of each document", async (t) => {
  const call = await start(t);
  const web = { kind: "switch", name: "web" };
  const port = { kind: "port", name: "vm1", ...vm1 };
  const first = await call("POST", "/v1/apply", [port, web]);
  assert.equal(first.status, 200);
  assert.deepEqual(first.body, {
    revision: 1,
    documents: [
      { kind: "port", name: "vm1", result: "created" },
      { kind: "switch", name: "web", result: "created" },
    ],
  });
  const second = await call("POST", "/v1/apply", [{ ...web, description: "x" }, port]);
  const results = second.body.documents.map(({ result }: { result: string }) => result);
  assert.deepEqual(results, ["updated", "unchanged"]);
  const wrong = [{ ...port, color: 1 }, { kind: "bridge" }, 7, { kind: "binding", name: "x" }];
  const refused = await call("POST", "/v1/apply", [...wrong, { kind: "switch", name: "new" }]);
  const pointers = ["/0/color", "/1/kind", "/2", "/3/kind"];
  assert.deepEqual(pointersOf(refused, 422), pointers);
  assert.equal((await call("GET", "/v1/switches")).body.length, 1);
  assert.deepEqual(pointersOf(await call("POST", "/v1/apply", web), 422), [""]);
});

test("users cannot write what chassis state about themselves", async (t) => {
  const call = await start(t);
  const binding = claim("vm1", "a");
  assert.deepEqual(pointersOf(await call("POST", "/v1/apply", [binding]), 422), ["/0/kind"]);
  pointersOf(await call("PUT", "/v1/chassis/a", {}), 405);
});

test("a port says what its chassis says of it", async (t) => {
  const store = createMemoryStore("a");
  const call = await start(t, { store });
  const port = { kind: "port", name: "vm1", ...vm1, chassis: "a", device: "vm1-0" };
  await call("POST", "/v1/apply", [{ kind: "switch", name: "web" }, port]);
  announce(store, chassisDocument("a"), chassisDocument("b"), claim("vm1", "a"));
  const up = (await call("GET", "/v1/ports/vm1")).body.status;
  const { since } = up.claims[0];
  const held = { chassis: "a", role: "holder", epoch: 1, up: true, since, detail: "" };
  assert.deepEqual(up, { up: true, chassis: "a", detail: "", claims: [held] });
  // The binding of a chassis that has lost the port to another one is no longer true.
  await call("PUT", "/v1/ports/vm1", { ...vm1, chassis: "b" });
  assert.equal((await call("GET", "/v1/ports/vm1")).body.status.up, false);
});

test("a port that two chassis claim says who has it, and who else claims it", async (t) => {
  const store = createMemoryStore("a");
  const call = await start(t, { store });
  const port = { kind: "port", name: "vm1", ...vm1, device: "vm1-0" };
  await call("POST", "/v1/apply", [{ kind: "switch", name: "web" }, port]);
  announce(store, chassisDocument("a"), chassisDocument("b"), claim("vm1", "b"));
  announce(store, claim("vm1", "a"));
  const { chassis, up, detail, claims } = (await call("GET", "/v1/ports/vm1")).body.status;
  assert.deepEqual({ chassis, up }, { chassis: "b", up: true });
  assert.match(detail, /^also claimed, in vain, by chassis a since 20\d\d-/);
  const roles = claims.map((c: { chassis: string; role: string }) => `${c.chassis} ${c.role}`);
  assert.deepEqual(roles, ["b holder", "a contender"]);
});

test("only a port that moves can be activated", async (t) => {
  const call = await start(t);
  const port = { kind: "port", name: "vm1", ...vm1, chassis: "a", device: "vm1-0" };
  await call("POST", "/v1/apply", [{ kind: "switch", name: "web" }, port]);
  assert.equal((await call("POST", "/v1/ports/vm2/activate")).status, 404);
  assert.equal((await call("POST", "/v1/ports/vm1/activate")).status, 409);
  const migration = { chassis: "b", activation: ["garp"] };
  const moving = await call("PUT", "/v1/ports/vm1", { ...port, migration });
  assert.deepEqual(moving.body.migration, migration);
  const active = await call("POST", "/v1/ports/vm1/activate");
  assert.deepEqual([active.status, active.body.migration.activate], [200, true]);
});

test("a rule says how many packets it decided about, and holds its switch", async (t) => {
  const call = await start(t, { ruleHits: () => 7 });
  await call("POST", "/v1/apply", [{ kind: "switch", name: "web" }]);
  const rule = {
    ...{ switch: "web", direction: "to-port", priority: 10, action: "reject" },
    match: { protocol: "tcp", destinationPorts: 22 },
  };
  const kept = { ...rule, match: { ...rule.match, destinationPorts: "22" } };
  const view = { kind: "acl", name: "ssh", ...kept, hits: 7 };
  const made = await call("PUT", "/v1/acls/ssh", rule);
  assert.deepEqual([made.status, made.body], [201, view]);
  assert.deepEqual((await call("GET", "/v1/acls")).body, [view]);
  pointersOf(await call("DELETE", "/v1/switches/web"), 409);
  const wrong = { ...rule, match: { protocol: "icmp", destinationPorts: "22" } };
  const pointers = pointersOf(await call("PUT", "/v1/acls/ssh", wrong), 422);
  assert.deepEqual(pointers, ["/match/destinationPorts"]);
  assert.equal((await call("DELETE", "/v1/acls/ssh")).status, 204);
});

test("a load balancer is written, read back whole, and holds its switches", async (t) => {
  const call = await start(t);
  await call("POST", "/v1/apply", [{ kind: "switch", name: "web" }]);
  const vip = { address: "10.0.9.9", port: 80, backends: [{ address: "10.0.1.10" }] };
  const made = await call("PUT", "/v1/load-balancers/lb", { switches: ["web"], vips: [vip] });
  const view = {
    ...{ kind: "load-balancer", name: "lb", switches: ["web"], withoutBackends: "reject" },
    vips: [{ ...vip, protocol: "tcp" }],
  };
  assert.deepEqual([made.status, made.body], [201, view]);
  assert.deepEqual((await call("GET", "/v1/load-balancers")).body, [view]);
  pointersOf(await call("DELETE", "/v1/switches/web"), 409);
  const wrong = { switches: ["web"], vips: [{ ...vip, port: 0 }] };
  const refused = await call("PUT", "/v1/load-balancers/lb", wrong);
  assert.deepEqual(pointersOf(refused, 422), ["/vips/0/port"]);
  assert.equal((await call("DELETE", "/v1/load-balancers/lb")).status, 204);
});

test("a body that is wrong is refused with every problem", async (t) => {
  const call = await start(t);
  const path = "/v1/ports/vm1";
  const wrong = { name: "vm2", switch: 3, addresses: ["10.0.1.300"], color: "red" };
  assert.deepEqual(pointersOf(await call("PUT", path, wrong), 422).sort(), [
    "/addresses/0",
    "/color",
    "/name",
    "/switch",
  ]);
  assert.deepEqual(pointersOf(await call("PUT", path, vm1), 409), ["/switch"]);
  assert.deepEqual(pointersOf(await call("PUT", path, []), 422), [""]);
  assert.deepEqual(pointersOf(await call("PUT", "/v1/switches/BAD", {}), 422), ["/name"]);
  const proto = '{"__proto__": {"x": 1}}';
  assert.deepEqual(pointersOf(await call("PUT", "/v1/switches/web", proto), 422), ["/__proto__"]);
  pointersOf(await call("PUT", path, "{"), 400);
  pointersOf(await call("PUT", path, ""), 400);
  pointersOf(await call("PUT", path), 415);
  pointersOf(await call("PUT", path, "{}", { "content-type": "text/plain" }), 415);
  pointersOf(await call("PUT", `${path}?wiat=applied`, vm1), 400);
  pointersOf(await call("PUT", `${path}?wait=all`, vm1), 400);
  pointersOf(await call("PUT", `${path}?wait=applied&timeout=soon`, vm1), 400);
  pointersOf(await call("PUT", `${path}?timeout=0`, vm1), 400);
  assert.equal((await call("GET", "/healthz")).headers.get("x-rhone-revision"), "0");
});

test("a body over the limit is refused, announced or not, the next one served", async (t) => {
  const served = await serveApi(createApi(contextWith(createMemoryStore("a"))), {
    host: "127.0.0.1",
    port: 0,
  });
  t.after(() => served.close());
  const chunk = new Uint8Array(BODY_SIZE_MAX / 4).fill(32);
  let sent = 0;
  const stream = new ReadableStream({
    pull(controller) {
      if (sent++ < 5) controller.enqueue(chunk);
      else controller.close();
    },
  });
  const bodies = [" ".repeat(BODY_SIZE_MAX + 1), stream];
  for (const body of bodies) {
    const init: RequestInit & { duplex: "half" } = {
      method: "PUT",
      headers: { "content-type": "application/json" },
      body,
      duplex: "half",
    };
    const response = await fetch(`${served.address}/v1/switches/web`, init);
    assert.equal(response.status, 413);
    assert.equal(((await response.json()) as ProblemView).status, 413);
    await (await fetch(`${served.address}/healthz`)).json();
  }
  const padded = "{}".padEnd(BODY_SIZE_MAX, " ");
  const headers = { "content-type": "application/json; charset=utf-8" };
  const init = { method: "PUT", headers, body: padded };
  const fits = await fetch(`${served.address}/v1/switches/web`, init);
  assert.equal(fits.status, 201);
  await fits.json();
});

test("an unknown route is 404, a wrong method 405 with Allow", async (t) => {
  const call = await start(t);
  for (const path of ["/", "/v1", "/v1/nope", "/v1/ports/a/b", "/v1/ports/", "/v1/chassis/x"]) {
    pointersOf(await call("GET", path), 404);
  }
  const wrong = await call("POST", "/v1/ports/vm1", {});
  pointersOf(wrong, 405);
  assert.equal(wrong.headers.get("allow"), "GET, HEAD, PUT, DELETE");
  const get = await call("GET", "/v1/apply");
  pointersOf(get, 405);
  assert.equal(get.headers.get("allow"), "POST");
  assert.equal((await call("HEAD", "/v1/ports")).status, 200);
});

test("If-Match guards against a change in between", async (t) => {
  const call = await start(t);
  const path = "/v1/switches/web";
  pointersOf(await call("PUT", path, {}, { "if-match": "*" }), 412);
  const first = (await call("PUT", path, {})).headers.get("etag")!;
  assert.equal(first, '"1-a"');
  assert.equal((await call("GET", path)).headers.get("etag"), first);
  const body = { description: "x" };
  const second = await call("PUT", path, body, { "if-match": `"0-b", ${first}` });
  assert.equal(second.status, 200);
  pointersOf(await call("PUT", path, {}, { "if-match": first }), 412);
  pointersOf(await call("DELETE", path, undefined, { "if-match": first }), 412);
  const etag = second.headers.get("etag")!;
  assert.equal((await call("DELETE", path, undefined, { "if-match": etag })).status, 204);
});

test("a write waits until it is applied, or says that it is kept", async (t) => {
  const asked: unknown[] = [];
  let isFast = true;
  const b = { name: "b", status: "alive", held: true, revision: 3 } as const;
  const reach: ApiContext["reach"] = async (vector, level, timeoutMs) => {
    asked.push([vector, level, timeoutMs]);
    const chassis = [
      { ...b, name: "a", applied: true },
      { ...b, applied: isFast },
    ];
    return { vector, level, reached: isFast, chassis };
  };
  const call = await start(t, { reach });
  assert.equal((await call("PUT", "/v1/switches/web", {})).status, 201);
  assert.deepEqual(asked, []);
  assert.equal((await call("PUT", "/v1/switches/web?wait=applied", {})).status, 200);
  isFast = false;
  const late = await call("POST", "/v1/apply?wait=quorum&timeout=7", [
    { kind: "switch", name: "db" },
  ]);
  pointersOf(late, 504);
  assert.equal(late.body.revision, 2);
  assert.match(late.body.detail, /kept as revision 2/);
  assert.equal(late.headers.get("x-rhone-revision"), "2");
  assert.equal((await call("GET", "/v1/switches/db")).status, 200);
  pointersOf(await call("DELETE", "/v1/switches/db?wait=local", undefined), 504);
  assert.equal(late.headers.get("x-rhone-version"), "a:2");
  assert.equal(late.headers.get("x-rhone-applied"), "a");
  assert.match(late.body.detail, /wait=quorum asks: b has not said/);
  assert.deepEqual(late.body.chassis[1], { ...b, applied: false });
  assert.deepEqual(asked, [
    [{ a: 1 }, "applied", 5000],
    [{ a: 2 }, "quorum", 7],
    [{ a: 3 }, "local", 5000],
  ]);
  pointersOf(await call("PUT", "/v1/switches/web?wait=everywhere", {}), 400);
});

test("convergence is about one write, or about all that is known", async (t) => {
  const asked: unknown[] = [];
  const reach: ApiContext["reach"] = async (vector, level, timeoutMs) => {
    asked.push([vector, level, timeoutMs]);
    return { vector, level, reached: false, chassis: [] };
  };
  const call = await start(t, { reach });
  const written = await call("PUT", "/v1/switches/web", {});
  const version = written.headers.get("x-rhone-version");
  assert.equal(version, "a:1");
  const { body } = await call("GET", `/v1/convergence?version=${version}`);
  assert.deepEqual(body, { vector: { a: 1 }, level: "applied", reached: false, chassis: [] });
  await call("GET", "/v1/convergence?wait=quorum&timeout=70");
  assert.deepEqual(asked, [
    [{ a: 1 }, "applied", 500],
    [{ a: 1 }, "quorum", 70],
  ]);
  for (const wrong of ["a", "a:0", "A:1", `a:${10 ** 15}`, "a:1:2"]) {
    pointersOf(await call("GET", `/v1/convergence?version=${wrong}`), 400);
  }
  pointersOf(await call("GET", "/v1/convergence?versoin=a:1"), 400);
});

test("what the chassis shows is answered as it is", async (t) => {
  const store = createMemoryStore("a");
  const context = contextWith(store);
  const call = await start(t, { store, page: { html: "<!doctype html><p>Rhône" } });
  const document = { kind: "chassis", name: "a", underlay: "::1", workers: 2, version: "0.1.0" };
  assert.ok(store.transact([{ op: "put", document }], "chassis").ok);
  assert.deepEqual((await call("GET", "/v1/counters")).body, context.counters());
  assert.deepEqual((await call("GET", "/v1/pipeline")).body, context.pipeline());
  assert.deepEqual((await call("GET", "/v1/peers")).body, context.peers());
  assert.deepEqual((await call("GET", "/v1/cluster")).body, context.cluster());
  assert.deepEqual((await call("GET", "/healthz")).body, context.health());
  assert.deepEqual((await call("GET", "/v1/chassis")).body, [document]);
  assert.deepEqual((await call("GET", "/v1/chassis/a")).body, document);
  const page = await call("GET", "/");
  assert.equal(page.body, "<!doctype html><p>Rhône");
  assert.match(page.headers.get("content-type")!, /^text\/html/);
});

test("what is not in force says why, also where nobody can read it", async (t) => {
  const [why, unread] = ["expected at most 32768 names, got 32769", "a later version wrote it"];
  const call = await start(t, {
    troubleWith: (kind, name) => {
      if (kind === "switch" && name === "web") return why;
      return kind === "router" && name === "later" ? unread : null;
    },
  });
  await call("PUT", "/v1/switches/web", {});
  await call("PUT", "/v1/switches/db", {});
  const [db, web] = [
    { kind: "switch", name: "db" },
    { kind: "switch", name: "web", notInForce: why },
  ];
  assert.deepEqual((await call("GET", "/v1/switches")).body, [db, web]);
  assert.deepEqual((await call("GET", "/v1/switches/web")).body, web);
  assert.deepEqual((await call("GET", "/v1/switches/db")).body, db);
  const later = await call("GET", "/v1/routers/later");
  assert.equal(later.status, 404);
  assert.equal(later.body.detail, `router later: ${unread}`);
  assert.equal((await call("GET", "/v1/routers/none")).body.detail, "no router none");
});

test("a degraded chassis answers 503 to a health check", async (t) => {
  const call = await start(t, { health: () => ({ status: "degraded", checks: [] }) });
  const answer = await call("GET", "/healthz");
  assert.equal(answer.status, 503);
  assert.equal(answer.body.status, "degraded");
});

test("a store that cannot write answers 507", async (t) => {
  const store = createMemoryStore("a");
  const error = { code: "storage", message: "disk is full", problems: [] } as const;
  const full: Store = Object.create(store, {
    transact: { value: () => ({ ok: false, error }) },
    snapshot: { value: () => store.snapshot() },
    revision: { value: 0 },
  });
  const answer = await (await start(t, { store: full }))("PUT", "/v1/switches/web", {});
  pointersOf(answer, 507);
  assert.equal(answer.body.detail, "disk is full");
});

test("an exception is a plain 500 for the client and reported to the chassis", async (t) => {
  const errors: unknown[] = [];
  const call = await start(t, {
    peers: () => {
      throw new Error("secret");
    },
    onError: (error) => errors.push(error),
  });
  const answer = await call("GET", "/v1/peers");
  pointersOf(answer, 500);
  assert.doesNotMatch(JSON.stringify(answer.body), /secret/);
  assert.equal((errors[0] as Error).message, "secret");
});

test("the OpenAPI document lists every route, and its references resolve", async (t) => {
  const context = contextWith(createMemoryStore("a"));
  const call = await start(t);
  const document = (await call("GET", "/openapi.json")).body;
  assert.equal(document.openapi, "3.1.0");
  const routes = createApi(context).routes.filter(
    ({ method, path }) => method !== "ALL" && path !== "/openapi.json",
  );
  assert.equal(routes.length, 46);
  for (const { method, path } of routes) {
    const pattern = path.replace(/:(\w+)/g, (_, name) => `{${name}}`);
    assert.ok(document.paths[pattern]?.[method.toLowerCase()], `${method} ${pattern}`);
  }
  const text = JSON.stringify(document);
  const references = [...text.matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)];
  assert.ok(references.length > 0);
  for (const [, name] of references)
    assert.ok(document.components.schemas[name!], `no schema ${name}`);
  const port = document.components.schemas.Port;
  assert.deepEqual(port.required, ["kind", "name", "switch", "addresses"]);
  assert.equal(port.additionalProperties, false);
});
