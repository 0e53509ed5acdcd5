/**
 * Looks at what peers pass on: whether its author wrote it, and may have. Run by the control
 * thread.
 */
import type { Ledger, Vector } from "./ledger.ts";
import { compareText } from "./record.ts";
import { KINDS } from "./schema.ts";
import type { Signer } from "./signer.ts";
import type { Refusal, RefusalReason } from "./store.ts";
import {
  isFitting,
  isOwn,
  isSeal,
  type Portion,
  readWrite,
  type Seal,
  sealedBytes,
  type Write,
} from "./write.ts";

export interface Examined {
  readonly writes: readonly Write[];
  readonly refused: readonly Refusal[];
  /** One seal of each transaction of which every write is there. */
  readonly complete: readonly Seal[];
}

export class Examiner {
  readonly #ledger: Ledger;
  readonly #signer: Signer | null;
  /** The latest clock of each chassis that it answered for, as far as was seen. */
  readonly #latest = new Map<string, number>();

  constructor(ledger: Ledger, signer: Signer | null) {
    this.#ledger = ledger;
    this.#signer = signer;
  }

  /** No write is later than the clock `latest`. */
  examine(portions: readonly Portion[], latest: number): Examined {
    const writes: Write[] = [];
    const refused: Refusal[] = [];
    const whole = new Map<string, Seal[]>();
    for (const portion of portions) {
      const { origin } = portion.seal;
      const reason = this.#examineSeal(portion.seal, latest);
      if (reason !== null) {
        refused.push({ reason, origin });
        continue;
      }
      // The same seal is one object, however often it comes.
      const seal = this.#ledger.sealLike(portion.seal) ?? portion.seal;
      if (seal.clock > (this.#latest.get(origin) ?? 0)) this.#latest.set(origin, seal.clock);
      const hashes = new Set(seal.hashes);
      let count = 0;
      for (const text of portion.texts) {
        const write = readWrite(text, seal);
        const fault = write === null ? "write-malformed" : faultOf(write, hashes);
        if (write === null || fault !== null) refused.push({ reason: fault!, origin });
        else {
          writes.push(write);
          count++;
        }
      }
      if (count < seal.hashes.length) continue;
      const key = `${origin} ${seal.clock}`;
      whole.set(key, [...(whole.get(key) ?? []), seal]);
    }
    const complete = [...whole.values()]
      .filter((seals) => seals.length === seals[0]!.parts)
      .map((seals) => seals[0]!);
    return { writes, refused, complete };
  }

  /**
   * Where the vector goes on once what was examined is held: where a transaction follows the one
   * before it, and up to `claimed` where everything is there that a peer has, as far as we have
   * seen that a chassis has come. Origins that stay where they are are not in it.
   */
  advanced(
    complete: readonly Seal[],
    refused: readonly Refusal[],
    claimed: Vector | undefined,
  ): Vector {
    const advances: Record<string, number> = {};
    const clockOf = (origin: string): number => advances[origin] ?? this.#ledger.clockOf(origin);
    const inOrder = complete.toSorted(
      (a, b) => compareText(a.origin, b.origin) || a.clock - b.clock,
    );
    for (const { origin, clock, previous } of inOrder) {
      const known = clockOf(origin);
      if (previous <= known && clock > known) advances[origin] = clock;
    }
    if (claimed === undefined) return advances;
    const doubted = new Set(refused.map(({ origin }) => origin));
    for (const [origin, clock] of Object.entries(claimed)) {
      if (clock <= this.#ledger.clockOf(origin)) continue; // So most of a large vector.
      const most = Math.min(clock, this.#latest.get(origin) ?? 0);
      if (!doubted.has(origin) && most > clockOf(origin)) advances[origin] = most;
    }
    return advances;
  }

  #examineSeal(seal: Seal, latest: number): RefusalReason | null {
    if (!isSeal(seal)) return "seal-malformed";
    if (seal.clock > latest) return "seal-future";
    const held = this.#ledger.sealLike(seal);
    if (held !== undefined && isSameSeal(held, seal)) return null;
    if (this.#signer === null) return null;
    if (seal.signer === "") return "seal-unsigned";
    const { origin, signer, signature } = seal;
    switch (this.#signer.verify(origin, signer, sealedBytes(seal), signature)) {
      case "genuine":
        return null;
      case "forged":
        return "seal-forged";
      case "unknown-signer":
        return "seal-of-unknown-signer";
    }
  }
}

function faultOf(write: Write, hashes: ReadonlySet<string>): RefusalReason | null {
  if (!hashes.has(write.hash)) return "write-not-sealed";
  const isKnown = (KINDS as readonly string[]).includes(write.kind);
  if (!isFitting(write, isKnown)) return "write-malformed";
  return isOwn(write) ? null : "write-not-owned";
}

function isSameSeal(a: Seal, b: Seal): boolean {
  return (
    Buffer.compare(sealedBytes(a), sealedBytes(b)) === 0 &&
    Buffer.compare(a.signature, b.signature) === 0
  );
}
