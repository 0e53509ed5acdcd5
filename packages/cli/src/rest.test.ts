import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { RestClient, succeeded } from "./rest-client.ts";
import { forwardRest } from "./rest-forward.ts";

async function serveUnix(t: TestContext, listener: RequestListener): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), "rhone-rest-"));
  const path = join(directory, "api.sock");
  const server: Server = createServer(listener).listen(path);
  await once(server, "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
    rmSync(directory, { recursive: true });
  });
  return path;
}

const PROBLEM = {
  type: "urn:rhone:problem:invalid",
  title: "The document is wrong",
  status: 422,
  detail: "/0/mac: expected a MAC address, got 7",
  errors: [{ pointer: "/0/mac", expected: "a MAC address", got: "7" }],
};

test("a forwarded port reaches the UNIX socket, with body and revision", async (t) => {
  const path = await serveUnix(t, (request, response) => {
    response.setHeader("x-rhone-revision", "42");
    request.pipe(response);
  });
  const forward = await forwardRest(0, path);
  t.after(forward.close);
  const answer = await new RestClient(forward.url).request("PUT", "/v1/x", { body: { a: 1 } });
  assert.deepEqual(answer, { status: 200, revision: 42, body: { a: 1 } });
});

test("a taken port is refused by naming its holder and the option", async (t) => {
  const path = await serveUnix(t, (_, response) => response.end());
  const first = await forwardRest(0, path);
  t.after(first.close);
  const taken = Number(new URL(first.url).port);
  await assert.rejects(
    forwardRest(taken, path),
    new RegExp(`port ${taken} .* process ${process.pid} .*--rest-port`),
  );
});

test("a refusal names each field, what was expected and what came", async (t) => {
  const path = await serveUnix(t, (_, response) => {
    response.writeHead(422, { "content-type": "application/problem+json" });
    response.end(JSON.stringify(PROBLEM));
  });
  const answer = await new RestClient(`unix:${path}`).request("POST", "/v1/apply", { body: [] });
  assert.throws(() => succeeded(answer), {
    message: "The document is wrong\n  /0/mac: expected a MAC address, got 7",
  });
});

test("an answer that is not ours is shown as it is", async (t) => {
  const path = await serveUnix(t, (_, response) => response.writeHead(502).end("<html>"));
  const answer = await new RestClient(`unix:${path}`).request("GET", "/");
  assert.throws(() => succeeded(answer), /HTTP status 502: "<html>"/);
});

test("no server is a message that says how to get one", async () => {
  const client = new RestClient("unix:/nonexistent/api.sock");
  await assert.rejects(client.get("/healthz"), /no chassis answers at .*RHONE_SERVER/);
});

test("a server that does not answer is given up", async (t) => {
  const path = await serveUnix(t, () => {});
  const client = new RestClient(`unix:${path}`);
  await assert.rejects(client.request("GET", "/", { timeoutMs: 50 }), /timeout/);
});

test("a server that is no URL is refused", () => {
  assert.throws(() => new RestClient("localhost:7101"), /expected http:\/\/host:port, .* or unix:/);
  assert.throws(() => new RestClient("ftp://x"), /expected http:\/\/host:port, .* or unix:/);
});
