/**
 * One cluster from the first start to the end: a storm in which things go wrong and users write,
 * then a calm in which everybody has to come to the same. Runs in one process on virtual time, with
 * the classes that a real chassis runs.
 */
import { type Chassis, type Seams, startChassis } from "./chassis.ts";
import { SimulatedDisk } from "./disk.ts";
import { FAULTS, type FaultName } from "./faults.ts";
import { Machine, Process } from "./machine.ts";
import { NatsPath } from "./nats-path.ts";
import { Oracle } from "./oracle.ts";
import type { Plan } from "./plan.ts";
import { Underlay } from "./underlay.ts";
import { wish } from "./users.ts";
import type { World } from "./world.ts";

const DRIFT_MAX = 0.0005;
const FAULT_MIN_MS = 50;
const FAULT_MAX_MS = 8000;
const CHECK_INTERVAL_MS = 1000;
/** Of one process: two of the replicator and the membership, those of the paths, requests. */
const TIMERS_MAX = 40;

/** What happened, by name. */
export type Tally = Map<string, number>;

export class Simulation {
  readonly world: World;
  readonly plan: Plan;
  readonly underlay: Underlay;
  readonly nats: NatsPath;
  readonly machines: readonly Machine[];
  readonly oracle: Oracle;
  readonly tally: Tally = new Map();
  readonly #chassis = new Map<Machine, Chassis>();
  readonly #seams: Seams;
  readonly #ends = new Set<() => void>();
  #isStorm = true;

  constructor(world: World, plan: Plan, seams: Seams) {
    this.world = world;
    this.plan = plan;
    this.#seams = seams;
    const { chassisCount: count, delayMaxMs, lossRate, repeatRate, reorderRate } = plan;
    this.underlay = new Underlay(world, count);
    this.underlay.delayMaxMs = delayMaxMs;
    this.nats = new NatsPath(world, this.underlay, count);
    Object.assign(this.nats, { lossRate, repeatRate, reorderRate });
    this.machines = Array.from({ length: count }, (_, index) => {
      const drift = world.between(-DRIFT_MAX, DRIFT_MAX);
      return new Machine(world, index, new SimulatedDisk(), drift);
    });
    this.oracle = new Oracle(this.machines);
    for (const machine of this.machines) {
      world.after(world.between(0, 1000), () => this.start(machine));
    }
    for (const [name, meanMs] of plan.faults) this.#expect(name, meanMs);
    this.#expectWish();
    this.#expectCheck();
  }

  /** Starts the chassis of a machine, unless it runs. */
  start(machine: Machine): void {
    if (machine.process !== null) return;
    const { world, oracle } = this;
    const process = new Process(machine);
    machine.process = process;
    machine.startCount++;
    world.log(`${machine.name} starts`);
    const chassis = startChassis({
      ...{ process, disk: machine.disk, transport: this.nats.connect(process) },
      ...{ names: this.machines.map(({ name }) => name), seams: this.#seams },
      onKept: (entries) => oracle.kept(machine, entries),
      onChange: (entries, source) => {
        if (process.isDead) return;
        world.log(`${machine.name} ${source} ${JSON.stringify(entries)}`);
        if (source === "disk") oracle.started(machine, entries);
        else oracle.changed(machine, entries, source);
      },
    });
    if (chassis === null) {
      // What its message tells the operator to do.
      this.#count("unusable disks");
      process.kill();
      this.loseDisk(machine);
      this.start(machine);
      return;
    }
    this.#chassis.set(machine, chassis);
    this.#introduce(machine, chassis);
  }

  kill(machine: Machine): void {
    this.world.log(`${machine.name} is killed`);
    machine.process?.kill();
  }

  loseDisk(machine: Machine): void {
    this.world.log(`${machine.name} has lost its disk`);
    machine.disk.lose();
    this.oracle.lostDisk(machine);
  }

  /** Nothing goes wrong from now on, and users are silent. */
  calm(): void {
    this.world.log("calm");
    this.#isStorm = false;
    for (const end of [...this.#ends]) end();
    Object.assign(this.nats, { lossRate: 0, repeatRate: 0, reorderRate: 0 });
    for (const machine of this.machines) {
      machine.disk.killAtWrite = null;
      this.start(machine);
    }
  }

  get areSame(): boolean {
    return this.oracle.areSame(this.machines);
  }

  /** Whether every chassis holds every other one for alive. */
  get allAlive(): boolean {
    return this.machines.every((machine) => {
      const members = this.#chassis.get(machine)!.membership.members();
      return members.length === this.machines.length - 1 && members.every(isAlive);
    });
  }

  /** Fetches begun since the start of the processes. */
  get pullCount(): number {
    return this.#sum(({ replicator }) => replicator.counters.pulls);
  }

  checkEnd(): void {
    this.oracle.checkEnd(this.machines, (machine) => this.#chassis.get(machine)!.store.entries());
    const hashes = new Set([...this.#chassis.values()].map(({ replicator }) => replicator.hash));
    if (hashes.size > 1) this.oracle.fail("apart", `${hashes.size} hashes of the same entries`);
  }

  #sum(countOf: (chassis: Chassis) => number): number {
    return [...this.#chassis.values()].reduce((sum, chassis) => sum + countOf(chassis), 0);
  }

  #count(what: string): void {
    this.tally.set(what, (this.tally.get(what) ?? 0) + 1);
  }

  /** As a real chassis does when it starts. */
  #introduce(machine: Machine, chassis: Chassis): void {
    const [workers, underlay] = [2, `10.1.${machine.index >> 8}.${machine.index & 255}`];
    const document = { kind: "chassis", name: machine.name, underlay, workers, version: "1" };
    this.#transact(machine, chassis, [{ op: "put", document }], "chassis");
  }

  #transact(machine: Machine, chassis: Chassis, ...[changes, author]: TransactArguments): void {
    const { process } = machine;
    const result = chassis.store.transact(changes, author);
    if (process?.isDead === true) {
      this.#count("writes without an answer");
    } else if (result.ok) {
      this.#count("writes");
      this.oracle.acknowledged(machine, [...result.value.entries], chassis);
    } else {
      this.#count(`writes refused: ${result.error.code}`);
    }
  }

  #expectWish(): void {
    const { world, plan } = this;
    world.after(world.waiting(plan.habits.meanMs), () => {
      if (!this.#isStorm) return;
      const machine = world.pick(this.machines)!;
      const chassis = this.#chassis.get(machine);
      if (chassis !== undefined && machine.process?.isPaused === false) {
        this.#transact(machine, chassis, wish(world, plan.habits, chassis.store), "user");
      }
      this.#expectWish();
    });
  }

  #expect(name: FaultName, meanMs: number): void {
    const { world } = this;
    world.after(world.waiting(meanMs), () => {
      if (!this.#isStorm) return;
      world.log(`fault ${name}`);
      this.#count(name);
      const undo = FAULTS[name](this);
      if (undo !== null) this.#endLater(name, undo);
      this.#expect(name, meanMs);
    });
  }

  #endLater(name: FaultName, undo: () => void): void {
    const { world } = this;
    const end = (): void => {
      if (!this.#ends.delete(end)) return;
      world.log(`end of ${name}`);
      undo();
    };
    this.#ends.add(end);
    world.after(world.between(FAULT_MIN_MS, FAULT_MAX_MS), end);
  }

  #expectCheck(): void {
    this.world.after(CHECK_INTERVAL_MS, () => {
      for (const machine of this.machines) this.#checkBounds(machine);
      this.#expectCheck();
    });
  }

  #checkBounds(machine: Machine): void {
    const { process, name, disk } = machine;
    if (process === null) return;
    const { store, replicator, membership } = this.#chassis.get(machine)!;
    const [idsMax, peersMax] = [this.oracle.idCount, this.machines.length - 1];
    const limits: readonly (readonly [string, number, number])[] = [
      ["entries", store.entries().length, idsMax],
      ["rows on its disk", disk.rowCount, idsMax],
      ["peers", replicator.peers().length, peersMax],
      ["members", membership.members().length, peersMax],
      ["timers", process.timerCount, TIMERS_MAX],
    ];
    for (const [what, count, max] of limits) {
      if (count > max)
        this.oracle.fail("unbounded", `${name} has ${count} ${what}, ${max} at most`);
    }
  }
}

type TransactArguments = Parameters<Chassis["store"]["transact"]>;

function isAlive({ status }: { readonly status: string }): boolean {
  return status === "alive";
}
