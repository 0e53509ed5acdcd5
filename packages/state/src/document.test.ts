import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseDocument, parseDocuments } from "./document.ts";
import { complete, defaultMac } from "./schema.ts";

const web = { kind: "switch", name: "web" };
const vm1 = { kind: "port", name: "vm1", switch: "web", addresses: ["10.0.1.10"] };

/** Pointers of what is wrong; none when the document is right. */
function pointersOf(value: unknown): string[] {
  const parsed = parseDocument(value);
  return parsed.ok ? [] : parsed.error.problems.map(({ pointer }) => pointer);
}

test("a document of each kind passes", () => {
  const documents = [
    web,
    { ...web, description: "front ends" },
    vm1,
    { ...vm1, chassis: "a", device: "vm1-0", driver: "af-xdp", portSecurity: false },
    { kind: "router", name: "r", ports: [] },
    {
      kind: "router",
      name: "r",
      ports: [{ name: "to-web", switch: "web", addresses: ["10.0.1.1/24", "fd00:1::1/64"] }],
      routes: [{ prefix: "0.0.0.0/0", nextHop: "10.0.1.254" }],
    },
    { kind: "chassis", name: "a", underlay: "192.168.100.1", workers: 2, version: "0.1.0" },
    { kind: "binding", name: "x", port: "vm1", chassis: "a", epoch: 1, up: true },
  ];
  assert.deepEqual(documents.flatMap(pointersOf), []);
});

test("what is wrong is named by a pointer", () => {
  const router = { kind: "router", name: "r", ports: [{ name: "p", switch: "web" }] };
  const cases: [unknown, string[]][] = [
    [null, [""]],
    [[], [""]],
    ["switch", [""]],
    [{ name: "web" }, ["/kind"]],
    [{ kind: "toString", name: "web" }, ["/kind"]],
    [{ kind: "switch" }, ["/name"]],
    [{ ...web, name: "Web" }, ["/name"]],
    [{ ...web, name: "-web" }, ["/name"]],
    [{ ...web, name: "w".repeat(64) }, ["/name"]],
    [{ ...web, "a/b~c": 1 }, ["/a~1b~0c"]],
    [JSON.parse('{"kind":"switch","name":"web","__proto__":{"x":1}}'), ["/__proto__"]],
    [router, ["/ports/0/addresses"]],
    [{ ...vm1, addresses: ["10.0.1.300", "10.0.1.1/24"] }, ["/addresses/0", "/addresses/1"]],
    [{ ...vm1, mac: "01:00:5e:00:00:01" }, ["/mac"]],
    [{ ...vm1, mac: "00:00:00:00:00:00" }, ["/mac"]],
    [{ ...vm1, device: "eth0", migration: { chassis: "b" } }, ["/chassis"]],
    [
      { ...vm1, chassis: "a", migration: { chassis: "b", activation: ["dhcp"] } },
      ["/migration/activation/0"],
    ],
    [{ ...vm1, chassis: "a", device: "sixteen-letters-" }, ["/device"]],
    [{ ...vm1, chassis: "a", device: "../x" }, ["/device"]],
    // The kernel would make tap0, tap1 and so on of it.
    [{ ...vm1, chassis: "a", device: "tap%d", driver: "tap" }, ["/device"]],
    [{ ...vm1, driver: "dpdk" }, ["/driver"]],
    [{ ...vm1, addresses: Array(17).fill("10.0.1.10") }, ["/addresses"]],
  ];
  for (const [value, pointers] of cases) assert.deepEqual(pointersOf(value), pointers);
});

test("every problem of every document is reported with what was expected and what came", () => {
  const migration = { chassis: "b" };
  const parsed = parseDocuments([
    { kind: "port", name: "vm1", switch: 7, addresses: "10.0.1.10", color: "red", migration },
    web,
    { kind: "switch" },
  ]);
  assert.ok(!parsed.ok);
  assert.deepEqual(
    parsed.error.problems.map(({ pointer, expected, got }) => `${pointer}: ${expected}, ${got}`),
    [
      "/0/switch: a name of 1 to 63 of a-z, 0-9 and -, not - at an end, 7",
      '/0/addresses: a list, "10.0.1.10"',
      "/0/color: one of the fields kind, name, switch, mac, addresses, portSecurity, labels, " +
        'chassis, gateway, device, driver, migration, "red"',
      "/0/chassis: the name of the chassis that the port moves away from, nothing",
      "/2/name: a name of 1 to 63 of a-z, 0-9 and -, not - at an end, nothing",
    ],
  );
  assert.match(parsed.error.message, /^\/0\/switch: expected a name .*, got 7 \(and 4 more\)$/);
});

test("what was expected is all of it, in one sentence", () => {
  const dataplane = { kind: "dataplane", name: "a" };
  const place = '{"worker": 1}, of this chassis, or {"chassis": "b"}, another one';
  const cases: [unknown, string][] = [
    [{ ...dataplane, workers: 0 }, "/workers: a whole number from 1 to 16, 0"],
    [{ ...dataplane, workers: 1.5 }, "/workers: a whole number from 1 to 16, 1.5"],
    [{ ...dataplane, workers: "2" }, '/workers: a whole number from 1 to 16, "2"'],
    [{ ...dataplane, workers: 2 ** 60 }, `/workers: a whole number from 1 to 16, ${2 ** 60}`],
    [JSON.parse('{"kind":"dataplane","name":"a","workers":1e999}'), "Infinity"],
    [{ ...dataplane, placement: { acl: {} } }, `/placement/acl: ${place}, {}`],
    [{ ...dataplane, placement: { acl: { chassis: 5 } } }, place],
    [{ ...dataplane, placement: { l2: { worker: 0 } } }, "/placement/l2: one of the fields acl, "],
    [{ ...vm1, labels: ["web"] }, '/labels: an object, ["web"]'],
    [{ ...vm1, addresses: [7] }, "/addresses/0: an IP address such as 10.0.1.10 or fd00:1::10, 7"],
    [{ kind: "gateway", name: "g", members: [] }, "/members: at least 1 item, []"],
  ];
  for (const [value, expected] of cases) {
    const parsed = parseDocument(value);
    assert.ok(!parsed.ok);
    const found = parsed.error.problems.map(({ pointer, expected, got }) => {
      return `${pointer}: ${expected}, ${got}`;
    });
    assert.equal(found.length, 1, found.join());
    assert.ok(found[0]!.includes(expected), `${found[0]} for ${expected}`);
  }
});

test("a long wrong value is cut in the message", () => {
  const parsed = parseDocument({ ...web, description: "x".repeat(5000) });
  assert.ok(!parsed.ok);
  assert.ok(parsed.error.problems[0]!.got.length <= 100);
});

test("completing fills in defaults and canonical texts", () => {
  const parsed = parseDocument({ ...vm1, addresses: ["FD00:0::0:A"], mac: "02:AA:00:00:00:0b" });
  assert.ok(parsed.ok);
  assert.deepEqual(complete(parsed.value), {
    ...vm1,
    mac: "02:aa:00:00:00:0b",
    addresses: ["fd00::a"],
    portSecurity: true,
  });
});

test("completing twice changes nothing, in whatever order the keys came", () => {
  const router = {
    routes: [{ nextHop: "FD00::2", prefix: "::/0" }],
    ports: [{ addresses: ["fd00:0::1/64"], switch: "web", name: "to-web" }],
    name: "r",
    kind: "router",
  };
  for (const value of [router, vm1, web]) {
    const parsed = parseDocument(value);
    assert.ok(parsed.ok);
    const once = complete(parsed.value);
    const again = parseDocument(once);
    assert.ok(again.ok);
    assert.equal(JSON.stringify(complete(again.value)), JSON.stringify(once));
  }
});

test("a default MAC is unicast, local and depends on the name only", () => {
  assert.equal(defaultMac("port/vm1"), "02:f4:df:30:95:00");
  assert.match(defaultMac("port/vm2"), /^02(:[0-9a-f]{2}){5}$/);
  assert.notEqual(defaultMac("port/vm1"), defaultMac("port/vm2"));
});

test("no value makes parsing throw", () => {
  const field = fc.constantFrom("kind", "name", "switch", "ports", "addresses", "routes", "value");
  const kind = fc.constantFrom("switch", "router", "port", "chassis", "binding");
  const value = fc.oneof(
    fc.anything(),
    fc.dictionary(field, fc.anything()),
    fc.tuple(kind, fc.dictionary(field, fc.anything())).map(([k, d]) => ({ ...d, kind: k })),
  );
  fc.assert(
    fc.property(value, (anything) => {
      parseDocument(anything);
    }),
    { numRuns: 2000 },
  );
});
