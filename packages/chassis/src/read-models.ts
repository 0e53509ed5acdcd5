/**
 * What the API shows of the running chassis, gathered from counters in shared memory.
 */
import type { CountersView, StageView } from "@rhone/api/context";
import type { BeginCounts } from "@rhone/gossip/barrier";
import { TOPICS, type TopicCounts } from "@rhone/gossip/metered-transport";
import { STAGES } from "@rhone/pipeline-stages/pipeline";
import { type Counters, type DeviceCounts, TUNNEL_DEVICE } from "@rhone/rings/counters";
import { DROP_REASON_COUNT, dropReasonName, dropReasonText } from "@rhone/rings/drop-reason";
import { mayResume } from "@rhone/wire/resume";
import { FULL_REASONS, type FullReason } from "./compile-step.ts";
import type { CompileCounts } from "./compiler.ts";
import type { MoveCounts } from "./connection-moves.ts";
import type { Dataplane } from "./dataplane.ts";
import type { Devices } from "./devices.ts";
import type { EarlySender } from "./early-senders.ts";

/** The sixteen stages as they are compiled in. */
export function pipelineView(): StageView[] {
  return STAGES.map(({ name, job }, number) => ({
    number,
    name,
    job: job === "" ? "none yet: passes every packet on" : job,
    resumable: mayResume(number),
  }));
}

/** Every counter of the chassis, summed over its workers. */
export function countersView(
  chassis: string,
  dataplane: Dataplane,
  devices: Devices,
  changes: {
    readonly compilations: CompileCounts;
    readonly beginnings: BeginCounts;
    readonly moves: MoveCounts;
  },
  topics: readonly TopicCounts[],
  senders: readonly EarlySender[],
): CountersView {
  const { steps, full } = changes.compilations;
  // Those of workers that are gone count as well: what they did has happened.
  const workers = dataplane.memory.counters;
  return {
    chassis,
    workers: workers
      .map((counters, index) => ({ index, ...counters.worker() }))
      .filter(({ loops }) => loops > 0),
    stages: STAGES.map(({ name }, number) => ({
      number,
      name,
      packets: total(workers, (counters) => counters.stage(number).packets),
      batches: total(workers, (counters) => counters.stage(number).batches),
      drops: total(workers, (counters) => counters.stage(number).drops),
    })),
    drops: Array.from({ length: DROP_REASON_COUNT }, (_, reason) => ({
      reason: dropReasonName(reason),
      text: dropReasonText(reason),
      packets: total(workers, (counters) => counters.dropped(reason)),
    })).filter(({ packets }) => packets > 0),
    devices: devices.list().map(({ device, port, worker, index }) => ({
      device,
      port,
      worker,
      ...deviceCounts(workers, index),
    })),
    tunnel: deviceCounts(workers, TUNNEL_DEVICE),
    connections: { ...dataplane.connections(), ...changes.moves },
    early: {
      held: total(workers, (counters) => counters.early().held),
      released: total(workers, (counters) => counters.early().released),
      expired: total(workers, (counters) => counters.early().expired),
      refused: total(workers, (counters) => counters.early().refused),
      senders: senders.map(({ chassis, address, atMs }) => {
        return { chassis, address, ageMs: Math.round(performance.now() - atMs) };
      }),
    },
    compilations: {
      steps,
      full: Object.entries(FULL_REASONS)
        .map(([reason, text]) => ({ reason, text, count: full[reason as FullReason] }))
        .filter(({ count }) => count > 0),
    },
    messages: topics.map((counts) => ({ text: TOPICS[counts.topic], ...counts })),
    beginnings: changes.beginnings,
  };
}

function deviceCounts(workers: readonly Counters[], index: number): DeviceCounts {
  const of = (field: keyof DeviceCounts): number =>
    total(workers, (counters) => counters.device(index)[field]);
  return {
    rxPackets: of("rxPackets"),
    rxBytes: of("rxBytes"),
    txPackets: of("txPackets"),
    txBytes: of("txBytes"),
    drops: of("drops"),
  };
}

function total(workers: readonly Counters[], figure: (counters: Counters) => number): number {
  return workers.reduce((sum, counters) => sum + figure(counters), 0);
}
