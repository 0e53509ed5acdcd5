/** What must hold of every packet between two chassis, as tshark sees it. */
import assert from "node:assert/strict";
import * as geneve from "@rhone/wire/geneve";
import * as resume from "@rhone/wire/resume";
import type { Capture } from "./capture.ts";

export const TUNNEL_FILTER = "udp port 6081";

/** One tunnelled packet. */
export interface TunnelPacket {
  /** Outer addresses and port. */
  readonly from: string;
  readonly to: string;
  readonly sourcePort: number;
  readonly vni: number;
  /** Stage at which the receiver goes on. */
  readonly stage: number;
  readonly handOffsLeft: number;
  /** Of the frame inside. */
  readonly innerDestination: string;
  /** "arp", "ip" or "ipv6", and so on: the names of its protocols, with colons. */
  readonly protocols: string;
}

const FIELDS = [
  "ip.src",
  "ip.dst",
  "udp.srcport",
  "geneve.vni",
  "geneve.flags.critical",
  "geneve.option.class",
  "geneve.option.type",
  "geneve.proto_type",
  "udp.payload",
  "eth.dst",
  "frame.protocols",
] as const;
const WRONG = [
  "_ws.malformed",
  "_ws.unreassembled",
  "geneve.option.length.invalid",
  "ip.checksum.status == 0",
  // Linux, and we, send a sum of 0 as 0xffff, which UDP asks for and TCP allows; tshark does not.
  "(tcp.checksum.status == 0 && tcp.checksum != 0xffff)",
  "udp.checksum.status == 0",
  "icmpv6.checksum.status == 0",
].join(" || ");

/**
 * All packets of a capture of the underlay. Asserts of each that it is Geneve version 0 with our
 * option and no other, C set, that our decoder agrees with tshark's, and that nothing in it is
 * malformed or has a wrong checksum.
 */
export async function readTunnel(capture: Capture): Promise<TunnelPacket[]> {
  assert.deepEqual(await capture.rows(["frame.number", "_ws.col.Info"], WRONG), []);
  const rows = await capture.rows(FIELDS);
  return rows.map((values) => {
    const row = Object.fromEntries(FIELDS.map((field, i) => [field, values[i]!]));
    const of = (field: (typeof FIELDS)[number]): string => row[field]!;
    // Of fields that occur outside and inside, the outer one comes first.
    const outer = (field: (typeof FIELDS)[number]): string => of(field).split(",")[0]!;
    assert.equal(of("geneve.flags.critical"), "1");
    assert.equal(Number(of("geneve.option.class")), resume.OPTION_CLASS);
    assert.equal(Number(of("geneve.option.type")), resume.OPTION_TYPE);
    assert.equal(Number(of("geneve.proto_type")), geneve.PROTOCOL_ETHERNET);
    const payload = Buffer.from(outer("udp.payload"), "hex");
    const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
    assert.ok(geneve.isValid(view, 0, payload.length));
    assert.equal(geneve.headerSize(view, 0), resume.HEADER_SIZE);
    assert.equal(geneve.vni(view, 0), Number(of("geneve.vni")));
    const option = geneve.BASE_SIZE;
    assert.ok(resume.isValid(view, option));
    const sourcePort = Number(outer("udp.srcport"));
    assert.ok(sourcePort >= 49152, `expected a dynamic source port, got ${sourcePort}`);
    return {
      from: outer("ip.src"),
      to: outer("ip.dst"),
      sourcePort,
      vni: geneve.vni(view, 0),
      stage: resume.stage(view, option),
      handOffsLeft: resume.handOffsLeft(view, option),
      innerDestination: of("eth.dst").split(",")[1]!,
      protocols: of("frame.protocols").split(":geneve:")[1] ?? "",
    };
  });
}
