/** Writes to an open state file, with what says later whether it is still what was written. */
import { hash } from "node:crypto";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { DiskRecord } from "./disk.ts";
import type { Vector } from "./ledger.ts";
import { type Seal, sealedBytes } from "./write.ts";

const DIGEST_SIZE = 16; // bytes

/** Names a seal in the file, and says whether it is still the one that was written. */
export function digestOf(seal: Seal): Buffer {
  const bytes = Buffer.concat([sealedBytes(seal), seal.signature]);
  return hash("sha256", bytes, "buffer").subarray(0, DIGEST_SIZE);
}

/** The same for the clock of a chassis. */
export function digestOfClock(origin: string, clock: number): string {
  return hash("sha256", `${origin} ${clock}`).slice(0, DIGEST_SIZE);
}

/** All or nothing of each call. Owns no file: whoever opened it closes it. */
export class SqliteWriter {
  readonly #database: DatabaseSync;
  readonly #forget: StatementSync;
  readonly #putWrite: StatementSync;
  readonly #putSeal: StatementSync;
  readonly #putClock: StatementSync;
  /** As the file has them. */
  readonly #clocks = new Map<string, number>();

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#forget = database.prepare("DELETE FROM writes WHERE kind = ? AND name = ?");
    this.#putWrite = database.prepare("INSERT OR REPLACE INTO writes VALUES (?, ?, ?, ?)");
    this.#putSeal = database.prepare(
      "INSERT OR IGNORE INTO seals VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    );
    this.#putClock = database.prepare("INSERT OR REPLACE INTO vector VALUES (?, ?, ?)");
  }

  write(records: readonly DiskRecord[], vector: Vector): void {
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      this.insert(records, vector);
      this.#database.exec("COMMIT");
      for (const [origin, clock] of Object.entries(vector)) this.#clocks.set(origin, clock);
    } catch (error) {
      // After some errors (a full disk) SQLite has rolled back already.
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw error;
    }
  }

  /** The same within a transaction of the caller's. */
  insert(records: readonly DiskRecord[], vector: Vector): void {
    const digests = new Map<Seal, Uint8Array>();
    for (const { kind, name, writes } of records) {
      this.#forget.run(kind, name);
      for (const { seal, text } of writes) {
        const digest = digests.get(seal) ?? this.#writeSeal(seal);
        digests.set(seal, digest);
        this.#putWrite.run(kind, name, digest, text);
      }
    }
    for (const [origin, clock] of Object.entries(vector)) {
      if (this.#clocks.get(origin) === clock) continue;
      this.#putClock.run(origin, clock, digestOfClock(origin, clock));
    }
  }

  #writeSeal(seal: Seal): Uint8Array {
    const { origin, clock, part, parts, previous, signer, hashes, signature } = seal;
    const digest = digestOf(seal);
    const blob = Buffer.from(hashes.join(""), "hex");
    this.#putSeal.run(origin, clock, part, parts, previous, signer, blob, signature, digest);
    return digest;
  }
}
