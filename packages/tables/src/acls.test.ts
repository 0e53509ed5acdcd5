import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type AclPacket, findRule } from "./acls.golden.ts";
import {
  ACTION_DROP,
  type AclAddresses,
  type AclPrefix,
  type AclRule,
  Acls,
  ANY_PORT,
  ANY_PROTOCOL,
  buildAcls,
  FROM_PORT,
  NO_RULE,
  TO_PORT,
} from "./acls.ts";
import type { AddressWords } from "./ports.ts";

const DATAPATHS = 2;
const PORTS = 3;

const ANY: AclRule = {
  ...{ direction: FROM_PORT, datapath: 0, port: -1, protocol: ANY_PROTOCOL },
  ...{ source: null, destination: null, sourcePorts: ANY_PORT, destinationPorts: ANY_PORT },
  ...{ action: ACTION_DROP, counter: -1 },
};
const PACKET: AclPacket = {
  ...{ source: [0, 0, 0xffff, 0x0a000101], destination: [0, 0, 0xffff, 0x0a000201] },
  ...{ protocol: 6, sourcePort: 40000, destinationPort: 443 },
};

function tableOf(rules: readonly AclRule[]): Acls {
  const { aclRules, aclLists, aclBlocks } = buildAcls(DATAPATHS, rules);
  return new Acls(aclRules, aclLists, aclBlocks, DATAPATHS);
}

function queryOf(packet: AclPacket): Int32Array {
  const { source, destination, protocol, sourcePort, destinationPort } = packet;
  const ports = (sourcePort << 16) | destinationPort;
  return Int32Array.from([...source, ...destination, protocol, ports]);
}

// Few values, so that rules match and overlap; the edges of words, families and ranges.
const word = fc.oneof(
  fc.constantFrom(0, 1, 0xffff, 0x10000, 0x7fffffff, -0x80000000, -1, 0x0a000001),
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
);
const address: fc.Arbitrary<AddressWords> = fc.oneof(
  fc.tuple(fc.constant(0), fc.constant(0), fc.constant(0xffff), word),
  fc.tuple(word, word, word, word),
);
const prefixLength = fc.oneof(
  fc.constantFrom(0, 1, 31, 32, 33, 64, 80, 81, 95, 96, 97, 104, 127, 128),
  fc.nat(128),
);
const prefix = fc.option(fc.record({ address, length: prefixLength }));
const port = fc.oneof(fc.constantFrom(0, 1, 80, 443, 65534, 65535), fc.nat(65535));
const range = fc
  .tuple(port, port)
  .map(([a, b]) => ({ first: Math.min(a, b), last: Math.max(a, b) }));
const protocol = fc.constantFrom(0, 1, 6, 17, 58, 255);

/** Neighbours, twice the same, none; some lists are those of several rules. */
const LISTS: readonly AclAddresses[] = [[], [1, 2, 3], [-1, 0, 1, 0], [5]].map((hosts) => ({
  addresses: hosts.map((host) => [0, 0, 0xffff, 0x0a000001 + host] as const),
}));
const listed: fc.Arbitrary<AclAddresses> = fc.oneof(
  fc.constantFrom(...LISTS),
  fc.array(address, { maxLength: 6 }).map((addresses) => ({ addresses })),
);

const rule: fc.Arbitrary<AclRule> = fc
  .record({
    ...{ direction: fc.constantFrom(FROM_PORT, TO_PORT), datapath: fc.nat(DATAPATHS - 1) },
    ...{ port: fc.integer({ min: -1, max: PORTS - 1 }), source: prefix, destination: prefix },
    ...{ sources: fc.option(listed), destinations: fc.option(listed) },
    protocol: fc.oneof(fc.constant(ANY_PROTOCOL), protocol),
    ...{ sourcePorts: fc.oneof(fc.constant(ANY_PORT), range) },
    ...{ destinationPorts: fc.oneof(fc.constant(ANY_PORT), range) },
    ...{ action: fc.nat(3), counter: fc.integer({ min: -1, max: 9 }) },
  })
  .map(({ sources, destinations, ...spec }) => {
    const { source, destination } = sameFamily(spec.source, spec.destination);
    return { ...spec, source: sources ?? source, destination: destinations ?? destination };
  });

/** As the state has them: networks of one family, with zeros behind the prefix. */
function sameFamily(
  source: AclPrefix | null,
  destination: AclPrefix | null,
): { source: AclPrefix | null; destination: AclPrefix | null } {
  const isOfV4 = ({ address, length }: AclPrefix): boolean => length >= 96 && isV4(address);
  const isOne = source === null || destination === null || isOfV4(source) === isOfV4(destination);
  return { source: masked(source), destination: masked(isOne ? destination : null) };
}

function isV4(address: AddressWords): boolean {
  return address.slice(0, 3).join() === "0,0,65535";
}

function masked(prefix: AclPrefix | null): AclPrefix | null {
  if (prefix === null) return null;
  const words = prefix.address.map((word, i) => {
    const bits = Math.min(32, Math.max(0, prefix.length - i * 32));
    return bits === 32 ? word : bits === 0 ? 0 : word & (-1 << (32 - bits));
  });
  return { address: words as unknown as AddressWords, length: prefix.length };
}

/** A packet out of the rules' own numbers, or of any. */
function packetFor(rules: readonly AclRule[]): fc.Arbitrary<AclPacket> {
  const own = rules.flatMap(({ source, destination }) =>
    [source, destination].flatMap((end) => {
      if (end === null) return [];
      return "addresses" in end ? end.addresses : [end.address];
    }),
  );
  const near = own.length === 0 ? address : fc.oneof(address, fc.constantFrom(...own));
  const ports = rules.flatMap(({ sourcePorts: s, destinationPorts: d }) =>
    [s.first, s.last, d.first, d.last].flatMap((edge) => [edge - 1, edge, edge + 1]),
  );
  const edges = ports.filter((edge) => edge >= 0 && edge <= 65535);
  const nearPort = edges.length === 0 ? port : fc.oneof(port, fc.constantFrom(...edges));
  return fc
    .record({
      ...{ source: near, destination: near, protocol },
      ...{ sourcePort: nearPort, destinationPort: nearPort },
    })
    .map((packet) =>
      isV4(packet.source) === isV4(packet.destination)
        ? packet
        : { ...packet, destination: packet.source },
    );
}

test("the first rule that matches decides, as the plain twin says", () => {
  const cases = fc
    .array(rule, { maxLength: 80 })
    .chain((rules) => fc.tuple(fc.constant(rules), fc.array(packetFor(rules), { minLength: 8 })));
  fc.assert(
    fc.property(cases, ([rules, packets]) => {
      const table = tableOf(rules);
      for (const [i, packet] of packets.entries()) {
        const direction = i % 2 === 0 ? FROM_PORT : TO_PORT;
        const [datapath, port] = [i % DATAPATHS, i % PORTS];
        const found = table.find(direction, datapath, port, queryOf(packet));
        assert.equal(found, findRule(rules, direction, datapath, port, packet));
        if (found === NO_RULE) continue;
        assert.equal(table.action(found), rules[found]!.action);
        assert.equal(table.counter(found), rules[found]!.counter);
      }
    }),
    { numRuns: 1000 },
  );
});

test("thousands of rules, of which each decides about its own packet", () => {
  const count = 3000; // Three blocks, the last one not full.
  const rules = Array.from({ length: count }, (_, i) => {
    const host = { address: [0, 0, 0xffff, 0x0a000000 + (i >> 1)] as const, length: 128 };
    const destinationPorts = i % 2 === 0 ? { first: i, last: i } : ANY_PORT;
    return { ...ANY, source: host, destinationPorts, counter: i };
  });
  const table = tableOf(rules);
  for (let i = 0; i < count; i++) {
    const source: AddressWords = [0, 0, 0xffff, 0x0a000000 + (i >> 1)];
    const packet = { ...PACKET, source, destinationPort: i % 2 === 0 ? i : i + 1 };
    assert.equal(table.find(FROM_PORT, 0, 0, queryOf(packet)), i);
  }
  const stranger: AddressWords = [0, 0, 0xffff, 0x0a000000 + count];
  assert.equal(table.find(FROM_PORT, 0, 0, queryOf({ ...PACKET, source: stranger })), NO_RULE);
});

test("a port's rules and its switch's decide in one order", () => {
  const own = { ...ANY, port: 1 };
  const query = queryOf(PACKET);
  assert.equal(tableOf([own, ANY]).find(FROM_PORT, 0, 1, query), 0);
  assert.equal(tableOf([ANY, own]).find(FROM_PORT, 0, 1, query), 0);
  assert.equal(tableOf([own, ANY]).find(FROM_PORT, 0, 2, query), 1);
  assert.equal(tableOf([own, ANY]).find(FROM_PORT, 1, 2, query), NO_RULE);
  assert.equal(tableOf([own, ANY]).find(TO_PORT, 0, 1, query), NO_RULE);
});

test("::/0 is no rule for IPv4, nor 0.0.0.0/0 for IPv6", () => {
  const everyV6 = { ...ANY, source: { address: [0, 0, 0, 0] as const, length: 0 } };
  const everyV4 = { ...ANY, destination: { address: [0, 0, 0xffff, 0] as const, length: 96 } };
  const table = tableOf([everyV6, everyV4]);
  assert.equal(table.find(FROM_PORT, 0, 0, queryOf(PACKET)), 1);
  const v6: AddressWords = [0x20010db8, 0, 0, 1];
  const packet = { ...PACKET, source: v6, destination: v6 };
  assert.equal(table.find(FROM_PORT, 0, 0, queryOf(packet)), 0);
});

test("without rules nothing is found", () => {
  assert.equal(tableOf([]).find(FROM_PORT, 0, 0, queryOf(PACKET)), NO_RULE);
});
