/**
 * Connections that come from another chassis with their port, and those that went with one. Run by
 * each worker between two batches, for the buckets that it owns.
 */
import type { Core } from "@rhone/pipeline-stages/core";
import { flowHash, sumOfWords } from "@rhone/pipeline-stages/flow-hash";
import { bucketOf } from "@rhone/rings/buckets";
import { STATE_SHIFT } from "@rhone/tables/connection-memory";
import * as connections from "@rhone/tables/connections";
import * as moved from "@rhone/tables/moved-connections";
import * as tracker from "@rhone/tables/tcp-tracker";
import * as translations from "@rhone/tables/translations";
import * as ipv4 from "@rhone/wire/ipv4";

const { REPLY_SEEN, BLOCKED, TRANSLATED, REVERSE, PICKED_UP } = connections;
const address = new Int32Array(4);

/** Writes records without a flaw into the table, in the zone of the port as it is here. */
export function takeConnections(core: Core, zone: moved.Zone, records: Int32Array): void {
  for (let at = 0; at < records.length; at += moved.RECORD_WORDS) take(core, zone, records, at);
}

/** Removes those of the entries that are still in the zone. */
export function forgetConnections(core: Core, zone: moved.Zone, entries: Int32Array): void {
  for (const entry of entries) {
    const isOurs = core.owners[connections.bucketOfEntry(entry)] === core.worker;
    if (isOurs && connections.isInZone(entry, zone.vni, zone.port)) connections.remove(entry);
  }
}

function take(core: Core, { vni, port }: moved.Zone, records: Int32Array, at: number): void {
  const hash = hashOf(records, at);
  if (core.owners[bucketOf(hash)] !== core.worker) return;
  const leftMs = records[at + moved.LEFT_MS]!;
  connections.loadMoved(vni, port, records, at);
  const known = connections.find(hash, core.nowMs);
  if (known !== connections.NONE) {
    const isFresher = ((connections.expires(known) - core.nowMs) | 0) >= leftMs;
    // Packets have come meanwhile: the entry is right, if it knows who began.
    const isRight = !connections.isReply(known) && !connections.hasFlag(known, PICKED_UP);
    if (isFresher && isRight) {
      connections.setFlag(known, records[at + moved.FLAGS]! & REPLY_SEEN);
      return;
    }
    connections.remove(known);
  }
  const entry = connections.insert(hash, core.nowMs);
  if (entry === connections.NONE) return; // Counted as refused.
  connections.setExpires(entry, core.nowMs + leftMs);
  const state = records[at + moved.FLAGS]! >>> STATE_SHIFT;
  if (records[at + moved.PROTOCOL] === ipv4.PROTOCOL_TCP) {
    tracker.goOn(entry, state, records, at + moved.TCP);
  }
  const flags = REPLY_SEEN | BLOCKED | TRANSLATED | REVERSE;
  connections.setFlag(entry, records[at + moved.FLAGS]! & flags);
  for (let i = 0; i < 4; i++) address[i] = records[at + moved.TRANSLATION + i]!;
  translations.set(entry, address, records[at + moved.TRANSLATION + 4]!);
}

function hashOf(records: Int32Array, at: number): number {
  const isIpv4 = records[at + moved.VERSION] === 4;
  const addresses = sumOfWords(records, at + moved.LOW, at + moved.HIGH, isIpv4);
  const ports = records[at + moved.PORTS]!;
  return flowHash(addresses, records[at + moved.PROTOCOL]!, ports >>> 16, ports & 0xffff);
}
