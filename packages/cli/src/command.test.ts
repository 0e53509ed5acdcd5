/** The `rhone` command against a real chassis, as a user runs it. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { EXAMPLE, type LabProcess, rhone, startLabProcess } from "./command-fixture.ts";
import { readLabRecord } from "./run-directory.ts";

const PREFIX = `rhone-t${process.pid}-cmd`;
const LIMIT = { timeout: 60_000 };
const directory = mkdtempSync(join(tmpdir(), "rhone-command-"));
let lab: LabProcess;

before(
  async () => {
    lab = await startLabProcess(PREFIX, "--workers", "1");
  },
  { timeout: 60_000 },
);

after(async () => {
  await lab?.end("SIGTERM");
  rmSync(directory, { recursive: true });
});

/** Asks chassis b, by its URL. */
function ask(...argv: string[]): ReturnType<typeof rhone> {
  return rhone("--server", lab.up.chassis[1]!.url, ...argv);
}

function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

test("help names every command and ends well", LIMIT, async () => {
  const { code, stdout } = await rhone("--help");
  assert.equal(code, 0);
  for (const name of [
    "apply",
    "get",
    "delete",
    "counters",
    "pipeline",
    "health",
    "dataplane",
    "lab",
  ]) {
    assert.match(stdout, new RegExp(`^  ${name} `, "m"));
  }
  assert.match(stdout, /Examples:/);
});

test("a wrong command line ends with 2 and says what to do", LIMIT, async () => {
  for (const [argv, expected] of [
    [["frobnicate"], /unknown command 'frobnicate'/],
    [
      ["get", "frogs"],
      /expected one of switch, router, port, identity, acl, .*, chassis, got "frogs"/,
    ],
    [
      ["delete", "chassis", "a"],
      /expected one of switch, router, port, acl, load-balancer, gateway, dataplane, got "chassis"/,
    ],
    [["port", "migrate", "vm1"], /expected one of --to, --finish and --abort/],
    [
      ["port", "migrate", "vm1", "--finish", "--device", "t"],
      /--device .*: expected --to with them/,
    ],
    [["dataplane", "scale", "0"], /expected a whole number from 1 on/i],
    [["dataplane", "place", "output"], /Allowed choices are acl, load-balancing, routing/],
    [["dataplane", "place", "acl"], /expected one of --worker, --to and --home/],
    [["dataplane", "place", "acl", "--worker", "-1"], /expected a whole number from 0 on/i],
    [["lab", "up", EXAMPLE, "--workers", "99"], /expected a whole number from 1 to 16/],
    [["lab", "up", EXAMPLE, "--runtime", "bun"], /Allowed choices are node, deno/],
    [["lab", "up", EXAMPLE, "--prefix", "A b"], /--prefix: expected 1 to 37 of a-z/],
    [["lab", "up", "/none.yaml"], /\/none\.yaml: expected a readable YAML file, got no such file/],
    [["--server", "x", "health"], /--server: expected http:\/\/host:port, .* or unix:/],
  ] as const) {
    const { code, stderr } = await rhone(...argv);
    assert.match(stderr, expected);
    assert.equal(code, 2, argv.join(" "));
  }
});

test("no chassis, no lab: 1, and how to get one", LIMIT, async () => {
  const health = await rhone("--server", "unix:/none.sock", "health");
  assert.equal(health.code, 1);
  assert.match(health.stderr, /no chassis answers at unix:\/none\.sock: start a lab/);
  const down = await rhone("lab", "down", "no-such-lab");
  assert.equal(down.code, 1);
  assert.match(down.stderr, /expected a lab no-such-lab, got 0; there are: .*cmd/);
});

test("shows resources as tables and as JSON", LIMIT, async () => {
  const ports = await ask("get", "ports");
  assert.match(ports.stdout, /^vm4 +db +10\.0\.2\.10 fd00:0:0:2::10 .* c +vm4 +up +app=db$/m);
  const routers: { name: string }[] = JSON.parse((await ask("get", "router", "--json")).stdout);
  assert.deepEqual(
    routers.map(({ name }) => name),
    ["router1"],
  );
  const one = JSON.parse((await ask("get", "port", "vm1")).stdout);
  assert.equal(one.status.up, true);
  assert.match((await ask("get", "chassis")).stdout, /^c +192\.168\.100\.3 +1 /m);
  assert.match((await ask("get", "switches")).stdout, /^web +any +Front ends$/m);
  const identities = (await ask("get", "identities")).stdout;
  assert.match(identities, /^\d{10} +app=web +vm1 vm2 vm3$/m);
  const number = /^(\d+) +app=db/m.exec(identities)![1]!;
  assert.match((await ask("get", "identity", number)).stdout, /^\d+ +app=db +vm4 vm5$/m);
  assert.match(identities, /^1 +reserved:host +the chassis itself/m);
  assert.match((await ask("get", "identity", "2")).stdout, /^2 +reserved:world +addresses/m);
  assert.match((await ask("get", "identity", "200")).stderr, /no identity 200/);
  const missing = await ask("get", "port", "vm9");
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /no port vm9/);
});

test("shows counters, stages and health", LIMIT, async () => {
  assert.match((await ask("counters")).stdout, /^0 +port-security +\d+/m);
  assert.match((await ask("counters")).stdout, /^heartbeats +\d+ +\d+ +[1-9]\d* +[1-9]/m);
  assert.match((await ask("pipeline")).stdout, /^8 +post-routing +yes +/m);
  assert.match((await ask("health")).stdout, /^ok\n✓ /);
  assert.equal(JSON.parse((await ask("counters", "--json")).stdout).stages.length, 16);
});

test("applies the file of the lab, changes it, and deletes", LIMIT, async () => {
  const again = await ask("apply", "-f", EXAMPLE, "--wait");
  assert.match(again.stdout, /^router +router1 +unchanged$/m);
  const path = file("more.yaml", "kind: switch\nname: more\n---\nkind: switch\nname: web\n");
  const { stdout } = await ask("apply", "-f", path, "--json");
  assert.deepEqual(JSON.parse(stdout).documents, [
    { kind: "switch", name: "more", result: "created" },
    { kind: "switch", name: "web", result: "updated" },
  ]);
  assert.equal((await ask("delete", "switch", "more", "--wait")).stdout, "switch more deleted\n");
  const used = await ask("delete", "switches", "db");
  assert.equal(used.code, 1);
  assert.match(used.stderr, /contradicts other documents/);
});

test("load balancers are applied, shown with their backends, and deleted", LIMIT, async () => {
  const path = file(
    "balancer.yaml",
    "kind: load-balancer\nname: dns\nswitches: [web]\nvips:\n" +
      "  - {address: 10.0.9.9, protocol: udp, port: 53, backends: [{address: 10.0.2.10}]}\n" +
      "  - {address: 'fd00::9', port: 80, backends: []}\n",
  );
  const applied = await ask("apply", "-f", path, "--wait");
  assert.match(applied.stdout, /^load-balancer +dns +created$/m);
  assert.match(
    (await ask("get", "load-balancers")).stdout,
    /^dns +web +udp 10\.0\.9\.9:53, tcp \[fd00::9\]:80 +10\.0\.2\.10, none$/m,
  );
  assert.equal((await ask("delete", "load-balancer", "dns")).stdout, "load-balancer dns deleted\n");
});

test("rules are applied, shown with what they ask and did, and deleted", LIMIT, async () => {
  const path = file(
    "rules.yaml",
    "kind: acl\nname: shut\nswitch: db\ndirection: to-port\npriority: 1\n" +
      "match: {}\naction: drop\n---\n" +
      "kind: acl\nname: web\nswitch: db\nport: vm4\ndirection: to-port\npriority: 9\n" +
      "match: {protocol: tcp, source: 10.0.1.0/24, destinationPorts: 80-81, " +
      "destinationLabels: {app: db}}\naction: allow\n",
  );
  const applied = await ask("apply", "-f", path, "--wait");
  assert.match(applied.stdout, /^acl +shut +created\nacl +web +created$/m);
  const { stdout } = await ask("get", "acls");
  assert.match(stdout, /^shut +db +all +to-port +1 +everything +drop +\d+$/m);
  assert.match(
    stdout,
    /^web +db +vm4 +to-port +9 +tcp from 10\.0\.1\.0\/24 to app=db:80-81 +allow +0$/m,
  );
  const wrong = file("wrong-rule.yaml", "kind: acl\nname: a\nswitch: db\nport: vm1\n");
  assert.match((await ask("apply", "-f", wrong)).stderr, /field match: expected an object/);
  for (const name of ["shut", "web"]) {
    assert.equal((await ask("delete", "acl", name)).stdout, `acl ${name} deleted\n`);
  }
});

test(
  "a stage is placed elsewhere and brought home, and what else is written stays",
  LIMIT,
  async () => {
    const place = (...argv: string[]) => ask("dataplane", "place", ...argv, "--wait");
    assert.equal((await place("acl", "--to", "c")).stdout, "chassis b: acl at chassis c\n");
    assert.equal(
      (await place("routing", "--worker", "0")).stdout,
      "chassis b: acl at chassis c, routing at worker 0\n",
    );
    assert.match((await ask("dataplane", "show")).stdout, /^Places: acl at chassis c, routing at/m);
    assert.match((await ask("dataplane", "scale", "1")).stdout, /^chassis b: 1 worker$/m);
    const other = await ask("dataplane", "place", "acl", "--chassis", "a", "--to", "b");
    assert.equal(other.stdout, "chassis a: acl at chassis b\n");
    assert.match(
      (await ask("dataplane", "show", "a")).stdout,
      /^Chassis a: .*; acl at chassis b\./m,
    );
    assert.equal((await place("acl", "--home")).stdout, "chassis b: routing at worker 0\n");
    const written = JSON.parse((await ask("get", "dataplane", "b")).stdout);
    assert.deepEqual([written.workers, written.placement], [1, { routing: { worker: 0 } }]);
    const refused = await place("acl", "--to", "b");
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /another chassis that is known/);
    for (const name of ["a", "b"]) assert.equal((await ask("delete", "dataplane", name)).code, 0);
  },
);

test("a refused file is told by line, field, expected and got", LIMIT, async () => {
  const text = "kind: lab\n---\nkind: port\nname: vm9\nswitch: web\naddresses: [10.0.1.10]\nx: 1\n";
  const { code, stderr } = await ask("apply", "-f", file("wrong.yaml", text));
  assert.equal(code, 1);
  assert.match(
    stderr,
    /wrong\.yaml:7: document 2 \(port vm9\), field x: expected one of the fields /,
  );
  const taken = file("taken.yaml", text.replace("x: 1\n", ""));
  const conflict = await ask("apply", "-f", taken);
  assert.match(
    conflict.stderr,
    /taken\.yaml:6: document 2 .*addresses\.0: .*vm1.* got "10\.0\.1\.10"/,
  );
});

test("lab down ends a lab that runs elsewhere", LIMIT, async () => {
  assert.equal(readLabRecord(PREFIX)?.pid, lab.child.pid);
  const { code, stderr } = await rhone("lab", "down", PREFIX);
  assert.equal(stderr, "");
  assert.equal(code, 0);
  assert.equal(readLabRecord(PREFIX), null);
});
