import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { createMemoryStore } from "@rhone/state/memory-store";
import { createApi } from "./api.ts";
import { type Answer, type Client, contextWith, pointersOf, start } from "./api-fixture.ts";
import { FAILURES_MAX } from "./failure-limit.ts";
import { KIND_NEEDS, NEEDS } from "./needs.ts";
import { hasHash, mintToken } from "./token.ts";

const NOW_MS = Date.parse("2030-01-31T12:00:00.000Z");

interface Guarded {
  /** Without a token; with one when it is given. */
  call(method: string, path: string, body?: unknown, token?: string): Promise<Answer>;
  readonly store: ReturnType<typeof createMemoryStore>;
  readonly refused: string[];
  /** Sets the wall clock forward. */
  pass(timeMs: number): void;
}

/** The API as a chassis of a cluster has it, with the token `root` of an admin. */
async function guard(t: TestContext): Promise<Guarded & { readonly admin: string }> {
  const store = createMemoryStore("a");
  const admin = mintToken("root");
  const times = { created: "2030-01-01T00:00:00.000Z", expires: "2040-01-01T00:00:00.000Z" };
  const rest = { name: "root", role: "admin", hash: admin.hash, createdBy: "unix:0", ...times };
  assert.ok(store.transact([{ op: "put", document: { kind: "access", ...rest } }], "chassis").ok);
  let nowMs = NOW_MS;
  const refused: string[] = [];
  const access = {
    isTokenRequired: true,
    wallClock: () => nowMs,
    onRefused: (reason: string, _from: string, detail: string) => refused.push(reason + detail),
  };
  const client: Client = await start(t, { store, access });
  return {
    admin: admin.token,
    store,
    refused,
    pass: (timeMs) => (nowMs += timeMs),
    call: (method, path, body, token) =>
      client(method, path, body, token === undefined ? {} : { authorization: `Bearer ${token}` }),
  };
}

async function grant({ call, admin }: Guarded & { admin: string }, name: string, role: string) {
  const answer = await call("POST", "/v1/access", { name, role, lifeSeconds: 60 }, admin);
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  return answer.body.token as string;
}

test("every route of the application is in the table, and every entry is a route", () => {
  const store = createMemoryStore("a");
  const app = createApi({ ...contextWith(store), page: { html: "" } });
  const routes = app.routes
    .filter(({ method }) => method !== "ALL")
    .map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, "{$1}")}`);
  assert.deepEqual([...new Set(routes)].sort(), Object.keys(NEEDS).sort());
});

test("without a token nothing is to be had but health, the document and the page", async (t) => {
  const { call } = await guard(t);
  for (const [route, need] of Object.entries(NEEDS)) {
    const [method, path] = route.replace("{name}", "x").split(" ");
    if (path === "/") continue; // This context has no page.
    const answer = await call(method!, path!);
    if (need === "none") assert.equal(answer.status, 200, route);
    else {
      pointersOf(answer, 401);
      assert.equal(answer.headers.get("www-authenticate"), 'Bearer realm="rhone"', route);
    }
  }
});

test("a role may do what its row says and no more, and a refusal names the role", async (t) => {
  const guarded = await guard(t);
  const { call } = guarded;
  const viewer = await grant(guarded, "v", "viewer");
  const operator = await grant(guarded, "o", "operator");
  assert.equal((await call("GET", "/v1/ports", undefined, viewer)).status, 200);
  const refused = await call("PUT", "/v1/switches/web", {}, viewer);
  pointersOf(refused, 403);
  assert.match(refused.body.detail, /needs the role operator; the token v has the role viewer/);
  assert.match(refused.headers.get("www-authenticate")!, /insufficient_scope", scope="operator"/);
  assert.equal((await call("PUT", "/v1/switches/web", {}, operator)).status, 201);
  pointersOf(await call("GET", "/v1/access", undefined, operator), 403);
  pointersOf(await call("PUT", "/v1/chassis/a/dataplane", {}, operator), 403);
});

test("an operator cannot write by apply what the kind's own route refuses", async (t) => {
  const guarded = await guard(t);
  const operator = await grant(guarded, "o", "operator");
  const list = [
    { kind: "switch", name: "web" },
    { kind: "dataplane", name: "a", workers: 1 },
  ];
  pointersOf(await guarded.call("POST", "/v1/apply", list, operator), 403);
  assert.equal(guarded.store.snapshot().switches.length, 0);
  const writes = Object.entries(NEEDS).filter(([route]) => route.startsWith("PUT "));
  assert.deepEqual(writes.map(([, need]) => need).sort(), Object.values(KIND_NEEDS).sort());
});

test("nobody makes a token by apply", async (t) => {
  const { call, admin } = await guard(t);
  const document = { kind: "access", name: "evil", role: "admin", hash: "0".repeat(64) };
  pointersOf(await call("POST", "/v1/apply", [document], admin), 422);
});

test("a token is shown once, kept as a hash, and ends in time or when revoked", async (t) => {
  const guarded = await guard(t);
  const { call, admin, store, pass } = guarded;
  const token = await grant(guarded, "ci", "viewer");
  assert.match(token, /^rhone_ci_[\w-]{43}$/);
  const [entry] = store.snapshot().access;
  assert.ok(hasHash(token, entry!.value.hash));
  assert.equal(JSON.stringify(store.entries()).includes(token), false);
  const list = await call("GET", "/v1/access", undefined, admin);
  assert.doesNotMatch(JSON.stringify(list.body), /hash|rhone_/);
  pointersOf(await call("POST", "/v1/access", { name: "ci", role: "admin" }, admin), 409);
  assert.equal((await call("GET", "/v1/ports", undefined, token)).status, 200);
  pass(61_000);
  const late = await call("GET", "/v1/ports", undefined, token);
  pointersOf(late, 401);
  assert.match(late.body.detail, /the token ci ended at/);
  const again = await grant(guarded, "ci", "viewer");
  pointersOf(await call("GET", "/v1/ports", undefined, token), 401);
  assert.equal((await call("DELETE", "/v1/access/ci", undefined, admin)).status, 204);
  pointersOf(await call("GET", "/v1/ports", undefined, again), 401);
  pointersOf(await call("DELETE", "/v1/access/ci", undefined, admin), 404);
});

test("a grant that is wrong says each field", async (t) => {
  const { call, admin } = await guard(t);
  const answer = await call("POST", "/v1/access", { name: "A", role: "root", x: 1 }, admin);
  assert.deepEqual(pointersOf(answer, 422).sort(), ["/name", "/role", "/x"]);
});

test("too many wrong tokens have to wait, a right one has not", async (t) => {
  const { call, admin, refused } = await guard(t);
  const wrong = mintToken("root").token;
  for (let i = 0; i < FAILURES_MAX; i++) {
    pointersOf(await call("GET", "/v1/ports", undefined, wrong), 401);
  }
  const late = await call("GET", "/v1/ports", undefined, wrong);
  pointersOf(late, 429);
  assert.ok(Number(late.headers.get("retry-after")) >= 1);
  assert.equal((await call("GET", "/v1/ports", undefined, admin)).status, 200);
  pointersOf(await call("GET", "/v1/ports"), 401); // No token is no guess.
  assert.equal(
    refused.some((text) => text.includes(wrong)),
    false,
  );
  const { counts, newest } = (await call("GET", "/v1/audit/refused", undefined, admin)).body;
  assert.deepEqual(counts, { 401: FAILURES_MAX + 1, 403: 0, 429: 1 });
  assert.equal(JSON.stringify(newest).includes("rhone_"), false);
});

test("a write and its entry of the audit log are one revision; no change, no entry", async (t) => {
  const guarded = await guard(t);
  const { call, admin, store } = guarded;
  const operator = await grant(guarded, "o", "operator");
  const put = await call("PUT", "/v1/switches/web", {}, operator);
  await call("PUT", "/v1/switches/web", {}, operator);
  await call("DELETE", "/v1/switches/web", undefined, operator);
  const { body } = await call("GET", "/v1/audit?who=o", undefined, admin);
  assert.equal(body.length, 2);
  assert.deepEqual(body[1].targets, [{ kind: "switch", name: "web", change: "created" }]);
  assert.deepEqual(body[0].targets, [{ kind: "switch", name: "web", change: "deleted" }]);
  const { who, chassis, method, path, at, from } = body[1];
  assert.deepEqual({ who, chassis, method }, { who: "o", chassis: "a", method: "PUT" });
  assert.deepEqual({ path, at }, { path: "/v1/switches/web", at: "2030-01-31T12:00:00.000Z" });
  assert.match(from, /127\.0\.0\.1$/);
  assert.equal(String(body[1].revision), put.headers.get("x-rhone-revision"));
  assert.equal(store.snapshot().audits.length, 3); // The grant, too.
  const filtered = await call("GET", "/v1/audit?kind=access&limit=1", undefined, admin);
  assert.deepEqual(filtered.body[0].targets, [{ kind: "access", name: "o", change: "created" }]);
  for (const query of ["limit=0", "limit=x", "kind=x", "since=x", "x=1"]) {
    pointersOf(await call("GET", `/v1/audit?${query}`, undefined, admin), 400);
  }
});
