/**
 * VLAN tag behind the source address (IEEE 802.1Q §9.6); `at` is the tag control information.
 *
 *   | PCP (3) | DEI (1) | VLAN identifier (12) | EtherType of what follows (16) |
 */
export const SIZE = 4; // bytes

export function isValid(_view: DataView, at: number, end: number): boolean {
  return end - at >= SIZE;
}

/** 0–4095; 0 is a priority tag only. */
export function identifier(view: DataView, at: number): number {
  return view.getUint16(at) & 0xfff;
}

export function priority(view: DataView, at: number): number {
  return view.getUint16(at) >>> 13;
}

export function etherType(view: DataView, at: number): number {
  return view.getUint16(at + 2);
}

export function write(
  view: DataView,
  at: number,
  identifier: number,
  priority: number,
  etherType: number,
): void {
  view.setUint16(at, (priority << 13) | identifier);
  view.setUint16(at + 2, etherType);
}
