/** What the API shows of the workers: who has what, how it fares, and where all slots are. */
import type { WorkersView } from "@rhone/api/context";
import { STAGES } from "@rhone/pipeline-stages/pipeline";
import { type Counters, FAST_PATH_CLOCK } from "@rhone/rings/counters";
import type { Dataplane } from "./dataplane.ts";
import type { Devices } from "./devices.ts";
import type { DirectTunnel } from "./direct-tunnel.ts";

type WorkerView = WorkersView["workers"][number];

const CLOCKS = [
  ...STAGES.map(({ name }, clock) => ({ clock, stage: name })),
  { clock: FAST_PATH_CLOCK, stage: "fast-path" },
];

/** Resolves when every running worker has given account of its slots. */
export async function workersView(
  chassis: string,
  dataplane: Dataplane,
  devices: Devices,
  tunnel: DirectTunnel | null,
): Promise<WorkersView> {
  const slots = await slotsOf(dataplane);
  const { memory, workersWanted } = dataplane;
  const numbers = Array.from({ length: memory.workersMax }, (_, worker) => worker);
  return {
    ...{ chassis, wanted: workersWanted, most: memory.workersMax, settled: dataplane.isComplete },
    workers: numbers.flatMap((worker) => {
      const state = stateOf(dataplane, worker);
      return state === null ? [] : [workerView(dataplane, devices, tunnel, worker, state)];
    }),
    slots,
  };
}

/** null for one that is not there and should not be. */
function stateOf(dataplane: Dataplane, worker: number): WorkerView["state"] | null {
  const isWanted = worker < dataplane.workersWanted;
  if (dataplane.running.includes(worker)) return isWanted ? "running" : "leaving";
  if (dataplane.lost.has(worker)) return "dead";
  return isWanted ? "starting" : null;
}

function workerView(
  dataplane: Dataplane,
  devices: Devices,
  tunnel: DirectTunnel | null,
  worker: number,
  state: WorkerView["state"],
): WorkerView {
  const { memory, allotment } = dataplane;
  const counters = memory.counters[worker]!;
  const countOf = (map: Uint8Array): number => map.filter((owner) => owner === worker).length;
  return {
    ...{ index: worker, state, asleep: memory.statuses[worker]!.isSleeping() },
    buckets: countOf(allotment.owners),
    devices: devices
      .list()
      .filter((device) => device.worker === worker)
      .map(({ device }) => device)
      .concat(dataplane.furtherQueuesOf(worker), tunnel?.queuesOf(worker) ?? []),
    tunnelSockets: countOf(allotment.sockets),
    ringDepth: memory.ringDepth(worker),
    ...counters.worker(),
    fills: counters.fills(),
    clocks: clocksOf(counters),
  };
}

function clocksOf(counters: Counters): WorkerView["clocks"] {
  return CLOCKS.map(({ clock, stage }) => {
    const { packets, batches, nanoseconds } = counters.clock(clock);
    return { stage, packets, batches, nanoseconds: Math.round(nanoseconds) };
  }).filter(({ batches }) => batches > 0);
}

async function slotsOf(dataplane: Dataplane): Promise<WorkersView["slots"]> {
  const accounts = [...(await dataplane.accounts()).values()];
  const sum = (figure: (account: (typeof accounts)[number]) => number): number =>
    accounts.reduce((total, account) => total + figure(account), 0);
  const parts = {
    free: sum(({ free }) => free),
    returning: sum(({ returning }) => returning),
    waiting: sum(({ waiting }) => waiting),
    early: sum(({ early }) => early),
    lent: sum(({ lent }) => lent),
  };
  const found = Object.values(parts).reduce((total, part) => total + part, 0);
  const { memory } = dataplane;
  return {
    total: memory.slotCount,
    ...parts,
    inRings: memory.slotsInRings(),
    withNobody: dataplane.slotsWithNobody(),
    unaccounted: sum(({ expected }) => expected) - found,
  };
}
