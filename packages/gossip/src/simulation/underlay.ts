/** The simulated network below all paths: who reaches whom, and how long it takes. */
import type { World } from "./world.ts";

/** Faults that overlap each end on their own, so marks are counted. */
class Marks {
  readonly #counts = new Map<number, number>();

  has(key: number): boolean {
    return this.#counts.size > 0 && this.#counts.has(key);
  }

  /** Returns what takes the mark off again. */
  add(key: number): () => void {
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    return () => {
      const left = this.#counts.get(key)! - 1;
      if (left === 0) this.#counts.delete(key);
      else this.#counts.set(key, left);
    };
  }
}

export class Underlay {
  delayMinMs = 0.2;
  delayMaxMs = 1;
  readonly #world: World;
  readonly #count: number;
  readonly #cuts = new Marks();
  readonly #holes = new Marks();
  /** Of each machine, by index; machines of different sides do not reach each other. */
  #sides: readonly number[] | null = null;

  constructor(world: World, count: number) {
    this.#world = world;
    this.#count = count;
  }

  delay(): number {
    return this.#world.between(this.delayMinMs, this.delayMaxMs);
  }

  reaches(from: number, to: number): boolean {
    if (this.#sides !== null && this.#sides[from] !== this.#sides[to]) return false;
    return !this.#cuts.has(this.#key(from, to));
  }

  /** Whether the nats-servers of both talk to each other; not where their mesh has a hole. */
  isMeshed(a: number, b: number): boolean {
    return !this.#holes.has(this.#key(Math.min(a, b), Math.max(a, b)));
  }

  /** Nothing gets from one to the other any more; the way back stays. Returns what ends it. */
  cut(from: number, to: number): () => void {
    return this.#cuts.add(this.#key(from, to));
  }

  /** Returns what closes the hole. */
  unmesh(a: number, b: number): () => void {
    return this.#holes.add(this.#key(Math.min(a, b), Math.max(a, b)));
  }

  /** Returns what heals it. A later partition takes the place of an earlier one. */
  partition(sides: readonly number[]): () => void {
    this.#sides = sides;
    return () => {
      if (this.#sides === sides) this.#sides = null;
    };
  }

  #key(from: number, to: number): number {
    return from * this.#count + to;
  }
}
