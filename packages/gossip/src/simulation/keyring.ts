/**
 * Who signs what in a simulated cluster: signatures that are quick to make and the same for the
 * same seed, where a real chassis has Ed25519 keys and certificates. A chassis knows another's key
 * once it has learnt its certificate.
 */
import { hash } from "node:crypto";
import type { Signer, Verdict } from "@rhone/state/signer";
import type { Trust } from "../replicator.ts";

const ID_LENGTH = 32; // Hex digits.

export class Keyring implements Signer, Trust {
  readonly id: string;
  readonly #name: string;
  readonly #known: Set<string>;

  /** `known` are the ids of keys that the machine has kept the certificates of. */
  constructor(name: string, known: Set<string>) {
    this.id = idOf(name);
    this.#name = name;
    this.#known = known.add(this.id);
  }

  sign(bytes: Uint8Array): Uint8Array {
    return signatureOf(this.#name, bytes);
  }

  verify(origin: string, id: string, bytes: Uint8Array, signature: Uint8Array): Verdict {
    if (!this.#known.has(id)) return "unknown-signer";
    const isGenuine =
      id === idOf(origin) && Buffer.compare(signatureOf(origin, bytes), signature) === 0;
    return isGenuine ? "genuine" : "forged";
  }

  learn(certificates: readonly string[]): void {
    for (const certificate of certificates) this.#known.add(certificate);
  }

  certificatesOf(ids: ReadonlySet<string>): string[] {
    return [...ids].filter((id) => this.#known.has(id));
  }
}

function idOf(name: string): string {
  return hash("sha256", name).slice(0, ID_LENGTH);
}

/** 64 bytes that nobody makes who is not `name`, in this world. */
function signatureOf(name: string, bytes: Uint8Array): Uint8Array {
  const digest = hash("sha256", bytes, "buffer");
  return Uint8Array.from(hash("sha512", Buffer.concat([Buffer.from(name), digest]), "buffer"));
}
