/**
 * A simulated disk below a replica. What was written when `write` returned is there after a crash;
 * a write that a crash interrupts is there whole or not at all, as SQLite promises.
 */
import { type Entry, keyOf } from "@rhone/state/record";
import type { Disk } from "@rhone/state/replica";
import type { Process } from "./machine.ts";

export class SimulatedDisk {
  /** Every write fails while it is. */
  isFull = false;
  /** The process is killed in the middle of its next write, which is then kept or not. */
  killAtWrite: "kept" | "lost" | null = null;
  readonly #rows = new Map<string, string>();

  get rowCount(): number {
    return this.#rows.size;
  }

  /** Everything on it, as text. */
  rows(): readonly string[] {
    return [...this.#rows.values()];
  }

  /** As a process sees it; `onKept` hears of every write that counts. */
  open(process: Process, onKept: (entries: readonly Entry[]) => void): Disk {
    return {
      write: (entries) => {
        if (process.isDead) throw new Error("the process is dead");
        if (this.isFull) throw new Error("database or disk is full");
        const fate = this.killAtWrite;
        this.killAtWrite = null;
        if (fate !== "lost") {
          for (const entry of entries) this.#rows.set(keyOf(entry), JSON.stringify(entry));
          onKept(entries);
        }
        if (fate === null) return;
        process.kill();
        throw new Error("killed in the middle of a write");
      },
      close() {},
    };
  }

  lose(): void {
    this.#rows.clear();
  }

  /** Inverts one bit of one row; `random` is uniform in [0, 1). */
  flipBit(random: () => number): void {
    const keys = [...this.#rows.keys()];
    const key = keys[Math.floor(random() * keys.length)];
    if (key === undefined) return;
    const bytes = Buffer.from(this.#rows.get(key)!);
    bytes[Math.floor(random() * bytes.length)]! ^= 1 << Math.floor(random() * 8);
    this.#rows.set(key, bytes.toString());
  }
}
