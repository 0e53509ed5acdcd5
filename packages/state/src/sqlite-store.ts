/**
 * The store in one SQLite file: a commit is on the disk before it is answered (WAL journal,
 * synchronous FULL). Run by the control thread.
 *
 * One process has the file at a time: the lock is exclusive and ends with the process, however that
 * ends. A file that is damaged is moved aside. At the start what is sound in it is kept, and the
 * peers bring the rest; of a running process everything is in memory, and is written anew.
 */
import { copyFileSync, existsSync, linkSync, readFileSync, renameSync, rmSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import type { SetTimer } from "./clock.ts";
import type { Contents, Disk, DiskRecord, Stored } from "./disk.ts";
import type { Vector } from "./ledger.ts";
import type { Result } from "./problem.ts";
import { Replica } from "./replica.ts";
import type { Signer } from "./signer.ts";
import { portionsOfFormat1 } from "./sqlite-format-1.ts";
import { journalDamage } from "./sqlite-journal.ts";
import { digestOf, digestOfClock, SqliteWriter } from "./sqlite-writer.ts";
import type { Store } from "./store.ts";
import { isSeal, type Portion, readWrite, type Seal } from "./write.ts";

/** "Rhon" as an integer: the mark in the header of files that are ours. */
const APPLICATION_ID = 0x52686f6e;
const FORMAT = 2;

const TABLES = `
  CREATE TABLE seals (
    origin TEXT NOT NULL,
    clock INTEGER NOT NULL,
    part INTEGER NOT NULL,
    parts INTEGER NOT NULL,
    previous INTEGER NOT NULL,
    signer TEXT NOT NULL,
    hashes BLOB NOT NULL,
    signature BLOB NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (digest)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE writes (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    seal BLOB NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (kind, name, seal)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE vector (
    origin TEXT PRIMARY KEY,
    clock INTEGER NOT NULL,
    digest TEXT NOT NULL
  ) STRICT, WITHOUT ROWID`;

/** Behind the name of a file: what SQLite keeps beside it. */
const JOURNALS = ["-wal", "-shm"];
const SUFFIXES = ["", ...JOURNALS];
/** Behind the name of a file whose journal is damaged. */
const JOURNAL_AS_FOUND = "-wal-as-found";

const HASH_SIZE = 32; // bytes

export interface SqliteStoreOptions {
  /** The file; made when it does not exist, its directory is not. */
  readonly path: string;
  /** Name of the chassis whose changes the store makes. */
  readonly origin: string;
  readonly signer?: Signer | null;
  /** Milliseconds since 1970, of a clock that does not step. */
  readonly wallClock?: () => number;
  /** For what peers wrote, which goes to the file a little later. Left out: at once. */
  readonly setTimer?: SetTimer | undefined;
}

/**
 * Opens the store. Fails with code "unusable", and a message that says what to do, when the file
 * cannot be opened, or belongs to another process or program.
 */
export function openSqliteStore(options: SqliteStoreOptions): Result<Store> {
  const { path } = options;
  try {
    const { database, stored } = openOrRepair(path);
    return {
      ok: true,
      value: new Replica({ ...options, disk: new SqliteDisk(path, database), stored }),
    };
  } catch (error) {
    const message = `state file ${path}: ${explain(error)}`;
    return { ok: false, error: { code: "unusable", message, problems: [] } };
  }
}

/** What the operator has to know; the sentence stands in the middle of a message. */
class Unusable extends Error {}

/** The file does not hold what was written; the sentence stands in the middle of a message. */
class Damaged extends Error {
  readonly sound: readonly Portion[];

  constructor(message: string, sound: readonly Portion[]) {
    super(message);
    this.sound = sound;
  }
}

interface Opened {
  readonly database: DatabaseSync;
  readonly stored: Stored;
}

function openOrRepair(path: string): Opened {
  let sound: readonly Portion[] = [];
  let damage: string;
  try {
    return open(path);
  } catch (error) {
    if (!isDamage(error)) throw error;
    damage = (error as Error).message;
    sound = error instanceof Damaged ? error.sound : salvage(path);
  }
  const aside = moveAside(path);
  const { database } = open(path);
  const count = sound.reduce((sum, { texts }) => sum + texts.length, 0);
  const repair = `the file was damaged (${damage}) and is now ${aside}; ${count} writes were sound`;
  // Without a vector: whatever a peer has is asked for.
  new SqliteWriter(database).write(recordsOf(sound), {});
  return { database, stored: { portions: sound, vector: {}, repair } };
}

function open(path: string): Opened {
  const database = new DatabaseSync(path);
  try {
    prepare(database, path);
    return { database, stored: read(database) };
  } catch (error) {
    database.close();
    throw error;
  }
}

function prepare(database: DatabaseSync, path: string): void {
  // Before the first read: later the lock would be a shared one for a while.
  database.exec("PRAGMA locking_mode = EXCLUSIVE");
  database.exec("PRAGMA journal_mode = WAL");
  database.exec("PRAGMA synchronous = FULL");
  database.exec("BEGIN IMMEDIATE; COMMIT"); // Takes the exclusive lock now, not at the first write.
  checkJournal(database, path);
  const application = numberOrText(database, "PRAGMA application_id");
  const format = numberOrText(database, "PRAGMA user_version");
  const tables = numberOrText(database, "SELECT count(*) FROM sqlite_schema");
  if (application === 0 && format === 0 && tables === 0) {
    database.exec(
      `BEGIN; ${TABLES}; PRAGMA application_id = ${APPLICATION_ID}; ` +
        `PRAGMA user_version = ${FORMAT}; COMMIT`,
    );
  } else if (application === APPLICATION_ID && format === 1) {
    const portions = portionsOfFormat1(database);
    database.exec(`BEGIN; DROP TABLE entries; ${TABLES}; PRAGMA user_version = ${FORMAT}`);
    new SqliteWriter(database).insert(recordsOf(portions), {});
    database.exec("COMMIT");
  } else if (application === APPLICATION_ID && format === FORMAT) {
    const check = numberOrText(database, "PRAGMA integrity_check(1)");
    if (check !== "ok") throw new Damaged(String(check), soundOf(database).portions);
  } else {
    throw new Unusable(
      `expected a state file of format ${FORMAT}, got a database of another program or version ` +
        `(application ${application}, format ${format}). Name another file`,
    );
  }
}

/** Nobody has written to the journal since the process that it is of: the lock is ours. */
function checkJournal(database: DatabaseSync, path: string): void {
  const journal = `${path}-wal`;
  const damage = existsSync(journal) ? journalDamage(readFileSync(journal)) : null;
  if (damage === null) return;
  copyFileSync(journal, path + JOURNAL_AS_FOUND); // It ends with the connection.
  const isOurs = numberOrText(database, "PRAGMA application_id") === APPLICATION_ID;
  throw new Damaged(damage, isOurs ? soundOf(database).portions : []);
}

/** What can be read of a file that does not open as it should. */
function salvage(path: string): readonly Portion[] {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path);
    return soundOf(database).portions;
  } catch {
    return [];
  } finally {
    database?.close();
  }
}

/** Renames the file and what belongs to it; returns its new name. */
function moveAside(path: string): string {
  const aside = nameAside(path);
  for (const suffix of [...SUFFIXES, JOURNAL_AS_FOUND]) {
    if (existsSync(path + suffix)) renameSync(path + suffix, aside + suffix);
  }
  return aside;
}

function nameAside(path: string): string {
  let number = 1;
  while (existsSync(`${path}.damaged-${number}`)) number++;
  return `${path}.damaged-${number}`;
}

function isDamage(error: unknown): boolean {
  const text = error instanceof Error ? error.message : String(error);
  return error instanceof Damaged || /not a database|malformed|corrupt/i.test(text);
}

function explain(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  if (error instanceof Unusable) return text;
  if (/locked|busy/i.test(text)) return "another process has it open. Stop that process first";
  return `cannot be opened (${text}). Its directory must exist and be writable, with free space`;
}

/** The first column of the first row. */
function numberOrText(database: DatabaseSync, sql: string): unknown {
  const row = database.prepare(sql).get();
  return row === undefined ? undefined : Object.values(row)[0];
}

function read(database: DatabaseSync): Stored {
  const { portions, damaged } = soundOf(database);
  if (damaged.length > 0) {
    const more = damaged.length === 1 ? "" : ` and ${damaged.length - 1} more`;
    throw new Damaged(`in ${damaged[0]}${more}`, portions);
  }
  const vector: Record<string, number> = {};
  for (const { origin, clock, digest } of database.prepare("SELECT * FROM vector").iterate()) {
    if (digest !== digestOfClock(String(origin), Number(clock))) {
      throw new Damaged(`in the clock of ${origin}`, portions);
    }
    vector[String(origin)] = Number(clock);
  }
  // What nothing is left of.
  database.exec("DELETE FROM seals WHERE digest NOT IN (SELECT seal FROM writes)");
  return { portions, vector, repair: null };
}

/** The writes that are what their seals say, and what others are about. */
function soundOf(database: DatabaseSync): { portions: Portion[]; damaged: string[] } {
  const seals = new Map<string, { readonly seal: Seal; readonly texts: string[] }>();
  const damaged: string[] = [];
  const bySeal = "SELECT * FROM seals ORDER BY origin, clock, part";
  for (const row of rowsOf(database, bySeal, damaged)) {
    const seal = sealOf(row);
    if (seal === null) damaged.push(`the seal of ${row["origin"]} ${row["clock"]}`);
    else seals.set(digestOf(seal).toString("hex"), { seal, texts: [] });
  }
  for (const { kind, name, seal, text } of rowsOf(database, "SELECT * FROM writes", damaged)) {
    const held = seals.get(seal instanceof Uint8Array ? Buffer.from(seal).toString("hex") : "");
    const write = held === undefined ? null : readWrite(String(text), held.seal);
    const isSealed = write !== null && held!.seal.hashes.includes(write.hash);
    if (isSealed && write.kind === kind && write.name === name) held!.texts.push(write.text);
    else damaged.push(`a write about ${kind} ${name}`);
  }
  return { portions: [...seals.values()].filter(({ texts }) => texts.length > 0), damaged };
}

type Row = Readonly<Record<string, unknown>>;

/** The rows as far as they can be read; then what stopped it is damage. */
function* rowsOf(database: DatabaseSync, sql: string, damaged: string[]): Generator<Row> {
  try {
    for (const row of database.prepare(sql).iterate()) yield row;
  } catch (error) {
    damaged.push((error as Error).message);
  }
}

/** null when it is not what was written. */
function sealOf(row: Row): Seal | null {
  const { hashes, signature, digest } = row;
  if (!isBlob(hashes) || !isBlob(signature) || !isBlob(digest)) return null;
  if (hashes.length % HASH_SIZE !== 0) return null;
  const text = Buffer.from(hashes).toString("hex");
  const seal: Seal = {
    origin: String(row["origin"]),
    clock: Number(row["clock"]),
    part: Number(row["part"]),
    parts: Number(row["parts"]),
    previous: Number(row["previous"]),
    signer: String(row["signer"]),
    hashes: text.match(new RegExp(`.{${HASH_SIZE * 2}}`, "g")) ?? [],
    signature: Uint8Array.from(signature),
  };
  return isSeal(seal) && digestOf(seal).equals(digest) ? seal : null;
}

function isBlob(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array;
}

function recordsOf(portions: readonly Portion[]): DiskRecord[] {
  const writes = portions.flatMap(({ seal, texts }) =>
    texts.flatMap((text) => readWrite(text, seal) ?? []),
  );
  const records = Map.groupBy(writes, ({ kind, name }) => `${kind}/${name}`);
  return [...records.values()].map((some) => {
    return { kind: some[0]!.kind, name: some[0]!.name, writes: some };
  });
}

class SqliteDisk implements Disk {
  readonly #path: string;
  #database: DatabaseSync;
  #writer: SqliteWriter;

  constructor(path: string, database: DatabaseSync) {
    this.#path = path;
    this.#database = database;
    this.#writer = new SqliteWriter(database);
  }

  write(records: readonly DiskRecord[], vector: Vector): void {
    if (!this.#database.isOpen) throw new Damaged("a damaged file could not be replaced", []);
    this.#writer.write(records, vector);
  }

  renew(error: unknown, contents: () => Contents): string | null {
    if (!isDamage(error)) return null;
    const fresh = `${this.#path}.new`;
    for (const suffix of SUFFIXES) rmSync(fresh + suffix, { force: true });
    const { records, vector } = contents();
    const { database } = open(fresh);
    try {
      new SqliteWriter(database).write(records, vector);
    } finally {
      database.close(); // That ends its journal.
    }
    const aside = this.#replaceBy(fresh);
    const count = records.reduce((sum, { writes }) => sum + writes.length, 0);
    const what = `damaged (${(error as Error).message}) while it was in use, and is now ${aside}`;
    return `the file was ${what}; all ${count} writes are in a new one`;
  }

  close(): void {
    if (this.#database.isOpen) this.#database.close();
  }

  /** Puts `fresh` in the place of the file, which gets the name that is returned. */
  #replaceBy(fresh: string): string {
    const path = this.#path;
    const aside = nameAside(path);
    try {
      this.close();
    } catch {
      // It cannot be written to; it is closed all the same.
    }
    // There is a file of that name at any time, and no journal is ever beside another file's.
    if (existsSync(path)) linkSync(path, aside);
    for (const suffix of JOURNALS) {
      if (existsSync(path + suffix)) renameSync(path + suffix, aside + suffix);
    }
    renameSync(fresh, path);
    this.#database = open(path).database;
    this.#writer = new SqliteWriter(this.#database);
    return aside;
  }
}
