/** Requests that are wrong before any document is looked at, and answers about many mistakes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { createMemoryStore } from "@rhone/state/memory-store";
import { createApi } from "./api.ts";
import { contextWith, pointersOf, start } from "./api-fixture.ts";
import type { ProblemView } from "./context.ts";

const JSON_TYPE = { "content-type": "application/json" };

/** What is wrong with a body of these bytes. */
async function detailOf(
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {},
): Promise<string> {
  const app = createApi(contextWith(createMemoryStore("a")));
  const init = { method: "PUT", headers: { ...JSON_TYPE, ...headers }, body };
  const { status, detail } = (await (
    await app.request("/v1/switches/web", init)
  ).json()) as ProblemView;
  return `${status} ${detail}`;
}

test("a body that cannot be read is told what was expected and what came", async () => {
  const begun = '{"description": "';
  assert.equal(await detailOf(""), "400 expected JSON, got no body");
  assert.equal(await detailOf('{"a":'), "400 expected JSON, got only its beginning, 5 characters");
  assert.match(await detailOf("{web: 1}"), /^400 expected JSON, got another text: .*position 1/);
  const latin1 = Buffer.from(`${begun}Rh\u00f4ne"}`, "latin1");
  assert.equal(await detailOf(latin1), "400 expected JSON in UTF-8, got bytes that are no UTF-8");
  const zipped = await detailOf(new Uint8Array(gzipSync("{}")), { "content-encoding": "gzip" });
  assert.equal(zipped, "415 expected a body without Content-Encoding, got gzip");
});

test("a query that a path does not have is refused, and one that repeats itself", async (t) => {
  const call = await start(t);
  const detail = async (path: string, status = 400): Promise<string> => {
    const answer = await call("GET", path);
    assert.equal(answer.status, status, path);
    return answer.body.detail;
  };
  assert.equal(await detail("/v1/ports?switch=web"), "expected no query, got switch");
  const limits = await detail("/v1/audit?limit=1&limit=2");
  assert.equal(limits, "expected limit once, got limit=1 and limit=2");
  assert.match(await detail("/v1/audit?sort=at"), /^expected limit or who or .*, got sort$/);
  assert.match(await detail("/v1/convergence?foo=1"), /^expected version or wait or timeout, got/);
  const twice = await call("PUT", "/v1/switches/web?wait=applied&wait=local", {});
  assert.equal(twice.body.detail, "expected wait once, got wait=applied and wait=local");
  assert.equal((await call("GET", "/healthz?at=1")).status, 200);
});

test("If-None-Match: * creates and never replaces", async (t) => {
  const call = await start(t);
  const path = "/v1/switches/web";
  const guard = { "if-none-match": "*" };
  const created = await call("PUT", path, { description: "first" }, guard);
  assert.equal(created.status, 201);
  const refused = await call("PUT", path, {}, guard);
  pointersOf(refused, 412);
  assert.match(refused.body.detail, /^expected nothing of this name, got "1-a"$/);
  assert.equal((await call("GET", path)).body.description, "first");
  const etag = created.headers.get("etag")!;
  pointersOf(await call("DELETE", path, undefined, { "if-none-match": etag }), 412);
  assert.equal((await call("PUT", path, {}, { "if-none-match": '"9-b"' })).status, 200);
});

test("an answer about very many mistakes names the first hundred, and says how many", async (t) => {
  const call = await start(t);
  const wrong = Array.from({ length: 2000 }, (_, i) => ({ kind: "switch", name: `s${i}`, x: 1 }));
  const refused = await call("POST", "/v1/apply", wrong);
  assert.equal(pointersOf(refused, 422).length, 100);
  assert.match(refused.body.detail, /^\/0\/x: .* \(and 1999 more\)$/);
});

test("who applies a kind that is not for users hears which ones are", async (t) => {
  const call = await start(t);
  for (const kind of ["chassis", "audit", "vlan", "__proto__"]) {
    const refused = await call("POST", "/v1/apply", [{ kind, name: "x" }]);
    assert.deepEqual(pointersOf(refused, 422), ["/0/kind"]);
    assert.match(refused.body.detail, /expected one of switch, router, .*, dataplane, got/);
  }
});
