/**
 * Where the stages run that need no state of their own: one word a stage.
 *
 *   PLACED_HERE             where the packet is
 *   0 … 32767               at that worker of this chassis
 *   -2, -3, …               at the chassis of endpoint row 0, 1, …
 */
import { STAGE_COUNT } from "@rhone/rings/stage";

export const PLACED_HERE = -1;
/** Stages that may be placed: rules, load balancing, routing and NAT, 2, 4, 7, 9 and 11. */
export const PLACEABLE_STAGES: readonly number[] = [2, 4, 7, 9, 11];

export type Place =
  | { readonly worker: number }
  /** Row of the chassis's endpoint. */
  | { readonly endpoint: number };

/** The words for the places of some stages. Throws RangeError for one that cannot be placed. */
export function buildPlacement(places: ReadonlyMap<number, Place>): Int32Array {
  const words = new Int32Array(STAGE_COUNT).fill(PLACED_HERE);
  for (const [stage, place] of places) {
    if (!PLACEABLE_STAGES.includes(stage)) {
      throw new RangeError(`expected one of the stages ${PLACEABLE_STAGES.join()}, got ${stage}`);
    }
    words[stage] = "worker" in place ? place.worker : -2 - place.endpoint;
  }
  return words;
}

export class Placement {
  readonly #words: Int32Array;

  constructor(words: Int32Array) {
    this.#words = words;
  }

  /** PLACED_HERE, a worker, or what `endpointOf` takes. */
  of(stage: number): number {
    return this.#words[stage]!;
  }
}

/** The endpoint row of a place of less than PLACED_HERE. */
export function endpointOf(place: number): number {
  return -2 - place;
}
