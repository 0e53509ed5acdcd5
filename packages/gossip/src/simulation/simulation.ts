/**
 * One cluster from the first start to the end: a storm in which things go wrong and users write,
 * then a calm in which everybody has to come to the same. Runs in one process on virtual time, with
 * the classes that a real chassis runs.
 */
import { claimsOf, holderOf } from "@rhone/state/claim";
import type { DiskRecord } from "@rhone/state/disk";
import { get } from "@rhone/state/state";
import type { Author, Change, Store } from "@rhone/state/store";
import { writeWaitMs } from "../barrier/write-turn.ts";
import { type Chassis, type Seams, startChassis } from "./chassis.ts";
import { type Claimant, ClaimWatch } from "./claim-watch.ts";
import { SimulatedDisk } from "./disk.ts";
import { FAULTS, type FaultName } from "./faults.ts";
import type { Holdings } from "./holdings.ts";
import { LinkPath } from "./link-path.ts";
import { Machine, Process } from "./machine.ts";
import { NatsPath } from "./nats-path.ts";
import { Oracle } from "./oracle.ts";
import { Passage } from "./passage.ts";
import type { Plan } from "./plan.ts";
import { GatewayWatch } from "./simulated-gateways.ts";
import { Spread } from "./spread.ts";
import { Underlay } from "./underlay.ts";
import { guestPorts, isSole, keyOfChange, outsideName, wish, wishOfGuest } from "./users.ts";
import type { World } from "./world.ts";

const DRIFT_MAX = 0.0005;
const FAULT_MIN_MS = 50;
const FAULT_MAX_MS = 8000;
const CHECK_INTERVAL_MS = 1000;
const RESTART_MS = 500;
/** Chassis whose bounds are looked at each time, in turn. */
const CHECKED_MAX = 100;
/** Of one process: two of the replicator and the membership, those of the paths, requests. */
const TIMERS_MAX = 40;
/** Users wait for a barrier that is busy, as the API does: so long, with a look now and then. */
const WISH_POLL_MS = 2;
/** Of what happens to guests: users put and delete their ports; of the rest, they are heard. */
const GUEST_WISH_RATE = 0.4;
const HEARD_RATE = 0.4;
const PLUGGED_RATE = 0.8;
/** Of more chassis, packets are not looked at: there are too many pairs. */
const PASSAGE_MAX = 128;

type Said = ReturnType<Store["transact"]>;

/** What happened, by name. */
export type Tally = Map<string, number>;

export class Simulation {
  readonly world: World;
  readonly plan: Plan;
  readonly underlay: Underlay;
  readonly nats: NatsPath;
  readonly links: LinkPath;
  readonly machines: readonly Machine[];
  readonly oracle: Oracle;
  readonly passage: Passage | null;
  readonly claims: ClaimWatch | null;
  readonly gateways: GatewayWatch | null;
  readonly tally: Tally = new Map();
  readonly spread = new Spread();
  readonly #chassis = new Map<Machine, Chassis>();
  readonly #seams: Seams;
  readonly #ends = new Set<() => void>();
  #isStorm = true;
  #checkedCount = 0;
  /** Tells who looks at packets what a store has written, if it has not been told yet. */
  readonly #tellWritten = new Map<Machine, (isDone?: boolean) => void>();
  /** Whose store a user asks now, and what that would make of it. */
  #asking: Machine | null = null;
  #asked: readonly DiskRecord[] = [];

  constructor(world: World, plan: Plan, seams: Seams) {
    this.world = world;
    this.plan = plan;
    this.#seams = seams;
    const { chassisCount: count, delayMaxMs, lossRate, repeatRate, reorderRate } = plan;
    this.underlay = new Underlay(world, count);
    this.underlay.delayMaxMs = delayMaxMs;
    this.nats = new NatsPath(world, this.underlay, count);
    this.links = new LinkPath(world, this.underlay);
    Object.assign(this.nats, { lossRate, repeatRate, reorderRate });
    this.machines = Array.from({ length: count }, (_, index) => {
      const drift = world.between(-DRIFT_MAX, DRIFT_MAX);
      return new Machine(world, index, new SimulatedDisk(), drift);
    });
    const oracle = new Oracle(this.machines, plan.isWatched);
    this.oracle = oracle;
    const isPassage = plan.isWatched && count <= PASSAGE_MAX;
    this.passage = isPassage ? new Passage(oracle.fail.bind(oracle)) : null;
    const { holder } = seams;
    const tell = (what: string): void => this.#count(what);
    const isClaimed = plan.guestCount > 0 || plan.gateways.length > 0;
    this.claims = isClaimed ? new ClaimWatch(oracle.fail.bind(oracle), tell, holder) : null;
    const names = plan.gateways.map(({ name }) => name);
    const isWatched = names.length > 0;
    this.gateways = isWatched ? new GatewayWatch(names, oracle.fail.bind(oracle), tell) : null;
    for (const { name, members } of plan.gateways) this.#plugIn(outsideName(name), members);
    for (const machine of this.machines) {
      world.after(world.between(0, 1000), () => this.start(machine));
    }
    for (const [name, meanMs] of plan.faults) this.#expect(name, meanMs);
    this.#expectWish();
    if (isClaimed) this.#expectGuest();
    this.#expectCheck();
  }

  /** Starts the chassis of a machine, unless it runs. */
  start(machine: Machine): void {
    if (machine.process !== null) return;
    const { world, oracle, passage, claims } = this;
    const process = new Process(machine);
    machine.process = process;
    let holdings: Holdings = new Map();
    let written: readonly DiskRecord[] | null = null;
    const tellWritten = (isDone = true): void => {
      if (isDone && written !== null) passage?.changed(machine, written, chassis.store.vector);
      written = null;
    };
    this.#tellWritten.set(machine, tellWritten);
    process.onEnd(() => this.spread.stopped(machine, world.nowMs));
    process.onEnd(() => passage?.stopped(machine));
    process.onEnd(() => claims?.stopped(machine));
    world.log(`${machine.name} starts`);
    const chassis = startChassis({
      ...{ process, disk: machine.disk, nats: this.nats.connect(process) },
      links: this.plan.hasLinks ? this.links.connect(process) : null,
      ...{ names: this.machines.map(({ name }) => name), seams: this.#seams },
      isSigned: this.plan.isSigned,
      onKept: (records) => oracle.kept(machine, records),
      onWrite: (records) => {
        if (process.isDead) return;
        written = records;
        if (this.#asking === machine) this.#asked = records;
        else oracle.changed(machine, records);
      },
      onChange: (entries, source, portions) => {
        if (process.isDead) return;
        world.log(`${machine.name} ${source} ${JSON.stringify(entries)}`);
        oracle.authored(machine, portions);
        tellWritten();
        claims?.changed(machine, entries, source === "local", chassis.store.snapshot());
        if (source === "peer") this.spread.changed(machine, chassis.store, world.nowMs);
      },
      onStart: (store) => {
        holdings = oracle.started(machine, store);
      },
      onSay: (store, changes, by) => this.#transact(machine, store, changes, by ?? "chassis"),
      onCompile: tellWritten,
      hasGateways: this.gateways !== null,
      passage,
    });
    if (chassis.ports.gateways !== null) this.gateways?.started(process, chassis.ports.gateways);
    const { tables, barrier } = chassis;
    passage?.started({ machine, tables, barrier }, new Map(holdings));
    claims?.started(machine, chassis.store.snapshot(), claimantOf(chassis));
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
    machine.knownKeys.clear();
    this.oracle.lostDisk(machine);
  }

  /** The workers of a chassis, which runs, take no tables up; returns what ends it. */
  hangWorkers(machine: Machine): () => void {
    this.world.log(`${machine.name} has workers that hang`);
    return this.#chassis.get(machine)!.tables.hang();
  }

  damageDisk(machine: Machine): void {
    const key = machine.disk.damage(this.world.random);
    this.world.log(`${machine.name} has lost ${key} from its disk`);
    if (key !== undefined) this.oracle.lostDisk(machine, key);
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
    const roots = [...this.#chassis.values()].map(({ store }) => store.root);
    return roots.every((root) => root === roots[0]);
  }

  /** Whether every chassis holds every other one for alive. */
  get allAlive(): boolean {
    return this.machines.every((machine) => {
      const members = this.#chassis.get(machine)!.membership.members();
      return members.length === this.machines.length - 1 && members.every(isAlive);
    });
  }

  /** Whether every chassis says of every other one that it holds the same. */
  get allSayTheSame(): boolean {
    return this.machines.every((machine) => {
      const peers = this.#chassis.get(machine)!.replicator.peers();
      return peers.length === this.machines.length - 1 && peers.every(({ isInSync }) => isInSync);
    });
  }

  /** Fetches begun since the start of the processes. */
  get pullCount(): number {
    return this.#sum(({ replicator }) => replicator.counters.pulls);
  }

  /** Nothing is to be claimed any more. */
  checkClaims(): void {
    this.claims?.checkEnd();
    const [first] = this.#chassis.values();
    const state = first!.store.snapshot();
    this.gateways?.checkEnd(state, (port) => {
      return holderOf(get(state, "port", port)!.value, claimsOf(state, port));
    });
  }

  /** Whether each gateway that could have one has somebody who forwards. */
  get gatewaysSettled(): boolean {
    const [first] = this.#chassis.values();
    const byName = new Map([...this.#chassis].map(([{ name }, chassis]) => [name, chassis]));
    const isUp = (name: string, port: string): boolean => {
      return byName.get(name)?.ports.devices.isUp(port) === true;
    };
    return this.gateways?.isSettled(first!.store.snapshot(), isUp) ?? true;
  }

  checkEnd(): void {
    this.oracle.checkEnd(
      new Map([...this.#chassis].map(([machine, { store }]) => [machine, store])),
    );
  }

  #sum(countOf: (chassis: Chassis) => number): number {
    return [...this.#chassis.values()].reduce((sum, chassis) => sum + countOf(chassis), 0);
  }

  #count(what: string): void {
    this.tally.set(what, (this.tally.get(what) ?? 0) + 1);
  }

  /** A user asks one chassis, which runs. */
  ask(machine: Machine, changes: readonly Change[]): void {
    this.#transact(machine, this.#chassis.get(machine)!.store, changes, "user");
  }

  /** As a real chassis does when it starts; where it cannot, it is started again and again. */
  #introduce(machine: Machine, chassis: Chassis): void {
    const { process } = machine;
    const said = this.#transact(machine, chassis.store, [introductionOf(machine)], "chassis");
    if (!said.ok) process?.after(RESTART_MS, () => this.#introduce(machine, chassis));
  }

  #transact(machine: Machine, store: Store, changes: readonly Change[], by: Author): Said {
    const { oracle } = this;
    // One may lead to another, in the middle of the first: what that has written comes before.
    const asking = this.#asking;
    this.#tellAsked();
    this.#tellWritten.get(machine)?.();
    this.#asking = machine;
    const process = machine.process!;
    const result = store.transact(changes, by);
    const isLast = store.clockOf(machine.name) === (result.ok ? result.value.revision : 0);
    if (result.ok && !process.isDead) this.#tellAsked();
    this.#asked = [];
    this.#asking = asking;
    if (!result.ok) this.#tellWritten.get(machine)?.(false);
    if (process.isDead) {
      this.#count("writes without an answer");
      for (const change of changes) this.#tellSole(machine, change, false);
    } else if (result.ok) {
      this.#count("writes");
      // What a chassis says of a port it may say otherwise before anybody could look.
      if (isLast || by === "user") oracle.acknowledged(machine, result.value, store);
      const { revision, entries } = result.value;
      const isNews = by === "user" && entries.length > 0;
      if (isNews) this.spread.written(machine, revision, this.world.nowMs, this.machines);
      for (const change of changes) this.#tellSole(machine, change, true);
    } else {
      this.#count(`writes refused: ${result.error.code}`);
    }
    return result;
  }

  #tellAsked(): void {
    const machine = this.#asking;
    if (machine === null || this.#asked.length === 0) return;
    this.oracle.wrote(machine, this.#asked);
    this.oracle.changed(machine, this.#asked);
    this.#asked = [];
  }

  #tellSole(machine: Machine, change: Change, isCertain: boolean): void {
    const key = keyOfChange(change);
    if (!isSole(key, machine.name)) return;
    const value = JSON.stringify(change.op === "put" ? change.document : null);
    this.oracle.toldSole(machine, key, value, isCertain);
  }

  #expectGuest(): void {
    const { world, plan } = this;
    world.after(world.waiting(plan.guestMeanMs), () => {
      if (!this.#isStorm) return;
      if (world.chance(GUEST_WISH_RATE)) this.#wish(world.pick(this.machines)!, null, true);
      else this.#doWithGuest(world.pick(guestPorts(plan))!);
      this.#expectGuest();
    });
  }

  /** Most members of a gateway have its device from the start. */
  #plugIn(port: string, members: readonly string[]): void {
    for (const { name, devices } of this.machines) {
      if (members.includes(name) && this.world.chance(PLUGGED_RATE)) devices.add(port);
    }
  }

  /** A device comes or goes, or a guest is heard where its port comes to; users do the rest. */
  #doWithGuest(port: string): void {
    const { world } = this;
    const machine = world.pick(this.machines)!;
    const chassis = machine.process === null ? undefined : this.#chassis.get(machine);
    if (world.chance(HEARD_RATE)) {
      machine.process?.after(0, () => chassis?.ports.awaken(port));
    } else if (machine.devices.delete(port)) {
      world.log(`${machine.name} has no device of ${port} any more`);
      chassis?.ports.devices.unplugged(port);
    } else {
      world.log(`${machine.name} has a device of ${port}`);
      machine.devices.add(port);
    }
  }

  #expectWish(): void {
    const { world, plan } = this;
    world.after(world.waiting(plan.habits.meanMs), () => {
      if (!this.#isStorm) return;
      this.#wish(world.pick(this.machines)!, null);
      this.#expectWish();
    });
  }

  /** A user wishes for something, and gets it when that does not disturb others. */
  #wish(machine: Machine, endMs: number | null, isOfGuest = false): void {
    const { world, plan } = this;
    const chassis = this.#chassis.get(machine);
    const isRunning = machine.process?.isPaused === false;
    if (!this.#isStorm || chassis === undefined || !isRunning) return;
    const untilMs = endMs ?? world.nowMs + writeWaitMs(chassis.barrier);
    if (chassis.barrier.isBusy && world.nowMs < untilMs) {
      world.after(WISH_POLL_MS, () => this.#wish(machine, untilMs, isOfGuest));
      return;
    }
    const changes = isOfGuest
      ? wishOfGuest(world, plan, chassis.store)
      : wish(world, plan.habits, machine.name, chassis.store);
    this.#transact(machine, chassis.store, changes, "user");
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
      const { machines } = this;
      for (let i = 0; i < Math.min(CHECKED_MAX, machines.length); i++) {
        this.#checkBounds(machines[this.#checkedCount++ % machines.length]!);
      }
      this.#expectCheck();
    });
  }

  #checkBounds(machine: Machine): void {
    const { process, name, disk } = machine;
    if (process === null) return;
    const { store, replicator, membership } = this.#chassis.get(machine)!;
    this.spread.changed(machine, store, this.world.nowMs);
    if (!this.plan.isWatched) return;
    const [keysMax, peersMax] = [this.oracle.keyCount, this.machines.length - 1];
    const limits: readonly (readonly [string, number, number])[] = [
      ["entries", store.entries().length, keysMax],
      ["rows on its disk", disk.rowCount, keysMax],
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

function claimantOf({ membership, ports }: Chassis): Claimant {
  return {
    isDead: (name) => {
      return membership.members().some((each) => each.name === name && each.status === "dead");
    },
    awake: () => ports.awake,
    isUp: (port) => ports.devices.isUp(port),
  };
}

/** What a chassis says of itself. */
export function introductionOf({ name, index }: Machine): Change {
  const underlay = `10.1.${index >> 8}.${index & 255}`;
  const document = { kind: "chassis", name, underlay, workers: 2, version: "1" };
  return { op: "put", document };
}

function isAlive({ status }: { readonly status: string }): boolean {
  return status === "alive";
}
