/**
 * A simulated host: its disk, its clocks, and the process of the chassis while that runs. What a
 * process set going ends with it.
 */
import type { SimulatedDisk } from "./disk.ts";
import type { World } from "./world.ts";

/** Virtual time 0 as milliseconds since 1970. */
const EPOCH_MS = 1_800_000_000_000;

export class Machine {
  readonly world: World;
  readonly index: number;
  readonly name: string;
  readonly disk: SimulatedDisk;
  /** How much faster than true its clocks run; 0.0005 is 500 ppm. */
  readonly drift: number;
  /** By how much somebody has set the wall clock. */
  wallStepMs = 0;
  process: Process | null = null;
  /** Ports whose devices are plugged in here. */
  readonly devices = new Set<string>();
  /** Ids of the keys whose certificates it has kept. */
  readonly knownKeys = new Set<string>();

  constructor(world: World, index: number, disk: SimulatedDisk, drift: number) {
    this.world = world;
    this.index = index;
    this.name = `c${index}`;
    this.disk = disk;
    this.drift = drift;
  }

  /** Milliseconds since 1970, as this machine believes. */
  readonly wallClock = (): number =>
    Math.floor(EPOCH_MS + this.world.nowMs * (1 + this.drift) + this.wallStepMs);
}

export class Process {
  readonly machine: Machine;
  isDead = false;
  timerCount = 0;
  /** What waits for the end of a pause; null while it runs. */
  #backlog: (() => void)[] | null = null;
  readonly #startedMs: number;
  readonly #undo: (() => void)[] = [];

  constructor(machine: Machine) {
    this.machine = machine;
    this.#startedMs = machine.world.nowMs;
  }

  /** Milliseconds since the process began, by a clock that never steps. */
  readonly now = (): number => {
    const { world, drift } = this.machine;
    return (world.nowMs - this.#startedMs) * (1 + drift);
  };

  /** As setTimeout has it: whole milliseconds, one at least. */
  readonly setTimer = (callback: () => void, delayMs: number): (() => void) => {
    const wholeMs = Math.max(1, Math.trunc(delayMs));
    let isSet = true;
    const unset = (): void => {
      if (isSet) this.timerCount--;
      isSet = false;
    };
    this.timerCount++;
    this.after(wholeMs / (1 + this.machine.drift), () => {
      if (!isSet) return;
      unset();
      callback();
    });
    return unset;
  };

  /** Runs it here, that much later or when the pause is over; never once the process is dead. */
  after(delayMs: number, run: () => void): void {
    this.machine.world.after(delayMs, () => this.#run(run));
  }

  get isPaused(): boolean {
    return this.#backlog !== null;
  }

  /** Holds it as a debugger does: nothing of it runs, its clock goes on. */
  pause(): void {
    this.#backlog ??= [];
  }

  resume(): void {
    const backlog = this.#backlog ?? [];
    this.#backlog = null;
    for (const run of backlog) this.after(0, run);
  }

  /** For what the rest of the world has to undo at the end of the process. */
  onEnd(undo: () => void): void {
    this.#undo.push(undo);
  }

  /** kill -9. */
  kill(): void {
    if (this.isDead) return;
    this.isDead = true;
    this.machine.process = null;
    for (const undo of this.#undo.splice(0)) undo();
  }

  #run(run: () => void): void {
    if (this.isDead) return;
    if (this.#backlog !== null) this.#backlog.push(run);
    else run();
  }
}
