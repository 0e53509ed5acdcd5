import assert from "node:assert/strict";
import { test } from "node:test";
import { fromHex, neverReadsPastEnd, place } from "../test/bytes.ts";
import { formatAddress } from "./address.ts";
import * as ciliumOption from "./cilium-option.ts";

/** Identity 2 (world) in the VNI; service 172.16.10.1:80. */
const IPV4 = fromHex("03406558 00000200 014b8102 ac100a01 0050 0000");
/** Service [2001:db8::53]:53. */
const IPV6 = fromHex("06406558 00000200 014b8105 20010db8000000000000000000000053 0035 0000");

function decode(bytes: Uint8Array): { address: string; port: number } | null {
  const { view, at, end } = place(bytes);
  const endpoint = ciliumOption.decode(view, at, end);
  return endpoint && { address: formatAddress(endpoint.address), port: endpoint.port };
}

test("reads the service address and port of both families", () => {
  assert.deepEqual(decode(IPV4), { address: "172.16.10.1", port: 80 });
  assert.deepEqual(decode(IPV6), { address: "2001:db8::53", port: 53 });
});

test("says null for other lengths, without the option and when cut off", () => {
  assert.equal(decode(fromHex("04406558 00000200 014b8103 ac100a01 00500000 00000000")), null);
  assert.equal(decode(fromHex("02406558 00000100 01028001 00020003")), null);
  for (let length = 0; length < IPV6.length; length++) {
    assert.equal(decode(IPV6.subarray(0, length)), null, `${length} bytes`);
  }
});

test("never reads past the end", () => {
  neverReadsPastEnd(
    [IPV4, IPV6],
    () => true,
    (view, at, end) => {
      ciliumOption.decode(view, at, end);
    },
  );
});
