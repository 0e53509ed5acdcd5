/** Buckets of flows of a virtual chassis that move between its workers under packets. */
import type { Allotment } from "@rhone/dataplane-worker/allotment";
import { BUCKET_COUNT } from "@rhone/rings/buckets";
import type { WorkerStatus } from "@rhone/rings/worker-status";
import type { Random } from "./random.ts";
import type { VirtualWorker } from "./virtual-worker.ts";

export class Moves {
  readonly #workers: readonly VirtualWorker[];
  readonly #statuses: readonly WorkerStatus[];
  readonly #random: Random;
  #allotment: Allotment;

  constructor(
    workers: readonly VirtualWorker[],
    statuses: readonly WorkerStatus[],
    random: Random,
    allotment: Allotment,
  ) {
    this.#workers = workers;
    this.#statuses = statuses;
    this.#random = random;
    this.#allotment = allotment;
  }

  /** Gives buckets other owners, if those of before have come to rest. */
  begin(): void {
    const { edition } = this.#allotment;
    const count = this.#workers.length;
    if (count === 1 || this.#statuses.some((status) => status.settled() !== edition)) return;
    const owners = Uint8Array.from({ length: BUCKET_COUNT }, () => this.#random.below(count));
    this.#allotment = { ...this.#allotment, edition: edition + 1, owners };
    for (const worker of this.#workers) worker.mail = this.#allotment;
  }
}
