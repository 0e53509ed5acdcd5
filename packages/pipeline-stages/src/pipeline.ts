/**
 * The sixteen stages in their order. Run by every data-plane worker on each batch.
 */
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { acl } from "./acl.ts";
import { BATCH_MAX, type Batch, type Core } from "./core.ts";
import { egressAcl } from "./egress-acl.ts";
import { egressPortSecurity } from "./egress-port-security.ts";
import { l2 } from "./l2.ts";
import { loadBalancing } from "./load-balancing.ts";
import { output } from "./output.ts";
import { passThrough } from "./pass-through.ts";
import { place } from "./place.ts";
import { portSecurity } from "./port-security.ts";
import { postRouting } from "./post-routing.ts";
import { egressPreAcl, preAcl } from "./pre-acl.ts";
import { routing } from "./routing.ts";
import { egressStateful, stateful } from "./stateful.ts";

export interface Stage {
  readonly name: string;
  /** What it does, in a few words; "" while it only passes packets on. */
  readonly job: string;
  readonly run: (core: Core, batch: Batch) => void;
}

/** A stage's number is its index: the one on the wire. */
export const STAGES: readonly Stage[] = [
  { name: "port-security", job: "admit frames, stop spoofed addresses", run: portSecurity },
  { name: "pre-acl", job: "look the connection up at the flow's owner", run: preAcl },
  { name: "acl", job: "ask the rules about packets from the port", run: acl },
  { name: "qos", job: "", run: passThrough },
  {
    name: "load-balancing",
    job: "choose a backend for what goes to a load balancer",
    run: loadBalancing,
  },
  { name: "stateful", job: "commit the connection, send it on to its backend", run: stateful },
  { name: "l2", job: "answer ARP and ND, find the port of the MAC address", run: l2 },
  { name: "routing", job: "route between switches, answer for the routers", run: routing },
  { name: "post-routing", job: "cross to the destination's chassis and worker", run: postRouting },
  { name: "nat", job: "", run: passThrough },
  {
    name: "egress-pre-acl",
    job: "look the connection up in the destination's zone",
    run: egressPreAcl,
  },
  { name: "egress-acl", job: "ask the rules about packets to the port", run: egressAcl },
  { name: "egress-qos", job: "", run: passThrough },
  {
    name: "egress-stateful",
    job: "commit the connection in the destination's zone",
    run: egressStateful,
  },
  {
    name: "egress-port-security",
    job: "deliver to a port only what is its own",
    run: egressPortSecurity,
  },
  { name: "output", job: "hand the frame to the device", run: output },
];

/** One batch for each stage to start at: the packets that arrived or resume there. */
export class Arrivals {
  readonly stages: readonly Batch[];

  constructor(batches: readonly Batch[]) {
    if (batches.length !== STAGES.length) {
      throw new RangeError(`expected ${STAGES.length} batches, got ${batches.length}`);
    }
    this.stages = batches;
  }

  /** Packets of all stages. */
  count(): number {
    let count = 0;
    for (let number = 0; number < this.stages.length; number++) count += this.stages[number]!.count;
    return count;
  }
}

/**
 * Runs every arrival through the stages from where it starts. All of them must belong to the
 * generation of `core.tables`. Afterwards the arrivals are empty, and each packet is at an outlet
 * or dropped.
 */
export function runPipeline(core: Core, arrivals: Arrivals, running: Batch): void {
  runStages(core, arrivals, running);
  // What goes again is an answer, and an answer is never answered: this ends.
  while (core.again.count > 0) {
    const { slots, count } = core.again;
    core.again.count = 0;
    // Never full: the arrivals are empty by now.
    for (let i = 0; i < count; i++) arrivals.stages[packet.stage(slots[i]!)]!.add(slots[i]!);
    runStages(core, arrivals, running);
  }
}

function runStages(core: Core, arrivals: Arrivals, running: Batch): void {
  running.count = 0;
  for (let number = 0; number < STAGES.length; number++) {
    core.stage = number;
    join(core, running, arrivals.stages[number]!);
    if (running.count === 0) continue;
    const entered = running.count;
    const startedAtMs = core.isTimed ? performance.now() : 0;
    core.handedOver = 0;
    place(core, running, number);
    STAGES[number]!.run(core, running);
    if (core.isTimed) {
      core.counters.countTime(number, entered, (performance.now() - startedAtMs) * 1e6);
    }
    if (entered > core.handedOver) core.counters.countStage(number, entered - core.handedOver);
  }
}

/**
 * What arrives at this stage goes in front of what comes from the stage before: of one flow, who
 * is further on the way came first. The rings and the tunnel are asked before the devices, and
 * what the fast path leaves to go on here is followed by those of its flow that walk.
 */
function join(core: Core, running: Batch, arriving: Batch): void {
  if (arriving.count === 0) return;
  const { slots } = running;
  const joining = Math.min(BATCH_MAX - running.count, arriving.count);
  if (running.count > 0) slots.copyWithin(joining, 0, running.count);
  for (let i = 0; i < joining; i++) slots[i] = arriving.slots[i]!;
  running.count += joining;
  for (let i = joining; i < arriving.count; i++) core.drop(arriving.slots[i]!, DROP["batch-full"]);
  arriving.count = 0;
}
