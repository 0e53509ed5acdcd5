/** The dissector that comes along (infra/wireshark) says of a stamp what we put into it. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { runOrThrow } from "@rhone/cli/run";
import * as resume from "@rhone/wire/resume";
import { udpFrame } from "./frames.ts";

const DISSECTOR = fileURLToPath(new URL("../../../infra/wireshark/rhone.lua", import.meta.url));
const ENDS = { fromMac: "02:00:00:00:00:01", toMac: "02:00:00:00:00:02" };
const OUTER_SIZE = 14 + 20 + 8;

const STAMP: resume.Stamp = {
  ...{ vni: 77, stage: 10, flags: 5, handOffsLeft: 9, reason: 5, ingressPort: 3, egressPort: 4 },
  ...{ identity: 0x80001234, generation: 4242, origin: 12, flowHash: 0xbeef, connection: 0x42 },
  ...{ ttlDecrements: 2, tagHigh: 0x01020304, tagLow: 0x05060708 },
};
const EXPECTED = {
  ...{ "rhone.stage": "10", "rhone.hand_offs": "9", "rhone.reason": "5" },
  ...{ "rhone.flags.routed": "1", "rhone.flags.ct_done": "0", "rhone.flags.lb_done": "1" },
  ...{ "rhone.ingress_port": "3", "rhone.egress_port": "4", "rhone.identity": "0x80001234" },
  ...{ "rhone.generation": "4242", "rhone.origin": "12", "rhone.flow_hash": "0xbeef" },
  ...{ "rhone.connection.established": "1", "rhone.connection.dnat": "1" },
  ...{ "rhone.connection.new": "0", "rhone.ttl_decrements": "2" },
  "rhone.tag": "0102030405060708",
};

/** A capture file (libpcap's format, Ethernet) of one frame. */
function pcapOf(frame: Buffer): Buffer {
  const header = Buffer.alloc(24 + 16);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(65_535, 16);
  header.writeUInt32LE(1, 20); // LINKTYPE_ETHERNET
  header.writeUInt32LE(frame.length, 24 + 8);
  header.writeUInt32LE(frame.length, 24 + 12);
  return Buffer.concat([header, frame]);
}

/** A datagram to the tunnel's port with a Geneve packet in it. */
function tunnelled(geneve: Uint8Array): Buffer {
  const payload = Buffer.concat([
    geneve,
    udpFrame({ ...ENDS, from: "10.0.1.10", to: "10.0.2.10" }),
  ]);
  const ends = { ...ENDS, from: "192.168.100.1", to: "192.168.100.2" };
  const outer = udpFrame(ends).subarray(0, OUTER_SIZE);
  outer.writeUInt16BE(20 + 8 + payload.length, 14 + 2);
  outer.writeUInt16BE(6081, 34 + 2);
  outer.writeUInt16BE(8 + payload.length, 34 + 4);
  return Buffer.concat([outer, payload]);
}

test("Wireshark shows every field of a stamp, and at which stage its packet goes on", async () => {
  const directory = mkdtempSync(join(tmpdir(), "rhone-wireshark-"));
  try {
    const path = join(directory, "stamp.pcap");
    writeFileSync(path, pcapOf(tunnelled(resume.encode(STAMP))));
    const names = Object.keys(EXPECTED);
    const columns = [...names, "_ws.col.Info"].flatMap((field) => ["-e", field]);
    const read = ["tshark", "-n", "-X", `lua_script:${DISSECTOR}`, "-r", path];
    const printed = await runOrThrow([...read, "-T", "fields", ...columns]);
    const values = printed.trimEnd().split("\t");
    assert.deepEqual(Object.fromEntries(names.map((name, i) => [name, values[i]])), EXPECTED);
    assert.match(values.at(-1)!, /^\[stage 10\] /);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
