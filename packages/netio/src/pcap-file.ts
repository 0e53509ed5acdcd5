/**
 * A port over capture files: `receive` replays one, `transmit` records another. For tests and
 * tools.
 *
 * Classic pcap (draft-ietf-opsawg-pcap), Ethernet only: a header of 24 bytes, then records of 16
 * bytes of header and the frame. Read in either byte order, with micro- or nanoseconds; written
 * little-endian with microseconds.
 */
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { LARGE_FRAME_MAX, poolViews, SMALL_FRAME_MAX } from "@rhone/rings/pool";
import type { Port, PortContext } from "./port.ts";

const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const MAGIC_NANOSECONDS = 0xa1b23c4d;
const FILE_HEADER_SIZE = 24;
const RECORD_HEADER_SIZE = 16;
const LINK_TYPE_ETHERNET = 1;
const SNAP_LENGTH = 262144;

const { bytes } = poolViews();

export interface PcapFiles {
  /** Replayed once, as fast as the port is asked. */
  readonly read?: string;
  /** Made anew; what is transmitted goes there, in order. */
  readonly write?: string;
  /** Time of a record in microseconds; the wall clock when left out. */
  readonly nowMicroseconds?: () => number;
}

/** Throws when a file cannot be opened or is no pcap file of Ethernet frames. */
export function openPcapFile(files: PcapFiles, context: PortContext): Port {
  return new PcapPort(files, context);
}

class PcapPort implements Port {
  readonly descriptors = [];
  readonly carriesOffloads = false;
  isUp = true;
  readonly #context: PortContext;
  readonly #now: () => number;
  readonly #input: Uint8Array;
  readonly #view: DataView;
  readonly #isLittleEndian: boolean;
  readonly #output: number;
  #at = FILE_HEADER_SIZE;

  constructor(files: PcapFiles, context: PortContext) {
    this.#context = context;
    this.#now = files.nowMicroseconds ?? (() => Date.now() * 1000);
    this.#input = files.read === undefined ? new Uint8Array() : readFileSync(files.read);
    this.#view = new DataView(this.#input.buffer, this.#input.byteOffset, this.#input.byteLength);
    this.#isLittleEndian = files.read === undefined || readOrder(this.#view, files.read);
    this.#output = files.write === undefined ? -1 : openSync(files.write, "w");
    if (this.#output >= 0) writeSync(this.#output, fileHeader());
  }

  receive(slots: Int32Array, limit: number): number {
    const { index, allocator, counters } = this.#context;
    let count = 0;
    while (count < limit && this.#view.byteLength - this.#at >= RECORD_HEADER_SIZE) {
      const length = this.#view.getUint32(this.#at + 8, this.#isLittleEndian);
      const from = this.#at + RECORD_HEADER_SIZE;
      if (length > this.#view.byteLength - from) break; // A record that was cut off ends the file.
      if (length > LARGE_FRAME_MAX) {
        counters.countPortDrop(index, DROP["frame-too-long"]);
        this.#at = from + length;
        continue;
      }
      const slot = length <= SMALL_FRAME_MAX ? allocator.takeSmall() : allocator.takeLarge();
      if (slot < 0) break; // Nothing is lost: the file waits.
      const frameAt = packet.defaultFrameAt(slot);
      bytes.set(this.#input.subarray(from, from + length), frameAt);
      packet.begin(slot, frameAt, length, index);
      counters.countReceived(index, 1, length);
      slots[count++] = slot;
      this.#at = from + length;
    }
    return count;
  }

  transmit(slots: Int32Array, count: number): void {
    const { index, allocator, counters } = this.#context;
    for (let i = 0; i < count; i++) {
      const slot = slots[i]!;
      if (this.#output >= 0) {
        const frameAt = packet.frameAt(slot);
        const length = packet.length(slot);
        writeSync(this.#output, record(frameAt, length, this.#now()));
        counters.countSent(index, 1, length);
      } else {
        counters.countPortDrop(index, DROP["device-refused"]);
      }
      allocator.give(slot);
    }
  }

  reclaim(): boolean {
    return false;
  }

  close(): void {
    if (this.isUp && this.#output >= 0) closeSync(this.#output);
    this.isUp = false;
  }
}

/** Whether the file is little-endian. */
function readOrder(view: DataView, path: string): boolean {
  if (view.byteLength < FILE_HEADER_SIZE) {
    const got = `${view.byteLength} bytes`;
    throw new Error(
      `${path}: expected a pcap file header of ${FILE_HEADER_SIZE} bytes, got ${got}`,
    );
  }
  const isLittleEndian = isMagic(view.getUint32(0, true));
  if (!isLittleEndian && !isMagic(view.getUint32(0))) {
    const magic = view.getUint32(0).toString(16).padStart(8, "0");
    throw new Error(`${path}: expected the magic number of a pcap file, got 0x${magic} at byte 0`);
  }
  const linkType = view.getUint32(20, isLittleEndian) & 0xffff;
  if (linkType !== LINK_TYPE_ETHERNET) {
    throw new Error(`${path}: expected link type 1 (Ethernet), got ${linkType} at byte 20`);
  }
  return isLittleEndian;
}

function isMagic(word: number): boolean {
  return word === MAGIC_MICROSECONDS || word === MAGIC_NANOSECONDS;
}

function fileHeader(): Uint8Array {
  const view = new DataView(new ArrayBuffer(FILE_HEADER_SIZE));
  view.setUint32(0, MAGIC_MICROSECONDS, true);
  view.setUint16(4, 2, true); // version 2.4
  view.setUint16(6, 4, true);
  view.setUint32(16, SNAP_LENGTH, true);
  view.setUint32(20, LINK_TYPE_ETHERNET, true);
  return new Uint8Array(view.buffer);
}

/** A copy: file functions do not take shared memory. */
function record(frameAt: number, length: number, microseconds: number): Uint8Array {
  const copy = new Uint8Array(RECORD_HEADER_SIZE + length);
  const view = new DataView(copy.buffer);
  view.setUint32(0, Math.floor(microseconds / 1e6), true);
  view.setUint32(4, Math.floor(microseconds % 1e6), true);
  view.setUint32(8, length, true);
  view.setUint32(12, length, true);
  copy.set(bytes.subarray(frameAt, frameAt + length), RECORD_HEADER_SIZE);
  return copy;
}
