/**
 * How a store proves and checks who wrote what. The keys are elsewhere: the store only asks. Run by
 * the control thread.
 */

export type Verdict = "genuine" | "forged" | "unknown-signer";

export interface Signer {
  /** Of the key that `sign` uses; never "". */
  readonly id: string;
  sign(bytes: Uint8Array): Uint8Array;
  /** Whether the key of that id belongs to chassis `origin` and has signed `bytes`. */
  verify(origin: string, id: string, bytes: Uint8Array, signature: Uint8Array): Verdict;
}
