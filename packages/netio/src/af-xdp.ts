import type { Port, PortContext } from "./port.ts";

export function openAfXdp(device: string, _context: PortContext): Port {
  throw new Error(`expected AF_XDP for ${device}, which is being built`);
}
