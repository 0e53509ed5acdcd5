/**
 * How long it takes until what was written at one chassis is held at all that ran then. Who stops
 * meanwhile is not waited for.
 */
import type { Store } from "@rhone/state/store";
import type { Machine } from "./machine.ts";

interface Spreading {
  readonly origin: string;
  readonly clock: number;
  readonly sinceMs: number;
  /** Who does not hold it yet. */
  readonly missing: Set<Machine>;
}

export class Spread {
  /** Of each write that is held at all by now, in virtual milliseconds. */
  readonly allMs: number[] = [];
  /** Of each write and each chassis. */
  readonly eachMs: number[] = [];
  readonly #spreading = new Set<Spreading>();

  /** The chassis `at` has acknowledged the transaction of that clock. */
  written(at: Machine, clock: number, nowMs: number, machines: readonly Machine[]): void {
    const others = machines.filter((each) => each !== at && each.process !== null);
    const write = { origin: at.name, clock, sinceMs: nowMs, missing: new Set(others) };
    this.#spreading.add(write);
    this.#look(write, nowMs);
  }

  /** Something has changed at `machine`, or may have. */
  changed(machine: Machine, store: Store, nowMs: number): void {
    for (const write of this.#spreading) {
      const { origin, clock, missing, sinceMs } = write;
      if (!missing.has(machine) || store.clockOf(origin) < clock) continue;
      missing.delete(machine);
      this.eachMs.push(nowMs - sinceMs);
      this.#look(write, nowMs);
    }
  }

  stopped(machine: Machine, nowMs: number): void {
    for (const write of this.#spreading) {
      if (write.missing.delete(machine)) this.#look(write, nowMs);
    }
  }

  /** Writes that somebody who runs does not hold. */
  get unheldCount(): number {
    return this.#spreading.size;
  }

  #look(write: Spreading, nowMs: number): void {
    if (write.missing.size > 0) return;
    this.#spreading.delete(write);
    this.allMs.push(nowMs - write.sinceMs);
  }
}
