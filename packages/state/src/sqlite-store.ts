/**
 * The store in one SQLite file: a commit is on the disk before it is answered (WAL journal,
 * synchronous FULL). Run by the control thread.
 *
 * One process has the file at a time: the lock is exclusive and ends with the process, however that
 * ends.
 */
import { DatabaseSync } from "node:sqlite";
import { parseEntry } from "./document.ts";
import type { Result } from "./problem.ts";
import type { Entry } from "./record.ts";
import { type Disk, Replica } from "./replica.ts";
import type { Store } from "./store.ts";

/** "Rhon" as an integer: the mark in the header of files that are ours. */
const APPLICATION_ID = 0x52686f6e;
const FORMAT = 1;

const TABLE = `
  CREATE TABLE entries (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    created_clock INTEGER NOT NULL,
    created_origin TEXT NOT NULL,
    clock INTEGER NOT NULL,
    origin TEXT NOT NULL,
    value TEXT,
    PRIMARY KEY (kind, name)
  ) STRICT, WITHOUT ROWID`;

export interface SqliteStoreOptions {
  /** The file; made when it does not exist, its directory is not. */
  readonly path: string;
  /** Name of the chassis whose changes the store makes. */
  readonly origin: string;
}

/**
 * Opens the store. Fails with code "unusable", and a message that says what to do, when the file
 * cannot be opened, belongs to another process or program, or is damaged.
 */
export function openSqliteStore({ path, origin }: SqliteStoreOptions): Result<Store> {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path);
    prepare(database);
    const entries = readEntries(database);
    return { ok: true, value: new Replica(origin, new SqliteDisk(database), entries) };
  } catch (error) {
    database?.close();
    const message = `state file ${path}: ${explain(error)}`;
    return { ok: false, error: { code: "unusable", message, problems: [] } };
  }
}

/** What the operator has to know; the sentence stands in the middle of a message. */
class Unusable extends Error {}

function prepare(database: DatabaseSync): void {
  // Before the first read: later the lock would be a shared one for a while.
  database.exec("PRAGMA locking_mode = EXCLUSIVE");
  database.exec("PRAGMA journal_mode = WAL");
  database.exec("PRAGMA synchronous = FULL");
  database.exec("BEGIN IMMEDIATE; COMMIT"); // Takes the exclusive lock now, not at the first write.
  const check = numberOrText(database, "PRAGMA quick_check(1)");
  if (check !== "ok") throw new Unusable(`expected a sound database, got "${check}". ${REMEDY}`);
  const application = numberOrText(database, "PRAGMA application_id");
  const format = numberOrText(database, "PRAGMA user_version");
  if (application === APPLICATION_ID && format === FORMAT) return;
  const tables = numberOrText(database, "SELECT count(*) FROM sqlite_schema");
  if (application !== 0 || format !== 0 || tables !== 0) {
    throw new Unusable(
      `expected a state file of format ${FORMAT}, got a database of another program or version ` +
        `(application ${application}, format ${format}). Name another file`,
    );
  }
  database.exec(
    `BEGIN; ${TABLE}; PRAGMA application_id = ${APPLICATION_ID}; ` +
      `PRAGMA user_version = ${FORMAT}; COMMIT`,
  );
}

const REMEDY =
  "Move the file and the -wal beside it away; the chassis gets the state back from its peers";

function explain(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  if (error instanceof Unusable) return text;
  if (/locked|busy/i.test(text)) return "another process has it open. Stop that process first";
  if (/not a database|malformed|corrupt/i.test(text)) return `damaged (${text}). ${REMEDY}`;
  return `cannot be opened (${text}). Its directory must exist and be writable, with free space`;
}

/** The first column of the first row. */
function numberOrText(database: DatabaseSync, sql: string): unknown {
  const row = database.prepare(sql).get();
  return row === undefined ? undefined : Object.values(row)[0];
}

function readEntries(database: DatabaseSync): Entry[] {
  const rows = database.prepare("SELECT * FROM entries").all();
  return rows.map((row) => {
    const entry = parseEntry({
      kind: row["kind"],
      name: row["name"],
      created: { clock: row["created_clock"], origin: row["created_origin"] },
      version: { clock: row["clock"], origin: row["origin"] },
      value: parseJson(row["value"]),
    });
    if (entry !== null) return entry;
    throw new Unusable(`damaged in the row of ${row["kind"]} "${row["name"]}". ${REMEDY}`);
  });
}

/** undefined when it is no JSON. */
function parseJson(text: unknown): unknown {
  try {
    return text === null ? null : JSON.parse(String(text));
  } catch {
    return undefined;
  }
}

class SqliteDisk implements Disk {
  readonly #database: DatabaseSync;
  readonly #put: ReturnType<DatabaseSync["prepare"]>;

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#put = database.prepare("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)");
  }

  write(entries: readonly Entry[]): void {
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      for (const { kind, name, created, version, value } of entries) {
        this.#put.run(
          kind,
          name,
          created.clock,
          created.origin,
          version.clock,
          version.origin,
          value === null ? null : JSON.stringify(value),
        );
      }
      this.#database.exec("COMMIT");
    } catch (error) {
      // After some errors (a full disk) SQLite has rolled back already.
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw error;
    }
  }

  close(): void {
    this.#database.close();
  }
}
