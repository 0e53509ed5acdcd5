/** What can go wrong in a simulation. Each kind strikes at random times, and ends on its own. */
import type { Machine } from "./machine.ts";
import type { Simulation } from "./simulation.ts";

/** Strikes once; returns what ends it, or null when there was nothing to strike or to end. */
type Strike = (simulation: Simulation) => (() => void) | null;

export const FAULTS = {
  partition: ({ world, machines, underlay }) => {
    const sides = machines.map(() => Math.floor(world.random() * 2));
    return underlay.partition(sides);
  },
  "one-way-cut": ({ world, machines, underlay }) => {
    const [from, to] = [world.pick(machines)!, world.pick(machines)!];
    return underlay.cut(from.index, to.index);
  },
  isolation: ({ world, machines, underlay }) => {
    const alone = world.pick(machines)!;
    return underlay.partition(machines.map((machine) => (machine === alone ? 1 : 0)));
  },
  "mesh-hole": ({ world, machines, underlay }) => {
    const [a, b] = [world.pick(machines)!, world.pick(machines)!];
    return underlay.unmesh(a.index, b.index);
  },
  "nats-server-dead": ({ world, machines, nats }) => nats.stopServer(world.pick(machines)!),
  "all-nats-servers-dead": ({ machines, nats }) => {
    const undo = machines.map((machine) => nats.stopServer(machine));
    return () => {
      for (const end of undo) end();
    };
  },
  "nats-server-hung": ({ world, machines, nats }) => nats.hangServer(world.pick(machines)!),
  "all-links-dead": ({ links }) => links.block(),
  crash: (simulation) => {
    const machine = aRunning(simulation);
    if (machine === undefined) return null;
    simulation.kill(machine);
    return () => simulation.start(machine);
  },
  "crash-while-writing": (simulation) => {
    const machine = aRunning(simulation);
    if (machine === undefined) return null;
    machine.disk.killAtWrite = simulation.world.chance(0.5) ? "kept" : "lost";
    return () => {
      machine.disk.killAtWrite = null;
      simulation.start(machine);
    };
  },
  pause: (simulation) => {
    const process = aRunning(simulation)?.process;
    process?.pause();
    return () => process?.resume();
  },
  "workers-hung": (simulation) => {
    const machine = aRunning(simulation);
    return machine === undefined ? null : simulation.hangWorkers(machine);
  },
  "clock-step": ({ world, machines }) => {
    world.pick(machines)!.wallStepMs += world.between(-3_600_000, 3_600_000);
    return null;
  },
  "disk-full": ({ world, machines }) => {
    const { disk } = world.pick(machines)!;
    disk.isFull = true;
    return () => {
      disk.isFull = false;
    };
  },
  "disk-lost": (simulation) => {
    const machine = aRunning(simulation);
    if (machine === undefined) return null;
    simulation.kill(machine);
    simulation.loseDisk(machine);
    return () => simulation.start(machine);
  },
  "disk-damage": (simulation) => {
    const machine = aRunning(simulation);
    if (machine === undefined) return null;
    simulation.kill(machine);
    simulation.damageDisk(machine);
    return () => simulation.start(machine);
  },
  replay: ({ nats }) => {
    nats.replay();
    return null;
  },
  forgery: ({ plan, nats }) => {
    // Without signatures everybody is believed.
    if (plan.isSigned) nats.forge();
    return null;
  },
} as const satisfies Record<string, Strike>;

export type FaultName = keyof typeof FAULTS;
export const FAULT_NAMES = Object.keys(FAULTS) as FaultName[];

function aRunning({ world, machines }: Simulation): Machine | undefined {
  return world.pick(machines.filter(({ process }) => process !== null));
}
