/**
 * Puts a replica's records on its disk: what its own chassis writes before that is answered, what
 * peers wrote a little later. That is durable where it came from, and the workers get its tables
 * without waiting for a disk; what comes within that time becomes one commit. Run by the control
 * thread.
 */
import type { SetTimer } from "./clock.ts";
import type { Contents, Disk, DiskRecord } from "./disk.ts";
import type { Ledger, Vector } from "./ledger.ts";
import type { Settled } from "./settle.ts";

/** Milliseconds from the first record of a peer until the disk is given it. */
export const BEHIND_MS = 25;
/** Milliseconds after which a disk that did not take something is asked again. */
const RETRY_MS = 1000;

/** What is held about a name that was forgotten. */
export const GONE: Settled = { writes: [], put: null, entry: null, isPartial: false };

export interface WriteBehindOptions {
  readonly disk: Disk;
  /** All that is in force. */
  readonly ledger: Ledger;
  /** What was wrong with the disk at the start. */
  readonly repair: string | null;
  /** Left out: the disk is given everything at once, and asked again with the next record. */
  readonly setTimer?: SetTimer | undefined;
}

export class WriteBehind {
  readonly #options: WriteBehindOptions;
  /** Names about which the disk lacks something that is in force. */
  readonly #names = new Set<string>();
  /** Chassis whose clocks the disk does not have. */
  readonly #clocks = new Set<string>();
  #cancelTimer: (() => void) | null = null;
  #error: string | null = null;
  #repair: string | null;

  constructor(options: WriteBehindOptions) {
    this.#options = options;
    this.#repair = options.repair;
  }

  /** Why the disk did not take what it was given last; null when it did. */
  get error(): string | null {
    return this.#error;
  }

  /** What was last found wrong with what it held, and became of it; null: nothing was. */
  get repair(): string | null {
    return this.#repair;
  }

  /** True when the disk holds all of it and everything that is in force. */
  write(records: ReadonlyMap<string, Settled>, advances: Vector): boolean {
    const { disk, ledger } = this.#options;
    const clocks: Record<string, number> = {};
    for (const origin of this.#clocks) clocks[origin] = ledger.clockOf(origin);
    const all = new Map<string, Settled>();
    for (const key of this.#names) all.set(key, ledger.get(key) ?? GONE);
    for (const [key, held] of records) all.set(key, held);
    try {
      disk.write(diskRecords(all), { ...clocks, ...advances });
      this.#error = null;
    } catch (error) {
      this.#error = this.#renew(error, all, advances);
    }
    if (this.#error !== null) return false;
    this.#names.clear();
    this.#clocks.clear();
    return true;
  }

  /** These are in force, and the disk is to have them a little later. */
  writeLater(records: ReadonlyMap<string, Settled>, advances: Vector): void {
    const { disk, setTimer } = this.#options;
    disk.expect?.(diskRecords(records));
    for (const key of records.keys()) this.#names.add(key);
    this.noteClocks(advances);
    if (setTimer === undefined) this.flush();
    else this.#schedule(BEHIND_MS);
  }

  /** The clocks of these are worth no commit of their own: the next one has them. */
  noteClocks(advances: Vector): void {
    for (const origin of Object.keys(advances)) this.#clocks.add(origin);
  }

  /** Gives the disk now what it lacks; true when it holds everything that is in force. */
  flush(): boolean {
    if (this.#names.size === 0 && this.#clocks.size === 0) return true;
    return this.write(new Map(), {});
  }

  close(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.flush();
    this.#options.disk.close();
  }

  #schedule(delayMs: number): void {
    this.#cancelTimer ??=
      this.#options.setTimer?.(() => {
        this.#cancelTimer = null;
        if (!this.flush()) this.#schedule(RETRY_MS);
      }, delayMs) ?? null;
  }

  /** Null when the disk holds everything after all: it was damaged, and has begun anew. */
  #renew(error: unknown, records: ReadonlyMap<string, Settled>, advances: Vector): string | null {
    const { disk, ledger } = this.#options;
    const contents = (): Contents => ({
      records: diskRecords(new Map([...ledger.records(), ...records])),
      vector: { ...ledger.vector, ...advances },
    });
    try {
      const repair = disk.renew?.(error, contents) ?? null;
      if (repair === null) return messageOf(error);
      this.#repair = repair;
      return null;
    } catch (another) {
      return messageOf(another);
    }
  }
}

function diskRecords(records: ReadonlyMap<string, Settled>): DiskRecord[] {
  return [...records].map(([key, { writes }]) => ({ ...splitKey(key), writes }));
}

function splitKey(key: string): { readonly kind: string; readonly name: string } {
  const at = key.indexOf("/");
  return { kind: key.slice(0, at), name: key.slice(at + 1) };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
