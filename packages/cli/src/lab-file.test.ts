import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { parseLab, readLabFile } from "./lab-file.ts";
import { UserError } from "./user-error.ts";

const EXAMPLE = fileURLToPath(new URL("../../../labs/web-db.yaml", import.meta.url));
const GATEWAY = fileURLToPath(new URL("../../../labs/gateway.yaml", import.meta.url));

test("the example has the workloads that it draws", () => {
  const lab = readLabFile(EXAMPLE);
  const placed = lab.workloads.map(({ name, switch: of, chassis }) => `${name} ${of} ${chassis}`);
  assert.deepEqual(placed, ["vm1 web a", "vm2 web a", "vm3 web b", "vm4 db c", "vm5 db b"]);
  assert.deepEqual(lab.workloads[3]!.addresses, [
    {
      ...{ family: 4, address: "10.0.2.10", prefixLength: 24 },
      ...{ gateway: "10.0.2.1", router: "router1" },
    },
    {
      ...{ family: 6, address: "fd00:0:0:2::10", prefixLength: 64 },
      ...{ gateway: "fd00:0:0:2::1", router: "router1" },
    },
  ]);
  assert.equal(lab.resources.length, 8);
});

test("a workload on a switch without a router has no gateway", () => {
  const text = `kind: lab
name: l
chassis: [{name: a, underlay: "fd01::1"}]
workloads: [{port: p}]
--- {kind: switch, name: s}
--- {kind: port, name: p, switch: s, addresses: [10.9.0.1], chassis: a, device: d}
`;
  const [workload] = parseLab(text.replaceAll("--- ", "---\n"), "l.yaml").workloads;
  assert.deepEqual(workload!.addresses, [
    { family: 4, address: "10.9.0.1", prefixLength: 24, gateway: undefined, router: undefined },
  ]);
  assert.match(workload!.mac, /^02:/);
});

test("a gateway's port has a cable to each member, wherever the file says so", () => {
  const text = readFileSync(GATEWAY, "utf8");
  const [vm1, uplink] = parseLab(text, "l.yaml").workloads;
  assert.deepEqual([vm1!.chassis, vm1!.gateway], [["c"], undefined]);
  assert.deepEqual([uplink!.chassis, uplink!.gateway], [["a", "b"], "edge"]);
  assert.equal(uplink!.addresses[0]!.gateway, "10.0.9.1");
  const refused = (from: string, to: string): string => {
    assert.ok(text.includes(from));
    return refusalOf(text.replace(from, to));
  };
  assert.match(
    refused("chassis: b, priority", "chassis: d, priority"),
    /^l\.yaml:\d+: .*\(gateway edge\), field members\.1\.chassis: .*that is known, got "d"$/,
  );
  assert.match(refused("\ngateway: edge", "\ngateway: egde"), /gateway that exists, got "egde"$/);
  assert.match(
    refused("\ngateway: edge", ""),
    /on a chassis of this lab, or of a gateway, got "uplink on no chassis"$/,
  );
  assert.match(
    refused("\ndevice: uplink", ""),
    /\(port uplink\), field device: expected the device that the port has at every member/,
  );
  // What is wrong with the lab itself makes none of its chassis unknown to others.
  const underlay = refused("underlay: 192.168.100.2", "underlay: 192.168.100.1");
  assert.match(underlay, /^[^\n]*chassis\.1\.underlay[^\n]*$/);
});

test("rules are resources like all others, and their mistakes have lines, too", () => {
  const rule = "kind: acl\nname: r\nswitch: web\nport: vm1\ndirection: to-port\npriority: 1\n";
  const text = `${readFileSync(EXAMPLE, "utf8")}---\n${rule}match: {}\naction: drop\n`;
  assert.equal(parseLab(text, "l.yaml").resources.length, 9);
  assert.match(
    refusalOf(text.replace("switch: web\nport: vm1\ndir", "switch: web\nport: vm4\ndir")),
    /\(acl r\), field port: expected the name of a port of switch web, got "vm4"$/,
  );
});

/** Each changes the example; the error must name the line of the change. */
const MISTAKES: readonly (readonly [from: string, to: string, expected: RegExp])[] = [
  [
    "underlay: 192.168.100.2",
    "underlay: 192.168.100.300",
    /1 \(lab web-db\).*chassis\.1\.underlay/,
  ],
  [
    "underlay: 192.168.100.2",
    "underlay: 192.168.100.1",
    /chassis\.1\.underlay: expected something/,
  ],
  ["underlay: 192.168.100.2", "underlay: fd01::2", /expected an address of the family of/],
  ["port: vm3", "prot: vm3", /workloads\.2\.prot: expected one of the fields port, got "vm3"/],
  ["port: vm3", "port: vm9", /expected the name of a port in this file, got "vm9"/],
  ["port: vm3", "port: vm2", /workloads\.2\.port: expected something else than \/workloads\/1/],
  ["port: vm3", "port: underlay", /the underlay's namespace/],
  ["name: web-db", "name: Web_db", /field name: expected 1 to 31 of a-z/],
  ["switch: db", "switch: dbx", /4 \(router router1\), field ports\.1\.switch: .* got "dbx"/],
  [
    "mac: 02:00:00:00:01:10",
    "mac: 02:00:00:00:01:1g",
    /\(port vm1\), field mac: expected a unicast/,
  ],
  ["addresses: [10.0.2.11,", "addresses: [10.0.2.10,", /addresses\.0: expected an IP.* vm4/],
  ["device: vm4", "device: vm4\ndriver: tap", /a port with another driver.*got "vm4 with tap"/],
  [
    "chassis: c",
    "chassis: d",
    /a port on a chassis of this lab, or of a gateway, got "vm4 on chassis d"/,
  ],
  [
    "device: vm1",
    "divice: vm1",
    /field divice: expected one of the fields kind, .* device, .*, got "vm1"/,
  ],
  ["kind: router", "kind: ruoter", /\(ruoter router1\), field kind: expected one of switch/],
  ["kind: router", "kind: [router", /document 4: /],
];

for (const [from, to, expected] of MISTAKES) {
  test(`says line, document, field, expected and got for "${to}"`, () => {
    const text = readFileSync(EXAMPLE, "utf8");
    const line = text.slice(0, text.indexOf(from)).split("\n").length;
    const message = refusalOf(text.replace(from, to));
    assert.match(message, expected);
    const lines = [...message.matchAll(/^l\.yaml:(\d+): /gm)].map((match) => Number(match[1]));
    // A port that no lab can have, or not this one: it is the lab that should not name it.
    const isInLab = to.startsWith("chassis:") || to.endsWith("tap");
    const isSyntax = to.startsWith("kind: ["); // Noticed where the bracket should have ended.
    assert.deepEqual(new Set(lines), new Set([isInLab ? 19 : isSyntax ? line + 1 : line]));
  });
}

test("all mistakes are told at once", () => {
  const text = readFileSync(EXAMPLE, "utf8")
    .replace("device: vm4", "device: /")
    .replace("device: vm5", "device: /")
    .replace("name: web-db", "name: ''");
  assert.equal(refusalOf(text).split("\n").length, 3);
});

test("a file needs exactly one lab document", () => {
  assert.match(
    refusalOf("kind: switch\nname: s\n"),
    /expected one document with "kind: lab", got 0/,
  );
  assert.match(refusalOf(""), /expected one document with "kind: lab", got 0/);
  assert.throws(
    () => readLabFile("/nonexistent.yaml"),
    /expected a readable YAML file, got no such/,
  );
});

function refusalOf(text: string): string {
  try {
    parseLab(text, "l.yaml");
  } catch (error) {
    assert.ok(error instanceof UserError);
    return error.message;
  }
  throw new Error("expected a refusal, got a lab");
}
