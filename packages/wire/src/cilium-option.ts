/**
 * Cilium's Geneve option for direct server return: the service address that the backend answers
 * from (cilium, bpf/lib/tunnel.h). The VNI is the source's security identity. For logs and tests.
 *
 *   |        Class = 0x014B         |  Type = 0x81  |R|R|R| Len     |
 *   |   service address: 4 bytes (Len = 2) or 16 bytes (Len = 5)    |
 *   |         service port          |               0               |
 */
import type { Address } from "./address.ts";
import * as geneve from "./geneve.ts";

export const OPTION_CLASS = 0x014b;
export const OPTION_TYPE = 0x81; // critical

const DATA = 4;
const OPTION_SIZE_IPV4 = 12; // bytes, its header included
const OPTION_SIZE_IPV6 = 24;
const MAPPED = 0xffff;

export interface ServiceEndpoint {
  readonly address: Address;
  readonly port: number;
}

/** The option of the Geneve header at `at`; null without one, or when anything is malformed. */
export function decode(view: DataView, at: number, end: number): ServiceEndpoint | null {
  if (!geneve.isValid(view, at, end)) return null;
  const option = geneve.findOption(view, at, OPTION_CLASS, OPTION_TYPE);
  if (option <= 0) return null;
  const wordAt = (index: number): number => view.getInt32(option + DATA + index * 4);
  switch (geneve.optionSize(view, option)) {
    case OPTION_SIZE_IPV4:
      return { address: [0, 0, MAPPED, wordAt(0)], port: wordAt(1) >>> 16 };
    case OPTION_SIZE_IPV6:
      return { address: [wordAt(0), wordAt(1), wordAt(2), wordAt(3)], port: wordAt(4) >>> 16 };
    default:
      return null;
  }
}
