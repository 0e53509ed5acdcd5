import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { DROP } from "@rhone/rings/drop-reason";
import { SMALL_FRAME_MAX } from "@rhone/rings/pool";
import { openPcapFile } from "./pcap-file.ts";
import { TestWorker, testFrame } from "./test-worker.ts";

const worker = new TestWorker();
const folder = mkdtempSync(join(tmpdir(), "rhone-pcap-"));
after(() => rmSync(folder, { recursive: true }));

const hex = (text: string): Uint8Array =>
  Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));

function fileOf(name: string, content: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

describe("a pcap port", () => {
  test("replays what it recorded", () => {
    const path = join(folder, "round-trip.pcap");
    const frames = [60, 1514, SMALL_FRAME_MAX, SMALL_FRAME_MAX + 1, 40_000].map(testFrame);
    const recorder = openPcapFile({ write: path }, worker.context(0));
    worker.transmit(recorder, frames);
    recorder.close();
    const player = openPcapFile({ read: path }, worker.context(0));
    assert.deepEqual(worker.receive(player, 3), frames.slice(0, 3));
    assert.deepEqual(worker.receive(player), frames.slice(3));
    assert.deepEqual(worker.receive(player), []);
    player.close();
    worker.assertAllHome();
  });

  test("writes the format that other tools read", () => {
    const path = join(folder, "bytes.pcap");
    const now = (): number => 1_700_000_000_123_456;
    const recorder = openPcapFile({ write: path, nowMicroseconds: now }, worker.context(0));
    worker.transmit(recorder, [Uint8Array.of(1, 2, 3)]);
    recorder.close();
    const header = "d4c3b2a1 0200 0400 00000000 00000000 00000400 01000000";
    const record = "00f15365 40e20100 03000000 03000000 010203";
    assert.deepEqual(Uint8Array.from(readFileSync(path)), hex(header + record));
  });

  test("reads the other byte order and nanoseconds", () => {
    const header = "a1b23c4d 0002 0004 00000000 00000000 00040000 00000001";
    const path = fileOf("big.pcap", hex(`${header} 00000001 00000002 00000002 00000002 abcd`));
    const player = openPcapFile({ read: path }, worker.context(0));
    assert.deepEqual(worker.receive(player), [Uint8Array.of(0xab, 0xcd)]);
  });

  test("ends at a record that is cut off", () => {
    const path = join(folder, "cut.pcap");
    const recorder = openPcapFile({ write: path }, worker.context(0));
    worker.transmit(recorder, [testFrame(100, 1), testFrame(100, 2)]);
    recorder.close();
    const whole = readFileSync(path);
    for (let size = 24; size < whole.length; size++) {
      const cut = fileOf("cut-here.pcap", whole.subarray(0, size));
      const player = openPcapFile({ read: cut }, worker.context(0));
      assert.equal(worker.receive(player).length, size < 24 + 116 ? 0 : 1);
    }
    worker.assertAllHome();
  });

  test("says what is wrong with a file", () => {
    const open = (path: string) => () => openPcapFile({ read: path }, worker.context(0));
    assert.throws(open(fileOf("short", hex("d4c3"))), /short: expected .* 24 bytes, got 2 bytes/);
    const text = new TextEncoder().encode("this is no capture file at all");
    assert.throws(
      open(fileOf("text", text)),
      /text: expected the magic .*, got 0x74686973 at byte 0/,
    );
    const raw = hex("d4c3b2a1 0200 0400 00000000 00000000 00000400 65000000");
    assert.throws(open(fileOf("raw", raw)), /raw: expected link type 1 \(Ethernet\), got 101/);
    assert.throws(open(join(folder, "missing")), /ENOENT/);
  });

  test("refuses by name what it has no file for", () => {
    const before = worker.counters.dropped(DROP["device-refused"]);
    const port = openPcapFile({}, worker.context(0));
    worker.transmit(port, [testFrame(60, 1)]);
    assert.equal(worker.counters.dropped(DROP["device-refused"]), before + 1);
    worker.assertAllHome();
  });
});
