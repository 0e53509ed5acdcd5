/**
 * The few words that a worker, its neighbours and the control thread watch of each other.
 *
 *   word   0   sleeping     1 while the worker is about to sleep or sleeps   written by the worker
 *   word   1   adopted      newest edition of tables that the worker holds   written by the worker
 *   word   2   running      1 between start and end of the run loop          written by the worker
 *   word   3   seen         edition of the allotment that it sends by         written by the worker
 *   word   4   released     edition whose losses it has let go of            written by the worker
 *   word   5   settled      edition that it has all of                       written by the worker
 *   word   6   begun        edition of the tables that it begins packets under   by the worker
 *   word  32   mail         count of messages ever posted to its mailbox     written by control
 *
 * A producer stores its packets, then loads `sleeping`; the worker stores `sleeping`, then looks
 * for packets. Both are sequentially consistent, so at least one of the two sees the other.
 */
const SLEEPING = 0;
const ADOPTED = 1;
const RUNNING = 2;
const SEEN = 3;
const RELEASED = 4;
const SETTLED = 5;
const BEGUN = 6;
const MAIL = 32;

/** Bytes of shared memory that one worker's status takes. */
export const WORKER_STATUS_SIZE = 256;

export class WorkerStatus {
  readonly #words: Int32Array;

  constructor(buffer: SharedArrayBuffer) {
    this.#words = new Int32Array(buffer, 0, WORKER_STATUS_SIZE / 4);
  }

  isSleeping(): boolean {
    return Atomics.load(this.#words, SLEEPING) === 1;
  }

  setSleeping(isSleeping: boolean): void {
    Atomics.store(this.#words, SLEEPING, isSleeping ? 1 : 0);
  }

  /** The newest of the tables that were published to it which the worker holds. */
  adopted(): number {
    return Atomics.load(this.#words, ADOPTED);
  }

  /** To be called when packets of these tables can come: their rows are understood from now on. */
  setAdopted(edition: number): void {
    Atomics.store(this.#words, ADOPTED, edition);
  }

  /** Under which of these it begins packets. */
  begun(): number {
    return Atomics.load(this.#words, BEGUN);
  }

  setBegun(edition: number): void {
    Atomics.store(this.#words, BEGUN, edition);
  }

  isRunning(): boolean {
    return Atomics.load(this.#words, RUNNING) === 1;
  }

  setRunning(isRunning: boolean): void {
    Atomics.store(this.#words, RUNNING, isRunning ? 1 : 0);
  }

  /** The newest allotment by which the worker sends on what others own. */
  seen(): number {
    return Atomics.load(this.#words, SEEN);
  }

  setSeen(edition: number): void {
    Atomics.store(this.#words, SEEN, edition);
  }

  /** The newest allotment by which it has given up everything that it lost. */
  released(): number {
    return Atomics.load(this.#words, RELEASED);
  }

  setReleased(edition: number): void {
    Atomics.store(this.#words, RELEASED, edition);
  }

  /** The newest allotment by which it owns everything that it was to get, too. */
  settled(): number {
    return Atomics.load(this.#words, SETTLED);
  }

  setSettled(edition: number): void {
    Atomics.store(this.#words, SETTLED, edition);
  }

  /** Says that one more message lies in the mailbox. */
  countMail(): void {
    Atomics.add(this.#words, MAIL, 1);
  }

  mail(): number {
    return Atomics.load(this.#words, MAIL);
  }
}
