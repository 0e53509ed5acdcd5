/**
 * Puts one worker together from its plan: ports, rings, tables, stages, loop; and obeys its
 * mailbox.
 */
import { receiveMessageOnPort } from "node:worker_threads";
import { QUEUES_MAX } from "@rhone/netio/device";
import { Poller } from "@rhone/netio/doorbell";
import { FrameReceiver } from "@rhone/netio/frame-receiver";
import { outerSizeOf } from "@rhone/netio/outer-headers";
import { TunnelPaths } from "@rhone/netio/tunnel-paths";
import { parseEndpoint } from "@rhone/netio/udp-socket";
import { UdpUnderlay } from "@rhone/netio/udp-underlay";
import { XdpUnderlay } from "@rhone/netio/xdp-underlay";
import { announceRouters } from "@rhone/pipeline-stages/announce";
import { Core } from "@rhone/pipeline-stages/core";
import { BegunEdition } from "@rhone/rings/begun-edition";
import { NOBODY, WORKERS_MAX } from "@rhone/rings/buckets";
import { Counters, DEVICES_MAX } from "@rhone/rings/counters";
import { DeviceFences } from "@rhone/rings/device-fences";
import { DEVICE_QUEUES_MAX, DeviceQueues } from "@rhone/rings/device-queues";
import { KnowledgeTime } from "@rhone/rings/knowledge-time";
import { PickUpWindow } from "@rhone/rings/pick-up-window";
import { RingConsumer, RingProducer } from "@rhone/rings/ring";
import { RuleCounters } from "@rhone/rings/rule-counters";
import { SlotAllocator } from "@rhone/rings/slot-allocator";
import { WorkerStatus } from "@rhone/rings/worker-status";
import { rebuild } from "@rhone/tables/connections";
import { Fragments } from "@rhone/tables/fragments";
import { type Generation, Tables } from "@rhone/tables/generation";
import { forgetConnections, takeConnections } from "./arriving-connections.ts";
import { HandOver, type Luggage } from "./bucket-hand-over.ts";
import { Departures } from "./departures.ts";
import { EARLY_MAX, EarlyPackets } from "./early-packets.ts";
import { mayJoin } from "./hand-off.ts";
import { HeldPackets } from "./held-packets.ts";
import { ORPHANS_MAX, OrphanFragments } from "./orphan-fragments.ts";
import type { Command, Report, SlotAccount, WorkerPlan } from "./plan.ts";
import { RunLoop } from "./run-loop.ts";
import { SlotFlow } from "./slot-flow.ts";
import { TableHistory } from "./table-history.ts";
import { WorkerPorts } from "./worker-ports.ts";

/** Every queue of every device; the tunnel's sockets, at most one a worker; the doorbell. */
const POLLED_MAX = DEVICES_MAX * QUEUES_MAX + WORKERS_MAX + 1;

export class Actor {
  readonly #plan: WorkerPlan;
  readonly #status: WorkerStatus;
  readonly #allocator: SlotAllocator;
  readonly #slotFlow: SlotFlow;
  readonly #history: TableHistory;
  readonly #core: Core;
  readonly #underlay: UdpUnderlay;
  /** The tunnel over AF_XDP, around the one above; null: that one is all. */
  readonly #xdpUnderlay: XdpUnderlay | null;
  readonly #poller = new Poller(POLLED_MAX);
  readonly #ports: WorkerPorts;
  readonly #handOver: HandOver;
  readonly #departures: Departures;
  readonly #early: EarlyPackets;
  readonly #orphans: OrphanFragments;
  readonly #loop: RunLoop;

  constructor(plan: WorkerPlan) {
    const { worker, workersMax, rings, returns, doorbells, underlay } = plan;
    this.#plan = plan;
    const counters = new Counters(plan.counters);
    const statuses = plan.statuses.map((status) => new WorkerStatus(status));
    this.#status = statuses[worker]!;
    const others = Array.from({ length: workersMax }, (_, i) => i).filter((i) => i !== worker);
    const incoming = others.map((from) => consumer(rings[from]![worker]!));
    const outgoing = rings[worker]!.map(producer);
    const held = consumer(rings[worker]![worker]!);
    const arrivals = others.map((from) => consumer(returns[from]![worker]!));
    const homewards = returns[worker]!.map((ring, to) => (to === worker ? null : producer(ring)));
    const { pool, slots } = plan;
    this.#allocator = new SlotAllocator(pool, worker, workersMax, homewards, arrivals, slots);
    this.#slotFlow = new SlotFlow([...incoming, held, ...arrivals], [...outgoing, ...homewards]);
    const tables = plan.tables.map(({ image, edition }) => new Tables(image, edition));
    this.#history = new TableHistory(...tables);
    const ruleCounters = new RuleCounters(plan.ruleCounters);
    const core = new Core(
      worker,
      counters,
      this.#allocator,
      this.#history.begun,
      ruleCounters,
      new Fragments(plan.fragments),
    );
    core.knowledge = new KnowledgeTime(plan.knowledge);
    core.pickUp = new PickUpWindow(plan.pickUp);
    core.fences = new DeviceFences(plan.fences);
    core.queues = new DeviceQueues(plan.queues);
    core.onAwakened = (index) => this.#report({ type: "awakened", index });
    this.#core = core;
    this.#underlay = new UdpUnderlay({
      ...{ ...underlay, allocator: this.#allocator, counters },
      socket: underlay.sockets[worker]!,
      senders: new Int32Array(underlay.senders),
      mayJoin: (at, end, source) => mayJoin(this.#history.newest, at, end, source),
    });
    this.#ports = this.#openPorts(counters);
    this.#xdpUnderlay = this.#openXdpUnderlay(counters);
    if (plan.paths !== null) this.#xdpUnderlay?.adoptPaths(new TunnelPaths(plan.paths));
    const tunnel = this.#xdpUnderlay ?? this.#underlay;
    this.#core.owners.fill(NOBODY);
    this.#core.deviceOwners.fill(NOBODY);
    this.#handOver = new HandOver({
      ...{ worker, owners: core.owners, devices: core.deviceOwners },
      sockets: new Uint8Array(underlay.sockets.length).fill(NOBODY),
      ...{ statuses, incoming, luggage: this.#luggage() },
      outgoing: outgoing.map((ring, to) => (to === worker ? null : ring)),
    });
    const neighbours = outgoing.map((ring, to) => {
      return { ring, status: statuses[to]!, doorbell: doorbells[to]! };
    });
    this.#departures = new Departures(core, this.#ports.byIndex, neighbours, tunnel);
    this.#early = this.#makeEarly(workersMax);
    this.#orphans = this.#makeOrphans(workersMax);
    this.#loop = new RunLoop({
      ...{ core, history: this.#history, underlay: tunnel, rings: incoming },
      begun: new BegunEdition(plan.begun),
      departures: this.#departures,
      ...{ handOver: this.#handOver, held: new HeldPackets(held), status: this.#status },
      ...{ early: this.#early, orphans: this.#orphans },
      doorbell: doorbells[worker]!,
      // Every thread's own clock starts with the thread.
      clockOffsetMs: performance.timeOrigin - plan.clockOriginMs,
      ...{ poller: this.#poller, open: this.#ports.open, tunnelPorts: this.#ports.tunnel },
      drainMailbox: () => this.#drainMailbox(),
      onBegun: (edition) => this.#report({ type: "begun", edition }),
      onPortDown: (port) => this.#ports.closePort(this.#ports.indexOf(port), "the device is gone"),
    });
  }

  /**
   * Runs until told to stop, then closes every port. When it fails, the ports stay as they are:
   * another worker goes on with them.
   */
  run(): void {
    const { worker, doorbells, allotment, tables } = this.#plan;
    this.#poller.add(doorbells[worker]!);
    this.#status.setAdopted(tables[0]!.edition);
    this.#handOver.adopt(allotment);
    this.#status.setRunning(true);
    this.#report({ type: "started" });
    try {
      this.#loop.run();
    } finally {
      this.#status.setRunning(false);
    }
    this.#early.clear();
    this.#orphans.clear();
    this.#ports.closeAll();
    this.#underlay.close();
    this.#allocator.flush();
  }

  #openPorts(counters: Counters): WorkerPorts {
    const { queues, address } = this.#plan.underlay;
    const outerSize = outerSizeOf(parseEndpoint(address));
    const tunnel = queues === null ? null : { queues, outerSize };
    // As many as there may ever be workers: with their number the kernel would spread flows anew.
    const queueCount = Math.min(this.#plan.workersMax, DEVICE_QUEUES_MAX);
    const context = { allocator: this.#allocator, counters, tunnel, queueCount };
    return new WorkerPorts(context, this.#poller, (report) => this.#report(report));
  }

  #makeEarly(workersMax: number): EarlyPackets {
    const core = this.#core;
    const early = new EarlyPackets({
      ...{ core, history: this.#history, limit: Math.floor(EARLY_MAX / workersMax) },
      onSender: (address, at) => {
        this.#report({ type: "early", address: [...address.subarray(at, at + 4)] });
      },
    });
    core.holdRefused = (slot) => early.holdRefused(slot);
    return early;
  }

  #makeOrphans(workersMax: number): OrphanFragments {
    const core = this.#core;
    const limit = Math.floor(ORPHANS_MAX / workersMax);
    const orphans = new OrphanFragments(core, this.#history, limit);
    core.holdOrphan = (slot) => orphans.hold(slot);
    return orphans;
  }

  #openXdpUnderlay(counters: Counters): XdpUnderlay | null {
    const { queues, address, port, senders } = this.#plan.underlay;
    if (queues === null) return null;
    return new XdpUnderlay({
      ...{ endpoint: parseEndpoint(address), port, allocator: this.#allocator, counters },
      sourcePorts: senders.byteLength / 4,
      ...{ udp: this.#underlay, queues: this.#ports.tunnel },
    });
  }

  #luggage(): Luggage {
    const { sockets } = this.#plan.underlay;
    return {
      inheritBucket: rebuild,
      stopSocket: (socket) => {
        this.#underlay.stopSocket(sockets[socket]!);
        this.#poller.remove(sockets[socket]!);
      },
      // Nothing of a flow may overtake what waits here, wherever the socket goes.
      hasLeftovers: () => this.#underlay.hasLeftovers || this.#early.count > 0,
      startSocket: (socket) => {
        this.#underlay.startSocket(sockets[socket]!);
        this.#poller.add(sockets[socket]!);
      },
      detachPort: (device) => this.#ports.detachPort(device),
      closePort: (device) => this.#ports.closePort(device, "closed"),
      passPortsOn: () => this.#ports.passOn(),
    };
  }

  #drainMailbox(): boolean {
    for (;;) {
      const received = receiveMessageOnPort(this.#plan.mailbox);
      if (received === undefined) return true;
      const command: Command = received.message;
      if (command.type === "stop") return false;
      this.#obey(command);
    }
  }

  #obey(command: Exclude<Command, { type: "stop" }>): void {
    switch (command.type) {
      case "tables":
        this.#hold(command.image, command.edition);
        break;
      case "allotment":
        this.#handOver.adopt(command.allotment);
        break;
      case "paths":
        this.#xdpUnderlay?.adoptPaths(new TunnelPaths(command.image));
        break;
      case "forget":
        this.#handOver.forget(command.worker);
        break;
      case "open":
        this.#ports.openPort(command.index, command.device, command.driver);
        break;
      case "adopt":
        if (command.state !== null) this.#ports.adoptPort(command.index, command.state);
        this.#handOver.portArrived(command.index);
        break;
      case "close":
        this.#ports.closePort(command.index, "closed");
        break;
      case "connections":
        takeConnections(this.#core, command.zone, command.records);
        break;
      case "departed":
        forgetConnections(this.#core, command.zone, command.entries);
        break;
      case "announce":
        announceRouters(this.#core, command.index);
        this.#departures.flush();
        break;
      case "account":
        this.#report({ type: "account", number: command.number, slots: this.#account() });
        break;
      default: {
        const { type } = command satisfies never as { type: unknown };
        throw new Error(`expected a command, got ${String(type)}`);
      }
    }
  }

  #hold(image: Generation, edition: number): void {
    this.#history.hold(new Tables(image, edition));
    this.#status.setAdopted(edition);
    this.#report({ type: "held", edition });
  }

  #account(): SlotAccount {
    const { smallFree, largeFree, waiting } = this.#allocator;
    return {
      free: smallFree + largeFree,
      returning: waiting,
      waiting: FrameReceiver.slotsOf(this.#allocator) + this.#underlay.slotsWaiting,
      early: this.#early.count + this.#orphans.count,
      lent: this.#ports.lent,
      expected: this.#plan.slots.length + this.#slotFlow.balance() + this.#ports.slotsMoved,
    };
  }

  #report(report: Report): void {
    this.#plan.mailbox.postMessage(report);
  }
}

function producer(ring: SharedArrayBuffer): RingProducer {
  return new RingProducer(new Int32Array(ring));
}

function consumer(ring: SharedArrayBuffer): RingConsumer {
  return new RingConsumer(new Int32Array(ring));
}
