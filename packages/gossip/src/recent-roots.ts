/**
 * What this chassis held a moment ago, as roots. A peer that says one of them is behind us by what
 * is on its way to it, and has nothing for us. Runs on the control thread.
 */

/** Longer than a change is on its way, and than a heartbeat is. */
const AGE_MAX_MS = 2000;
const COUNT_MAX = 1024;

export class RecentRoots {
  readonly #now: () => number;
  /** When each was left, the oldest first. */
  readonly #leftMs = new Map<string, number>();
  #latest: string;

  /** `root` is the present one. */
  constructor(root: string, now: () => number) {
    this.#now = now;
    this.#latest = root;
  }

  add(root: string): void {
    if (root === this.#latest) return;
    this.#leftMs.delete(this.#latest);
    this.#leftMs.set(this.#latest, this.#now());
    this.#latest = root;
    for (const [oldest, leftMs] of this.#leftMs) {
      if (this.#leftMs.size <= COUNT_MAX && this.#now() - leftMs <= AGE_MAX_MS) break;
      this.#leftMs.delete(oldest);
    }
  }

  has(root: string): boolean {
    const leftMs = this.#leftMs.get(root);
    return root === this.#latest || (leftMs !== undefined && this.#now() - leftMs <= AGE_MAX_MS);
  }
}
