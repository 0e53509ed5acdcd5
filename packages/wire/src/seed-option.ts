/**
 * The Geneve options as Rhône's seed document draws them: one option of 32 bits for each fact,
 * and the Cilium identity. For the packet inspector; never written to a wire.
 *
 *   class 0x0101  type 0  logical datapath
 *                 type 1  logical input port
 *                 type 2  logical output port
 *                 type 3  pipeline stage, 0–15
 *                 type 4  conntrack zone (16 bits), connection state (16 bits)
 *   class 0x0104  type 1  security identity
 *
 * Not what OVN or Cilium send: 0x0101 is Open vSwitch's class and 0x0104 VMware's in the registry
 * of RFC 8926 §7, and the types are not critical. The document names zone and state without a
 * layout: read here as two halves in its order, the state in the bits of Open vSwitch's ct_state
 * (1 new, 2 established).
 */
import * as geneve from "./geneve.ts";

export const OVN_CLASS = 0x0101;
export const TYPE_DATAPATH = 0;
export const TYPE_INPUT_PORT = 1;
export const TYPE_OUTPUT_PORT = 2;
export const TYPE_STAGE = 3;
export const TYPE_CONNTRACK = 4;
export const CILIUM_CLASS = 0x0104;
export const TYPE_IDENTITY = 1;

const OPTION_SIZE = 8; // bytes, its header included
const DATA = 4;

/** null: the header has no such option. */
export interface SeedContext {
  readonly datapath: number | null;
  readonly inputPort: number | null;
  readonly outputPort: number | null;
  readonly stage: number | null;
  readonly conntrack: { readonly zone: number; readonly state: number } | null;
  readonly identity: number | null;
}

/**
 * What these options say in the Geneve header at `at`; null when it is malformed, one of them has
 * not 32 bits, or none is there.
 */
export function decode(view: DataView, at: number, end: number): SeedContext | null {
  if (!geneve.isValid(view, at, end)) return null;
  const facts = [
    find(view, at, OVN_CLASS, TYPE_DATAPATH),
    find(view, at, OVN_CLASS, TYPE_INPUT_PORT),
    find(view, at, OVN_CLASS, TYPE_OUTPUT_PORT),
    find(view, at, OVN_CLASS, TYPE_STAGE),
    find(view, at, OVN_CLASS, TYPE_CONNTRACK),
    find(view, at, CILIUM_CLASS, TYPE_IDENTITY),
  ];
  if (facts.includes(undefined) || facts.every((fact) => fact === null)) return null;
  const [datapath, inputPort, outputPort, stage, conntrack, identity] = facts as (number | null)[];
  return {
    datapath: datapath!,
    inputPort: inputPort!,
    outputPort: outputPort!,
    stage: stage!,
    conntrack: conntrack === null ? null : { zone: conntrack! >>> 16, state: conntrack! & 0xffff },
    identity: identity!,
  };
}

/** The 32 bits of an option, null without one, undefined when malformed. */
function find(
  view: DataView,
  at: number,
  optClass: number,
  type: number,
): number | null | undefined {
  const option = geneve.findOption(view, at, optClass, type);
  if (option === 0) return null;
  if (option < 0 || geneve.optionSize(view, option) !== OPTION_SIZE) return undefined;
  return view.getUint32(option + DATA);
}
