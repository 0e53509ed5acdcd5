import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type Listen, type ServedApi, serveApi } from "./serve.ts";

const isDeno = "Deno" in globalThis;
const TIMEOUT_MS = 60_000;
/** Longer than clients may leave a connection idle. */
const BUSY_MS = 7000;

const app = {
  fetch: async (request: Request) => new Response(`${request.method} ${await request.text()}`),
};

async function serve(t: TestContext, listen: Listen): Promise<ServedApi> {
  const served = await serveApi(app, listen);
  t.after(() => served.close()); // For the case that the test fails; closing twice is allowed.
  return served;
}

function socketPath(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), `rhone-serve-${process.pid}-`));
  t.after(() => rmSync(directory, { recursive: true }));
  return join(directory, "api.sock");
}

function postOverSocket(
  socketPath: string,
  body: string,
  agent: Agent | false = false,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const post = request({ socketPath, method: "POST", path: "/", agent }, (response) => {
      let text = "";
      response.on("data", (chunk) => {
        text += chunk;
      });
      response.on("end", () => resolve(text));
    });
    post.on("error", reject);
    post.end(body);
  });
}

test("answers on a TCP port and names its address", async (t) => {
  const served = await serve(t, { host: "127.0.0.1", port: 0 });
  assert.match(served.address, /^http:\/\/127\.0\.0\.1:\d+$/);
  const response = await fetch(served.address, { method: "POST", body: "ping" });
  assert.equal(await response.text(), "POST ping");
  await served.close();
  await assert.rejects(fetch(served.address));
});

test("answers on an IPv6 address", async (t) => {
  const served = await serve(t, { host: "::1", port: 0 });
  assert.match(served.address, /^http:\/\/\[::1\]:\d+$/);
  assert.equal(await (await fetch(served.address)).text(), "GET ");
  await served.close();
});

test("answers on a unix socket that only its owner may use, and removes it", async (t) => {
  const path = socketPath(t);
  const served = await serve(t, { path });
  assert.equal(served.address, `unix:${path}`);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(await postOverSocket(path, "ping"), "POST ping");
  await served.close();
  assert.equal(existsSync(path), false);
});

test("answers on a connection that waited, however busy it was", {
  timeout: TIMEOUT_MS,
}, async (t) => {
  const path = socketPath(t);
  await serve(t, { path });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  assert.equal(await postOverSocket(path, "first", agent), "POST first");
  const answer = postOverSocket(path, "second", agent);
  await new Promise((resolve) => setImmediate(resolve));
  // Nobody in this process looks at anything now.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BUSY_MS);
  assert.equal(await answer, "POST second");
});

test("takes the place of a socket that a killed process left", async (t) => {
  const path = socketPath(t);
  const program = `
    import { createServer } from "node:net";
    createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"));`;
  const argv = isDeno ? ["eval", program] : ["--input-type=module", "-e", program];
  spawnSync(process.execPath, argv);
  assert.ok(existsSync(path));
  const served = await serve(t, { path });
  assert.equal(await postOverSocket(path, "ping"), "POST ping");
  await served.close();
});

test("says who has the address when it is taken", async (t) => {
  const path = socketPath(t);
  for (const listen of [{ path }, { host: "127.0.0.1", port: 0 }]) {
    const first = await serve(t, listen);
    const port = Number(first.address.split(":").at(-1));
    const again = "path" in listen ? listen : { host: "127.0.0.1", port };
    await assert.rejects(serveApi(app, again), /cannot listen on .+: another process has it/);
    assert.equal("path" in listen ? await postOverSocket(path, "") : "POST ", "POST ");
    await first.close();
  }
});

test("never removes a file that is no socket", async (t) => {
  const path = socketPath(t);
  writeFileSync(path, "precious");
  await assert.rejects(serveApi(app, { path }), /cannot listen on/);
  assert.ok(existsSync(path));
});

test("closing ends idle and unfinished connections", { timeout: TIMEOUT_MS }, async () => {
  const served = await serveApi(
    { fetch: () => new Promise<Response>(() => {}) },
    { host: "127.0.0.1", port: 0 },
  );
  const hanging = assert.rejects(fetch(served.address));
  await new Promise((resolve) => setTimeout(resolve, 100));
  await served.close();
  await hanging;
});

test("all of this and the API's tests hold on Deno", { skip: isDeno, timeout: TIMEOUT_MS }, () => {
  const deno = fileURLToPath(new URL("../../../node_modules/.bin/deno", import.meta.url));
  const files = ["./serve.test.ts", "./api.test.ts", "./metrics.test.ts"].map((name) =>
    fileURLToPath(new URL(name, import.meta.url)),
  );
  const run = spawnSync(deno, ["test", "-A", "--no-check", ...files], { encoding: "utf8" });
  assert.equal(run.status, 0, run.stdout + run.stderr);
  assert.match(run.stdout, /\b0 failed/);
  assert.ok(Number(/(\d+) passed/.exec(run.stdout)?.[1]) >= 25);
});
