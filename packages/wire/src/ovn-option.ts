/**
 * OVN's Geneve option: which logical ports a packet goes between (ovn-architecture(7), "Tunnel
 * Encapsulations"). The VNI is the logical datapath's key. For the control plane, logs and tests.
 *
 *   |        Class = 0x0102         |  Type = 0x80  |R|R|R| Len = 1 |
 *   |0|   logical ingress port (15) |    logical egress port (16)   |
 */
import * as geneve from "./geneve.ts";

export const OPTION_CLASS = 0x0102;
export const OPTION_TYPE = 0x80; // critical
export const OPTION_SIZE = 8; // bytes, its header included

const DATA = 4;
const PORTS_INGRESS_MAX = 0x7fff;
const PORTS_EGRESS_MAX = 0xffff;

export interface OvnPorts {
  /** 1–32767; 0 is reserved. */
  readonly ingressPort: number;
  /** Up to 32767 a port, above a multicast group. */
  readonly egressPort: number;
}

/** The option of the Geneve header at `at`; null without one, or when anything is malformed. */
export function decode(view: DataView, at: number, end: number): OvnPorts | null {
  if (!geneve.isValid(view, at, end)) return null;
  const option = geneve.findOption(view, at, OPTION_CLASS, OPTION_TYPE);
  if (option <= 0 || geneve.optionSize(view, option) !== OPTION_SIZE) return null;
  const word = view.getInt32(option + DATA);
  return {
    ingressPort: (word >>> 16) & PORTS_INGRESS_MAX,
    egressPort: word & PORTS_EGRESS_MAX,
  };
}

/** The option's bytes, its header included; throws a RangeError when a port does not fit. */
export function encode({ ingressPort, egressPort }: OvnPorts): Uint8Array {
  assertPort("ingressPort", ingressPort, PORTS_INGRESS_MAX);
  assertPort("egressPort", egressPort, PORTS_EGRESS_MAX);
  const bytes = new Uint8Array(OPTION_SIZE);
  const view = new DataView(bytes.buffer);
  geneve.writeOptionHeader(view, 0, OPTION_CLASS, OPTION_TYPE, OPTION_SIZE - DATA);
  view.setInt32(DATA, (ingressPort << 16) | egressPort);
  return bytes;
}

function assertPort(name: string, value: number, max: number): void {
  if (Number.isInteger(value) && value >= 0 && value <= max) return;
  throw new RangeError(`${name}: expected 0 to ${max}, got ${value}`);
}
