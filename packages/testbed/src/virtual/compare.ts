/**
 * Runs one case through the golden router and through a virtual cluster, and holds them against
 * each other: frames, drops, counters of the stages, and that no slot is lost.
 */
import assert from "node:assert/strict";
import type { Core } from "@rhone/pipeline-stages/core";
import type { Connection } from "@rhone/tables/connection-list";
import { type Address, isIpv4 } from "@rhone/wire/address";
import type { Connection as GoldenConnection } from "../golden/connections.ts";
import { GoldenNetwork } from "../golden/network.ts";
import { GoldenRouter, type Outcome } from "../golden/router.ts";
import type { TcpState } from "../golden/tcp.ts";
import { withCuts } from "./cuts.ts";
import { describe, type Exchange } from "./exchange.ts";
import {
  type BuiltNetwork,
  buildNetwork,
  type ChangeSpec,
  changed,
  type NetworkSpec,
} from "./network-spec.ts";
import { buildFrame, conversationsOf, type Frame } from "./packet-builder.ts";
import type { PacketSpec } from "./packet-spec.ts";
import { hashOf, Random } from "./random.ts";
import { VirtualCluster } from "./virtual-cluster.ts";
import type { Copies } from "./virtual-underlay.ts";

const TUNNEL_MTU = 1418;
/** Packets at once in the cluster. */
const ROUND_MAX = 6;

export interface CaseSpec {
  readonly network: NetworkSpec;
  readonly packets: readonly PacketSpec[];
  /** One after the other, where the packets say so. */
  readonly changes: readonly ChangeSpec[];
  /** Of the scheduler and of the owners of flows. */
  readonly seed: number;
  /** Whether the underlay loses and doubles packets. */
  readonly isUnderlayBad: boolean;
  /** Stages at which packets change their worker without need. */
  readonly cuts: readonly number[];
}

/** Throws an AssertionError where the two differ. */
export function compare(spec: CaseSpec): void {
  const built = buildNetwork(spec.network);
  const copies = copiesOf(spec);
  const golden = new GoldenRouter(goldenNetwork(built), { tunnelMtu: TUNNEL_MTU, copies });
  const { state, workers, devices } = built;
  const { seed } = spec;
  const options = { seed, tunnelMtu: TUNNEL_MTU, workers, devices, hasMoves: true };
  const cluster = new VirtualCluster(state, options);
  cluster.underlay.copies = copies;
  const run = new Run(golden, cluster, built, spec.network.placements !== undefined);
  const countOf = (core: Core): number => cluster.workerCountOf(core);
  withCuts(spec.cuts, new Random(seed), countOf, () => runPackets(spec, run, golden));
}

function runPackets(spec: CaseSpec, run: Run, golden: GoldenRouter): void {
  let network = spec.network;
  let count = 0;
  for (const each of spec.packets) {
    if (each.isAfterChange && count < spec.changes.length) {
      network = changed(network, spec.changes[count++]!);
      run.change(buildNetwork(network, count));
    }
    const { crashed = null } = each;
    if (crashed !== null) run.crash(`c${crashed % spec.network.workers.length}`);
    const frame = buildFrame(each, golden.network, run.history);
    if (frame !== null) run.add(frame, each.pauseMs);
  }
  run.finishRound();
}

function goldenNetwork({ state, devices }: BuiltNetwork): GoldenNetwork {
  return new GoldenNetwork(state, new Set(devices.keys()));
}

/** What happens to a packet on the underlay is in its bytes, so that both sides see the same. */
function copiesOf({ seed, isUnderlayBad }: CaseSpec): Copies {
  if (!isUnderlayBad) return () => 1;
  return (from, to, frame) => [1, 1, 1, 0, 2][hashOf(seed, from, to, frame) % 5]!;
}

class Run {
  /** Frames that were delivered unicast, for the answers to them. */
  readonly history: Exchange[] = [];
  readonly #golden: GoldenRouter;
  readonly #cluster: VirtualCluster;
  readonly #chassis: readonly string[];
  /** Chassis whose counters are added up: all when stages run elsewhere than their packets. */
  readonly #groups: readonly (readonly string[])[];
  #round: { frame: Frame; outcome: Outcome }[] = [];
  readonly #busy = new Set<string>();
  #drops: Outcome["drops"][number][] = [];

  constructor(
    golden: GoldenRouter,
    cluster: VirtualCluster,
    { workers }: BuiltNetwork,
    hasPlacements: boolean,
  ) {
    this.#golden = golden;
    this.#cluster = cluster;
    this.#chassis = [...workers.keys()];
    this.#groups = hasPlacements ? [this.#chassis] : this.#chassis.map((chassis) => [chassis]);
  }

  /** Packets of different conversations run at the same time, those of one after each other. */
  add(frame: Frame, pauseMs: number): void {
    if (pauseMs > 0) {
      this.finishRound();
      this.#cluster.passTime(pauseMs);
    }
    const conversations = conversationsOf(frame.bytes, this.#golden.network);
    const mustWait = conversations.some((each) => this.#busy.has(each));
    if (mustWait || this.#round.length === ROUND_MAX) this.finishRound();
    for (const each of conversations) this.#busy.add(each);
    const outcome = this.#golden.receive(frame.port, frame.bytes, this.#cluster.nowMs);
    this.#round.push({ frame, outcome });
    this.#cluster.receive(frame.port, frame.bytes);
    if (outcome.deliveries.length === 1) {
      const { port, bytes } = outcome.deliveries[0]!;
      this.history.push({ from: frame.port, sent: frame.bytes, to: port, delivered: bytes });
    }
  }

  /** Everybody gets another state, one after the other, while packets are on their way. */
  change(built: BuiltNetwork): void {
    this.#cluster.takeIn();
    for (const chassis of this.#chassis) {
      this.#cluster.runABit();
      this.#cluster.publish(chassis, built.state);
    }
    this.finishRound();
    this.#golden.network = goldenNetwork(built);
  }

  crash(chassis: string): void {
    this.finishRound();
    this.#cluster.crash(chassis);
    this.#golden.crash(chassis, this.#cluster.nowMs);
  }

  finishRound(): void {
    this.#cluster.runToTheEnd();
    const context = this.#round
      .map(({ frame }) => `${frame.port} sent ${describe(frame.bytes)}`)
      .join("\n");
    const expected = this.#round.flatMap(({ outcome }) => outcome.deliveries);
    assert.deepEqual(framesOf(this.#cluster.take()), framesOf(expected), `frames of\n${context}`);
    this.#drops.push(...this.#round.flatMap(({ outcome }) => outcome.drops));
    this.#compareCounters(context);
    this.#compareConnections(context);
    assert.equal(this.#cluster.freeSlots, this.#cluster.slotCount, `slots after\n${context}`);
    this.#round = [];
    this.#busy.clear();
  }

  #compareConnections(context: string): void {
    const { nowMs } = this.#cluster;
    const actual = [...this.#cluster.connections()].flatMap(([port, all]) =>
      all.map((each) => describeProduct(port, each, nowMs)),
    );
    const expected = this.#golden.network.ports.flatMap(({ name }) =>
      this.#golden.connections.of(name, nowMs).map((each) => describeGolden(name, each, nowMs)),
    );
    assert.deepEqual(actual.sort(), expected.sort(), `connections after\n${context}`);
  }

  #compareCounters(context: string): void {
    for (const group of this.#groups) {
      const counts = group.map((chassis) => this.#cluster.counts(chassis));
      const own = this.#drops.filter((drop) => group.includes(drop.chassis));
      const where = `at ${group} after\n${context}`;
      const reasons = new Map<string, number>();
      for (const [reason, count] of counts.flatMap((each) => [...each.reasons])) {
        reasons.set(reason, (reasons.get(reason) ?? 0) + count);
      }
      const expected = countsOf(own.map(({ reason }) => reason));
      assert.deepEqual(sorted(reasons), sorted(expected), `reasons ${where}`);
      const stages = countsOf(own.map(({ stage }) => String(stage)));
      const drops = sumsOf(counts.map((each) => each.drops));
      const expectedDrops = drops.map((_, stage) => stages.get(String(stage)) ?? 0);
      assert.deepEqual(drops, expectedDrops, `drops of stages ${where}`);
      const packets = sumsOf(counts.map((each) => each.packets));
      const golden = sumsOf(group.map((chassis) => this.#golden.packets(chassis)));
      assert.deepEqual(packets, golden, `packets of stages ${where}`);
      for (const [index, { name }] of this.#golden.network.rules.entries()) {
        const counted = group.map((chassis) => this.#cluster.ruleHits(chassis, index));
        const hits = group.map((chassis) => this.#golden.ruleHits.get(`${chassis} ${name}`) ?? 0);
        assert.equal(totalOf(counted), totalOf(hits), `hits of ${name} ${where}`);
      }
    }
  }
}

/** Column by column. */
function sumsOf(lists: readonly (readonly number[])[]): number[] {
  return lists[0]!.map((_, i) => totalOf(lists.map((list) => list[i]!)));
}

function totalOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, each) => sum + each, 0);
}

const TCP_STATES: readonly TcpState[] = [
  ...(["new", "syn-sent", "syn-received", "established", "fin-wait", "close-wait"] as const),
  ...(["last-ack", "time-wait", "closed", "both-syn-sent"] as const),
];

function describeGolden(port: string, connection: GoldenConnection, nowMs: number): string {
  const { tuple, isReplySeen, isBlocked, tcp, expiresMs } = connection;
  const { protocol, source, destination, sourcePort, destinationPort } = tuple;
  const flags = `${isReplySeen ? "replied" : ""} ${isBlocked ? "blocked" : ""}`;
  const what = `${protocol} ${source} ${sourcePort} > ${destination} ${destinationPort}`;
  return `${port} ${what} ${flags} ${tcp?.state ?? "new"} ${expiresMs - nowMs}`;
}

function describeProduct(port: string, connection: Connection, nowMs: number): string {
  const { protocol, sourcePort, destinationPort, isReplySeen, isBlocked } = connection;
  const flags = `${isReplySeen ? "replied" : ""} ${isBlocked ? "blocked" : ""}`;
  const [source, destination] = [connection.source, connection.destination].map(hexOf);
  const what = `${protocol} ${source} ${sourcePort} > ${destination} ${destinationPort}`;
  const left = (connection.expires - nowMs) | 0;
  return `${port} ${what} ${flags} ${TCP_STATES[connection.state]} ${left}`;
}

function hexOf(words: readonly number[]): string {
  const hex = words.map((word) => (word >>> 0).toString(16).padStart(8, "0"));
  return isIpv4(words as Address) ? hex[3]! : hex.join("");
}

function framesOf(frames: readonly { readonly port: string; readonly bytes: Uint8Array }[]) {
  return frames.map(({ port, bytes }) => `${port} ${Buffer.from(bytes).toString("hex")}`).sort();
}

function countsOf(names: readonly string[]): Map<string, number> {
  return new Map([...Map.groupBy(names, (name) => name)].map(([name, all]) => [name, all.length]));
}

function sorted(counts: ReadonlyMap<string, number>): string[] {
  return [...counts].map(([name, count]) => `${name} ${count}`).sort();
}
