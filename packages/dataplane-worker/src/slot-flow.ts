/**
 * How many slots came to a worker through rings, less those that it sent off: what it must have, no
 * matter what the others do meanwhile. So a lost slot shows at any time, without stopping anybody.
 */
import type { RingConsumer, RingProducer } from "@rhone/rings/ring";

export class SlotFlow {
  readonly #incoming: readonly RingConsumer[];
  readonly #outgoing: readonly RingProducer[];
  readonly #atFirst: number;

  /** Starts to count now. */
  constructor(incoming: readonly RingConsumer[], outgoing: readonly (RingProducer | null)[]) {
    this.#incoming = incoming;
    this.#outgoing = outgoing.filter((ring) => ring !== null);
    this.#atFirst = this.#sum();
  }

  /** Slots that came and did not go, since the start. */
  balance(): number {
    // The rings' counts wrap at 2³², and so does their sum: the difference is right.
    return (this.#sum() - this.#atFirst) | 0;
  }

  #sum(): number {
    let sum = 0;
    for (const ring of this.#incoming) sum = (sum + ring.popped) | 0;
    for (const ring of this.#outgoing) sum = (sum - ring.pushed) | 0;
    return sum;
  }
}
