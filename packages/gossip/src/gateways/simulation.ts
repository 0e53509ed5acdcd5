/**
 * For tests: the gateways of a few simulated chassis on the ground of ../simulation, in a storm of
 * partitions, one-way cuts, pauses, crashes and lost messages, with clocks whose rates differ by up
 * to a hundredth either way. After each event it looks whether two chassis forward for one gateway.
 *
 * The workers of a chassis go by the lease alone: while its control thread is paused, they go on.
 */
import { FallbackTransport } from "../peer-link/fallback-transport.ts";
import { Refusals } from "../refusals.ts";
import { SimulatedDisk } from "../simulation/disk.ts";
import { LinkPath } from "../simulation/link-path.ts";
import { Machine, Process } from "../simulation/machine.ts";
import { NatsPath } from "../simulation/nats-path.ts";
import { Underlay } from "../simulation/underlay.ts";
import { World } from "../simulation/world.ts";
import type { Transport } from "../transport.ts";
import { Gateways } from "./gateways.ts";
import type { Candidate, Group } from "./group.ts";
import { decode, encode, type Heartbeat } from "./messages.ts";

export const DRIFT_MAX = 0.01;
const GATEWAYS = ["g0", "g1"];
const STARTS_WITHIN_MS = 1000;
const FAULT_MEAN_MS = 1500;
const FAULT_MIN_MS = 50;
const FAULT_MAX_MS = 5000;
/** In which a changed document is everywhere. */
const SPREAD_MAX_MS = 2000;

export interface SimulationOptions {
  readonly seed: number;
  readonly machineCount: number;
  /** Rates of the clocks differ from the true one by that part at most. */
  readonly driftMax?: number;
  /** What chassis `name` makes of a heartbeat, when it has sent `sent` last. */
  readonly misread?: (heard: Heartbeat, name: string, sent: Heartbeat) => Heartbeat;
}

/** A chassis that runs. */
interface Running {
  readonly process: Process;
  readonly gateways: Gateways;
  /** Until when its workers forward, on its own clock, by gateway. */
  readonly leases: Map<string, number>;
}

/** A change of who forwards. */
export interface TurnOver {
  readonly atMs: number;
  readonly gateway: string;
  readonly by: string;
  readonly epoch: number;
}

export class GatewaySimulation {
  readonly world: World;
  readonly machines: readonly Machine[];
  readonly underlay: Underlay;
  readonly nats: NatsPath;
  readonly links: LinkPath;
  readonly groups = new Map<string, Group>();
  readonly turnOvers: TurnOver[] = [];
  /** The first time that two forwarded for one gateway. */
  violation: string | null = null;
  readonly #options: SimulationOptions;
  readonly #running = new Map<Machine, Running>();
  readonly #downDevices = new Set<string>();
  readonly #ends = new Set<() => void>();
  #isStorm = false;

  constructor(options: SimulationOptions) {
    const { seed, machineCount, driftMax = DRIFT_MAX } = options;
    this.#options = options;
    const world = new World(seed);
    this.world = world;
    this.underlay = new Underlay(world, machineCount);
    this.nats = new NatsPath(world, this.underlay, machineCount);
    this.links = new LinkPath(world, this.underlay);
    this.machines = Array.from({ length: machineCount }, (_, index) => {
      return new Machine(world, index, new SimulatedDisk(), world.between(-driftMax, driftMax));
    });
    for (const name of GATEWAYS) this.groups.set(name, this.#someGroup());
    for (const machine of this.machines) {
      world.after(world.between(0, STARTS_WITHIN_MS), () => this.start(machine));
    }
  }

  async run(forMs: number): Promise<void> {
    await this.world.run(this.world.nowMs + forMs, () => {
      this.#look();
      return this.violation !== null;
    });
  }

  /** From now on things go wrong, until `calm`. */
  storm(): void {
    this.#isStorm = true;
    const { world, nats } = this;
    if (world.chance(0.5)) nats.lossRate = world.between(0, 0.4);
    if (world.chance(0.5)) nats.repeatRate = world.between(0, 0.4);
    if (world.chance(0.5)) nats.reorderRate = world.between(0, 0.4);
    if (world.chance(0.3)) this.underlay.delayMaxMs = world.between(5, 250);
    this.#expectFault();
  }

  /** Nothing goes wrong from now on, and all run. */
  calm(): void {
    this.#isStorm = false;
    for (const end of [...this.#ends]) end();
    Object.assign(this.nats, { lossRate: 0, repeatRate: 0, reorderRate: 0 });
    this.underlay.delayMaxMs = 1;
    for (const machine of this.machines) this.start(machine);
  }

  /** Chassis that forward now. */
  forwarders(gateway: string): string[] {
    return [...this.#running.values()]
      .filter(({ process, leases }) => (leases.get(gateway) ?? -1) > process.now())
      .map(({ process }) => process.machine.name);
  }

  start(machine: Machine): void {
    if (machine.process !== null) return;
    const process = new Process(machine);
    machine.process = process;
    const { now, setTimer } = process;
    const [nats, links] = [this.nats.connect(process), this.links.connect(process)];
    const both = new FallbackTransport({ nats, links, now, setTimer });
    const transport = this.#misreading(both, machine.name);
    const leases = new Map<string, number>();
    const gateways = new Gateways({
      ...{ self: machine.name, incarnation: machine.wallClock(), transport, now, setTimer },
      refusals: new Refusals({ now }),
      send: transport.sendTo,
      onLease: (gateway, untilMs) => void leases.set(gateway, untilMs),
      onTurn: (gateway, { isActive, epoch }) => {
        if (!isActive) return;
        const turnOver = { atMs: this.world.nowMs, gateway, by: machine.name, epoch };
        this.turnOvers.push(turnOver);
        this.world.log(JSON.stringify(turnOver));
      },
    });
    const running = { process, gateways, leases };
    this.#running.set(machine, running);
    process.onEnd(() => this.#running.delete(machine));
    this.#configure(running);
  }

  kill(machine: Machine): void {
    machine.process?.kill();
  }

  /** Puts other documents in force, at each chassis a while later. */
  change(gateway: string, group: Group, withinMs = SPREAD_MAX_MS): void {
    this.groups.set(gateway, group);
    for (const machine of this.machines) {
      this.world.after(this.world.between(0, withinMs), () => {
        const running = this.#running.get(machine);
        running?.process.after(0, () => this.#configure(running));
      });
    }
  }

  /** Takes the device of a gateway's port away; returns what brings it back. */
  unplug(machine: Machine, gateway: string): () => void {
    const key = `${machine.name} ${gateway}`;
    const tell = (isUp: boolean): void => {
      if (isUp) this.#downDevices.delete(key);
      else this.#downDevices.add(key);
      const running = this.#running.get(machine);
      running?.process.after(0, () => running.gateways.setDevice(gateway, isUp));
    };
    tell(false);
    return () => tell(true);
  }

  #misreading(both: FallbackTransport, name: string): Transport & Pick<typeof both, "sendTo"> {
    const { misread } = this.#options;
    let sent: Heartbeat | null = null;
    const read = (data: Uint8Array): Uint8Array => {
      return misread === undefined || sent === null
        ? data
        : encode(misread(decode(data)!, name, sent));
    };
    return {
      sendTo: (peer, subject, data, way) => {
        sent = decode(data);
        both.sendTo(peer, subject, data, way);
      },
      publish: (subject, data) => both.publish(subject, data),
      subscribe: (subject, handler) => {
        return both.subscribe(subject, (data, respond, full) => handler(read(data), respond, full));
      },
      request: (subject, data, timeoutMs) => both.request(subject, data, timeoutMs),
      onReconnect: (listener) => both.onReconnect(listener),
      isConnected: true,
      close: () => both.close(),
    };
  }

  #configure({ gateways, process }: Running): void {
    gateways.setGroups(this.groups);
    for (const name of this.groups.keys()) {
      gateways.setDevice(name, !this.#downDevices.has(`${process.machine.name} ${name}`));
    }
  }

  /** Three to all of the machines, of which two or more are members. */
  #someGroup(): Group {
    const { world, machines } = this;
    const names = machines.map(({ name }) => name).sort(() => world.random() - 0.5);
    const voters = names.slice(0, Math.max(3, Math.ceil(world.random() * names.length)));
    const memberCount = Math.max(2, Math.ceil(world.random() * voters.length));
    const isRanked = world.chance(0.5);
    return {
      members: voters.slice(0, memberCount).map((chassis) => {
        const priority = isRanked ? Math.floor(world.random() * 3) : 0;
        return { chassis, priority, isDrained: false };
      }),
      witnesses: voters.slice(memberCount),
    };
  }

  #look(): void {
    for (const gateway of this.groups.keys()) {
      const names = this.forwarders(gateway);
      if (names.length < 2) continue;
      const atMs = this.world.nowMs.toFixed(3);
      this.violation ??= `${names.join(" and ")} forward for ${gateway} at ${atMs} ms`;
    }
  }

  #expectFault(): void {
    const { world } = this;
    world.after(world.waiting(FAULT_MEAN_MS), () => {
      if (!this.#isStorm) return;
      const undo = world.pick(FAULTS)!(this);
      if (undo !== null) {
        const end = (): void => {
          if (this.#ends.delete(end)) undo();
        };
        this.#ends.add(end);
        world.after(world.between(FAULT_MIN_MS, FAULT_MAX_MS), end);
      }
      this.#expectFault();
    });
  }
}

/** Each strikes once, and returns what ends it; null: it has no end. */
type Fault = (simulation: GatewaySimulation) => (() => void) | null;

const FAULTS: readonly Fault[] = [
  ({ world, machines, underlay }) => {
    return underlay.partition(machines.map(() => Math.floor(world.random() * 2)));
  },
  ({ world, machines, underlay }) => {
    return underlay.cut(world.pick(machines)!.index, world.pick(machines)!.index);
  },
  // Two that do not hear each other, and are both heard by the rest.
  ({ world, machines, underlay }) => {
    const [a, b] = [world.pick(machines)!.index, world.pick(machines)!.index];
    const undo = [underlay.cut(a, b), underlay.cut(b, a)];
    return () => {
      for (const end of undo) end();
    };
  },
  ({ world, machines, nats }) => nats.hangServer(world.pick(machines)!),
  ({ world, machines, nats }) => nats.stopServer(world.pick(machines)!),
  ({ links }) => links.block(),
  ({ world, machines }) => {
    const process = world.pick(machines)!.process;
    process?.pause();
    return () => process?.resume();
  },
  (simulation) => {
    const machine = simulation.world.pick(simulation.machines)!;
    simulation.kill(machine);
    return () => simulation.start(machine);
  },
  ({ world, machines }) => {
    world.pick(machines)!.wallStepMs += world.between(-3_600_000, 3_600_000);
    return null;
  },
  ({ nats }) => {
    nats.replay();
    return null;
  },
  (simulation) => {
    const { world, machines, groups } = simulation;
    return simulation.unplug(world.pick(machines)!, world.pick([...groups.keys()])!);
  },
  (simulation) => {
    const { world, groups } = simulation;
    const [name, group] = world.pick([...groups])!;
    const members = group.members.map((member): Candidate => {
      return world.chance(0.3) ? { ...member, isDrained: !member.isDrained } : member;
    });
    simulation.change(name, { ...group, members });
    return null;
  },
];
