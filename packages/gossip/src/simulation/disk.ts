/**
 * A simulated disk below a replica. What was written when `write` returned is there after a crash;
 * a write that a crash interrupts is there whole or not at all, as SQLite promises. Damage is
 * found at the next start, as the checksums of the state file promise.
 */

import type { Disk, DiskRecord, Stored } from "@rhone/state/disk";
import type { Vector } from "@rhone/state/ledger";
import type { Portion, Write } from "@rhone/state/write";
import type { Process } from "./machine.ts";

export class SimulatedDisk {
  /** Every write fails while it is. */
  isFull = false;
  /** The process is killed in the middle of its next write, which is then kept or not. */
  killAtWrite: "kept" | "lost" | null = null;
  /** Of the last process; null when it is not kept. */
  incarnation: number | null = null;
  readonly #writes = new Map<string, readonly Write[]>();
  readonly #vector = new Map<string, number>();
  #repair: string | null = null;

  /** Names about which something is kept. */
  get rowCount(): number {
    return this.#writes.size;
  }

  /** What a start finds on it. */
  read(): Stored {
    const portions = new Map<Write["seal"], string[]>();
    for (const write of [...this.#writes.values()].flat()) {
      const texts = portions.get(write.seal) ?? [];
      portions.set(write.seal, texts);
      texts.push(write.text);
    }
    const repair = this.#repair;
    this.#repair = null;
    return {
      portions: [...portions].map(([seal, texts]): Portion => ({ seal, texts })),
      vector: Object.fromEntries(this.#vector),
      repair,
    };
  }

  /** As a process sees it; `onKept` hears of every write that counts. */
  open(process: Process, onKept: (records: readonly DiskRecord[]) => void): Disk {
    return {
      write: (records, vector) => {
        if (process.isDead) throw new Error("the process is dead");
        if (this.isFull) throw new Error("database or disk is full");
        const fate = this.killAtWrite;
        this.killAtWrite = null;
        if (fate !== "lost") {
          this.keep(records, vector);
          onKept(records);
        }
        if (fate === null) return;
        process.kill();
        throw new Error("killed in the middle of a write");
      },
      close() {},
    };
  }

  lose(): void {
    this.incarnation = null;
    this.#writes.clear();
    this.#vector.clear();
  }

  /** Takes away all about one name, and the vector; returns the name, if there is any. */
  damage(random: () => number): string | undefined {
    const keys = [...this.#writes.keys()];
    const key = keys[Math.floor(random() * keys.length)];
    if (key === undefined) return undefined;
    this.#writes.delete(key);
    this.#vector.clear();
    this.#repair = `the rows of ${key} were damaged`;
    return key;
  }

  /** As if it had been written. */
  keep(records: readonly DiskRecord[], vector: Vector): void {
    for (const { kind, name, writes } of records) {
      const key = `${kind}/${name}`;
      if (writes.length === 0) this.#writes.delete(key);
      else this.#writes.set(key, writes);
    }
    for (const [origin, clock] of Object.entries(vector)) this.#vector.set(origin, clock);
  }
}
