/** Which addresses a host can have. Run by the control thread. */
import { type Address, isIpv4 } from "@rhone/wire/address";
import { type Problem, problem } from "./problem.ts";

/** What keeps an address from being a host's; `text` is how it came in. */
export function checkHost(address: Address, pointer: string, text: string): Problem[] {
  const kind = specialKind(address);
  return kind === null ? [] : [problem(pointer, `a unicast address of a host, not ${kind}`, text)];
}

/** What an address is that no host can have; null for an ordinary one. */
function specialKind(address: Address): string | null {
  const [a, b, c, d] = address;
  if (isIpv4(address)) {
    const first = d >>> 24;
    if (first === 0) return "an unspecified one"; // RFC 1122 §3.2.1.3: 0/8 is "this network".
    if (first === 127) return "a loopback one";
    if (first >= 224 && first <= 239) return "a multicast one";
    return d === -1 ? "the broadcast one" : null;
  }
  if (a >>> 24 === 0xff) return "a multicast one";
  if (a !== 0 || b !== 0 || c !== 0) return null;
  return d === 0 ? "the unspecified one" : d === 1 ? "the loopback one" : null;
}
