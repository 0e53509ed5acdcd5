/** Three chassis in one namespace become a cluster by the commands that an operator has. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { HealthView } from "@rhone/api/context";
import { stringify } from "yaml";
import { RestClient } from "./rest-client.ts";
import { type RunResult, run, runOrThrow } from "./run.ts";
import { runtimeCommand, scriptPath } from "./runtime.ts";

const RHONE = [...runtimeCommand("node"), scriptPath("./main.ts")];
const CHASSIS = [...runtimeCommand("node"), scriptPath("../../chassis/src/main.ts")];
const NAMESPACE = `rhone-t${process.pid}-cluster`;
const INSIDE = ["ip", "netns", "exec", NAMESPACE];
/** Many processes start one after the other, and other tests run beside this one. */
const LIMIT = { timeout: 120_000 };
const READY_TIMEOUT_MS = 60_000;
const API_PORT = 6640;

const directory = mkdtempSync(join(tmpdir(), "rhone-cluster-"));
const running: ChildProcess[] = [];

function underlayOf(name: string): string {
  return `192.0.2.${name.charCodeAt(0) - 96}`;
}

/** Writes the configuration of a chassis; its ports differ, as all live in one namespace. */
function configure(name: string, cluster: object = {}): string {
  const index = name.charCodeAt(0) - 97;
  const path = join(directory, `${name}.yaml`);
  const config = {
    name,
    underlay: underlayOf(name),
    dataDirectory: join(directory, name),
    workers: 1,
    workersMax: 1,
    connections: 1024,
    api: { listen: `${underlayOf(name)}:${API_PORT}`, socket: join(directory, `${name}.sock`) },
    nats: { clientPort: 4222 + index },
    cluster,
    log: { file: join(directory, `${name}.log`) },
  };
  writeFileSync(path, stringify(config), { mode: 0o600 });
  return path;
}

/** Runs a command in the namespace. */
function rhone(argv: readonly string[], input = "", env: readonly string[] = []) {
  return run([...INSIDE, "env", ...env, ...RHONE, ...argv], { input, timeoutMs: 30_000 });
}

async function startChassis(config: string): Promise<ChildProcess> {
  const [program, ...argv] = [...INSIDE, ...CHASSIS, "--config", config];
  const child = spawn(program!, argv, { stdio: ["ignore", "ignore", "pipe"] });
  running.push(child);
  return child;
}

/** Waits until `isTrue` of what the chassis answers. */
async function answers<T>(name: string, path: string, isTrue: (body: T) => boolean): Promise<void> {
  const client = new RestClient(`unix:${join(directory, `${name}.sock`)}`);
  const deadline = performance.now() + READY_TIMEOUT_MS;
  let last = "";
  while (performance.now() < deadline) {
    try {
      const { body } = await client.request("GET", path);
      if (isTrue(body as T)) return;
      last = JSON.stringify(body);
    } catch (error) {
      last = (error as Error).message; // Not listening yet.
    }
    await sleep(50);
  }
  assert.fail(`${name} ${path}: ${last}\n${readFileSync(join(directory, `${name}.log`), "utf8")}`);
}

/** Runs a command until it prints what is expected, and answers with that run. */
async function until(argv: readonly string[], pattern: RegExp): Promise<RunResult> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    const result = await rhone(argv);
    if (pattern.test(result.stdout)) return result;
    const said = `${argv.join(" ")}: ${result.stdout}${result.stderr}`;
    assert.ok(performance.now() < deadline, `expected ${pattern}, got ${said}`);
  }
}

function healthy(name: string): Promise<void> {
  return answers<HealthView>(name, "/healthz", ({ status }) => status === "ok");
}

/** Waits until a chassis knows that many tokens. */
function accessIs(name: string, count: number): Promise<void> {
  return answers<unknown[]>(name, "/v1/access", ({ length }) => length === count);
}

function refused({ code, stderr }: RunResult, pattern: RegExp): void {
  assert.equal(code, 1, stderr);
  assert.match(stderr, pattern);
}

describe("a cluster that is made by hand", () => {
  before(async () => {
    chmodSync(directory, 0o755); // A nats-server runs as another user and must pass.
    await runOrThrow(["ip", "netns", "add", NAMESPACE]);
    await runOrThrow([...INSIDE, "ip", "link", "set", "lo", "up"]);
    for (const name of ["a", "b", "c"]) {
      await runOrThrow([...INSIDE, "ip", "address", "add", `${underlayOf(name)}/24`, "dev", "lo"]);
    }
  }, LIMIT);
  after(async () => {
    for (const child of running) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const exited = once(child, "exit");
      child.kill("SIGTERM");
      await exited;
    }
    await runOrThrow(["ip", "netns", "delete", NAMESPACE]);
    rmSync(directory, { recursive: true });
  }, LIMIT);

  const ca = join(directory, "b", "cluster", "ca.crt");
  let used = "";

  test("init makes it once, and tokens come from its authority alone", LIMIT, async () => {
    const [a, b] = [configure("a"), configure("b")];
    refused(
      await rhone(["cluster", "token", "--config", a]),
      /expected the authority of a cluster/,
    );
    // It would serve REST on the underlay, and has no certificate yet.
    refused(await run([...INSIDE, ...CHASSIS, "--config", a]), /elsewhere REST needs TLS/);
    const made = await rhone(["cluster", "init", "--config", a]);
    assert.match(made.stdout, /Authority \(SHA-256\): [0-9a-f]{64}/, made.stderr);
    refused(await rhone(["cluster", "init", "--config", a]), /it belongs to one/);
    const token = await rhone(["cluster", "token", "--config", a, "--ttl", "5m"]);
    assert.match(token.stdout, /^rhone1\.[\w-]+\n$/, token.stderr);
    used = token.stdout;
    const wrong = await rhone(["cluster", "token", "--config", a, "--ttl", "8d"]);
    assert.equal(wrong.code, 2);
    refused(await rhone(["join", "--config", b], "nonsense"), /expected a token as of/);
    refused(await rhone(["join", "--config", b], used), /ECONNREFUSED/);
  });

  test("a second chassis joins with the token, and nobody else does", LIMIT, async () => {
    await startChassis(join(directory, "a.yaml"));
    await healthy("a");
    const joined = await rhone(["join", "--config", join(directory, "b.yaml")], used);
    assert.match(joined.stdout, /b has joined a/, joined.stderr);
    refused(await rhone(["join", "--config", configure("c"), used.trim()]), /another chassis/);
    refused(await rhone(["join", "--config", join(directory, "b.yaml")], used), /joined already/);
    assert.match(readFileSync(join(directory, "a.log"), "utf8"), /join-token-used/);
    assert.doesNotMatch(readFileSync(join(directory, "a.log"), "utf8"), /rhone1\./);
  });

  test("a third joins by itself when it starts, and all know each other", LIMIT, async () => {
    const token = await rhone(["cluster", "token", "--config", join(directory, "a.yaml")]);
    const joinTokenFile = join(directory, "c.token");
    writeFileSync(joinTokenFile, token.stdout, { mode: 0o600 });
    await startChassis(join(directory, "b.yaml"));
    await startChassis(configure("c", { joinTokenFile }));
    await Promise.all(["b", "c"].map(healthy));
    for (const name of ["a", "b", "c"]) {
      await answers<{ name: string }[]>(name, "/v1/chassis", (known) => {
        return known.map((chassis) => chassis.name).join() === "a,b,c";
      });
    }
    const { stdout } = await rhone(["cluster", "members", "--config", join(directory, "a.yaml")]);
    assert.match(stdout, /a .*192\.0\.2\.1.*b .*192\.0\.2\.2.*c .*192\.0\.2\.3/s);
  });

  test("status says in plain words who lives, and who does not", LIMIT, async () => {
    const argv = ["--server", `unix:${join(directory, "a.sock")}`, "cluster", "status"];
    const all = await until(argv, /All 3 chassis live, hear each other and hold the same state/);
    assert.equal(all.code, 0, all.stderr);
    assert.match(all.stdout, /^b +192\.0\.2\.2 +alive .* both ways +up +same/m);
    const c = running.at(-1)!;
    const exited = once(c, "exit");
    c.kill("SIGKILL");
    await exited;
    const two = await until(argv, /c is dead for .*: nobody gets an answer; last heard .* ago/);
    assert.equal(two.code, 1);
    assert.match(two.stdout, /^b .* alive/m);
    await startChassis(join(directory, "c.yaml"));
    assert.equal((await until(argv, /All 3 chassis live/)).code, 0);
  });

  test("REST on the underlay shows a certificate of the cluster", LIMIT, async () => {
    const argv = ["--server", `https://${underlayOf("b")}:${API_PORT}`, "health"];
    const good = await rhone(argv, "", [`RHONE_CA=${ca}`]);
    assert.equal(good.code, 0, good.stderr);
    assert.match(good.stdout, /identity *the certificates last for 72 h/);
    refused(await rhone(argv), /name the file cluster\/ca\.crt/);
    const plain = await rhone(["--server", `http://${underlayOf("b")}:${API_PORT}`, "health"]);
    assert.equal(plain.code, 1);
  });

  test("a token is good at every chassis, and revoked at every chassis", LIMIT, async () => {
    const at = (name: string) => ["--server", `https://${underlayOf(name)}:${API_PORT}`];
    const socket = (name: string) => ["--server", `unix:${join(directory, `${name}.sock`)}`];
    const authority = `RHONE_CA=${ca}`;
    refused(await rhone([...at("b"), "get", "chassis"], "", [authority]), /RHONE_TOKEN/);
    const made = await rhone([...socket("a"), "access", "grant", "alice", "--role", "viewer"]);
    assert.match(made.stdout, /^rhone_alice_[\w-]{43}\n$/, made.stderr);
    const tokenFile = join(directory, "alice.token");
    writeFileSync(tokenFile, made.stdout, { mode: 0o600 });
    const asAlice = (name: string, ...argv: string[]) =>
      rhone([...at(name), "--token-file", tokenFile, ...argv], "", [authority]);
    await accessIs("b", 1);
    await accessIs("c", 1);
    assert.match((await asAlice("b", "get", "chassis")).stdout, /192\.0\.2\.3/);
    refused(await asAlice("b", "delete", "switch", "web"), /needs the role operator/);
    const revoked = await rhone([...socket("c"), "access", "revoke", "alice"]);
    assert.equal(revoked.code, 0, revoked.stderr);
    await accessIs("a", 0);
    await accessIs("b", 0);
    refused(await asAlice("a", "get", "chassis"), /not known, or was revoked/);
    const log = await rhone([...socket("b"), "audit", "--kind", "access"]);
    assert.match(log.stdout, /unix:0 .* c .*access alice deleted\n.* a .*access alice created/);
    for (const name of ["a", "b", "c"]) {
      assert.doesNotMatch(readFileSync(join(directory, `${name}.log`), "utf8"), /rhone_alice_/);
    }
    chmodSync(tokenFile, 0o644);
    assert.match((await asAlice("b", "health")).stderr, /that only you can read .*got mode 644/);
  });

  test("a name is free again when it was forgotten", LIMIT, async () => {
    const argv = ["cluster", "forget", "--config", join(directory, "a.yaml")];
    refused(await rhone([...argv, "nobody"]), /expected the name of a member/);
    assert.match((await rhone([...argv, "c"])).stdout, /c is free/);
    const { stdout } = await rhone(["cluster", "members", "--config", join(directory, "a.yaml")]);
    assert.doesNotMatch(stdout, /192\.0\.2\.3/s);
  });
});
