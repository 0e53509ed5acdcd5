import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { fromHex, neverReadsPastEnd, place, toHex } from "../test/bytes.ts";
import { OVN_BALANCED_SYN, OVN_PING, OVN_PING_ROUTED, OVN_TCP, OVN_UDP } from "../test/frames.ts";
import * as geneve from "./geneve.ts";
import * as ovnOption from "./ovn-option.ts";

const GENEVE = 14 + 20 + 8;

test("reads the ports of real OVN packets, and writes the same option", () => {
  const expected: [frame: Uint8Array, vni: number, ingress: number, egress: number][] = [
    [OVN_PING, 1, 2, 3],
    [OVN_PING_ROUTED, 2, 1, 2],
    [OVN_TCP, 2, 1, 2],
    [OVN_UDP, 2, 1, 2],
    [OVN_BALANCED_SYN, 1, 1, 3],
  ];
  for (const [frame, vni, ingressPort, egressPort] of expected) {
    const { view, at, end } = place(frame.subarray(GENEVE));
    assert.equal(geneve.vni(view, at), vni);
    const ports = ovnOption.decode(view, at, end);
    assert.deepEqual(ports, { ingressPort, egressPort });
    const option = frame.subarray(GENEVE + 8, GENEVE + 16);
    assert.equal(toHex(ovnOption.encode(ports!)), toHex(option));
  }
});

test("keeps ingress to 15 bits and egress to 16", () => {
  const { view, at, end } = place(fromHex("02406558 00000100 01028001 ffffffff"));
  assert.deepEqual(ovnOption.decode(view, at, end), { ingressPort: 32767, egressPort: 65535 });
});

test("restores every pair of ports", () => {
  const ports = fc.record(
    { ingressPort: fc.nat({ max: 0x7fff }), egressPort: fc.nat({ max: 0xffff }) },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(ports, (pair) => {
      const header = [...fromHex("02406558 00000100"), ...ovnOption.encode(pair)];
      const { view, at, end } = place(new Uint8Array(header));
      assert.deepEqual(ovnOption.decode(view, at, end), pair);
    }),
  );
});

test("refuses ports that do not fit, by name", () => {
  const encode = (ingressPort: number, egressPort: number) => () =>
    ovnOption.encode({ ingressPort, egressPort });
  assert.throws(encode(32768, 1), /ingressPort: expected 0 to 32767, got 32768/);
  assert.throws(encode(1, 65536), /egressPort: expected 0 to 65535, got 65536/);
  assert.throws(encode(1.5, 1), /ingressPort/);
});

test("says null without the option, for a wrong length and for a cut header", () => {
  const broken = ["00006558 00000100", "03406558 00000100 01028002 00020003 00000000"];
  for (const hex of [...broken, "02406558 00000100 01028001 0002"]) {
    const { view, at, end } = place(fromHex(hex));
    assert.equal(ovnOption.decode(view, at, end), null, hex);
  }
  neverReadsPastEnd(
    [OVN_PING.subarray(GENEVE)],
    () => true,
    (view, at, end) => {
      ovnOption.decode(view, at, end);
    },
  );
});
