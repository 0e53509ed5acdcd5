/** Seals for the writes of a transaction. Run by the control thread. */
import type { Version } from "./record.ts";
import type { Signer } from "./signer.ts";
import { hashOf, type Portion, SEAL_WRITES_MAX, sealedBytes } from "./write.ts";

const NO_SIGNATURE = new Uint8Array();

/**
 * Everything that chassis `version.origin` writes in the transaction `version`, as it is passed on.
 * `previous` is the clock of its transaction before.
 */
export function seal(
  version: Version,
  previous: number,
  texts: readonly string[],
  signer: Signer | null,
): Portion[] {
  const parts = Math.ceil(texts.length / SEAL_WRITES_MAX);
  return Array.from({ length: parts }, (_, part) => {
    const some = texts.slice(part * SEAL_WRITES_MAX, (part + 1) * SEAL_WRITES_MAX);
    const head = { ...version, previous, part, parts, hashes: some.map(hashOf) };
    const unsigned = { ...head, signer: signer?.id ?? "" };
    const signature = signer === null ? NO_SIGNATURE : signer.sign(sealedBytes(unsigned));
    return { seal: { ...unsigned, signature }, texts: some };
  });
}
