/** The check itself, proven on a router that is not ours and does not stop liars: Linux. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { check } from "./check.ts";
import { firstAnswered } from "./check-context.ts";
import { formatReport } from "./check-report.ts";
import { parseLab } from "./lab-file.ts";
import { createNamespaces, namespaceName, namespaceNames, runIn } from "./namespaces.ts";
import { cleanUp } from "./reaper.ts";

const LAB = parseLab(
  `
kind: lab
name: linux
chassis: [{ name: a, underlay: 192.168.100.1 }]
workloads: [{ port: vm1 }, { port: vm2 }, { port: vm3 }, { port: vm4 }]
---
{ kind: switch, name: web }
---
{ kind: switch, name: db }
---
{ kind: switch, name: alone }
---
kind: router
name: r
ports:
  - { name: r-web, switch: web, addresses: [10.0.1.1/24, "fd00:0:0:1::1/64"] }
  - { name: r-db, switch: db, addresses: [10.0.2.1/24, "fd00:0:0:2::1/64"] }
---
kind: port
name: vm1
switch: web
addresses: [10.0.1.10, "fd00:0:0:1::10"]
chassis: a
device: vm1
---
kind: port
name: vm2
switch: web
addresses: [10.0.1.11, "fd00:0:0:1::11"]
chassis: a
device: vm2
---
kind: port
name: vm3
switch: db
addresses: [10.0.2.10, "fd00:0:0:2::10"]
chassis: a
device: vm3
---
kind: port
name: vm4
switch: alone
addresses: [10.0.3.10]
chassis: a
device: vm4
`,
  "linux.yaml",
);
const PREFIX = `rhone-t${process.pid}-check`;
const ROUTER = `
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
for switch in web db; do ip link add $switch type bridge forward_delay 0 mcast_snooping 0; done
ip link set vm1 master web; ip link set vm2 master web; ip link set vm3 master db
ip address add 10.0.1.1/24 dev web; ip address add fd00:0:0:1::1/64 dev web nodad
ip address add 10.0.2.1/24 dev db; ip address add fd00:0:0:2::1/64 dev db nodad
ip link set web up; ip link set db up`;
const target = {
  lab: LAB,
  namespaceOf: (name: string) => namespaceName(PREFIX, name),
  drops: async () => new Map<string, number>(),
};

before(async () => {
  await createNamespaces(LAB, PREFIX, "af-packet");
  const { code, stderr } = await runIn(`${PREFIX}-a`, ["sh", "-ec", ROUTER]);
  assert.equal(code, 0, stderr);
  // Linux needs a moment before it routes IPv6: until the first answer, each way.
  for (const [from, to] of [
    ["vm1", "fd00:0:0:2::10"],
    ["vm3", "fd00:0:0:1::10"],
    ["vm3", "fd00:0:0:1::11"],
  ]) {
    const ping = ["ping", "-q", "-i", "0.1", "-c", "1", "-w", "10", to!];
    assert.equal((await runIn(`${PREFIX}-${from}`, ping)).code, 0);
  }
});

after(() => cleanUp({ prefix: PREFIX, namespaces: namespaceNames(LAB, PREFIX) }));

test("what works passes; spoofed packets and an open underlay are found", async () => {
  const { ok, findings } = await check(target);
  assert.equal(ok, false);
  const failed = findings.filter((finding) => !finding.ok);
  assert.deepEqual(
    failed.filter(({ group }) => group === "pair" || group === "router"),
    [],
  );
  assert.deepEqual(
    new Set(failed.map(({ group, name }) => `${group} ${name}`)),
    new Set([
      "refused underlay",
      "spoofed source MAC",
      "spoofed source IPv4",
      "spoofed ARP request's sender",
      "spoofed ARP reply for a foreign address",
      "spoofed source IPv6",
      "spoofed ND advertisement for a foreign target",
    ]),
  );
  const pairs = findings.filter(({ group }) => group === "pair");
  assert.equal(pairs.length, 6 * 6);
  const alone = findings.filter(({ group, to }) => group === "refused" && to === "vm4");
  assert.equal(alone.length, 3);
});

test("a broken path is found, and only that one", { timeout: 60_000 }, async () => {
  await runIn(`${PREFIX}-a`, ["ip", "route", "add", "blackhole", "10.0.2.10"]);
  const report = await check(target);
  const broken = report.findings.filter(({ group, ok }) => group === "pair" && !ok);
  assert.ok(broken.length > 0);
  for (const { from, to, name } of broken) {
    assert.match(name, /4$/);
    assert.ok(from === "vm3" || to === "vm3", `${from} to ${to}`);
  }
  const text = formatReport(report);
  assert.match(text, /vm1 → vm3 +✗ +✓ +✗ +✓ +✗ +✓/);
  assert.match(text, /✗ vm1 → vm3 ping4: \d+ packets transmitted, 0 received/);
  assert.match(text, new RegExp(`of ${report.findings.length} failed`));
});

test("a late answer is an answer, and a lost one is not", () => {
  const line = (n: number) => `64 bytes from 10.0.1.10: icmp_seq=${n} ttl=64 time=0.1 ms\n`;
  assert.equal(firstAnswered(line(1) + line(2) + line(3), 3), 3);
  // The fourth was sent while the third was on its way, or was lost.
  assert.equal(firstAnswered(line(1) + line(2) + line(4) + line(3), 3), 3);
  assert.equal(firstAnswered(line(1) + line(3) + line(4), 3), 2);
  assert.equal(firstAnswered(`From 10.0.1.1 icmp_seq=1 Destination Host Unreachable\n`, 3), 0);
});
