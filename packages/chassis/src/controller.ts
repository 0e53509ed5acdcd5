/**
 * The control thread's loop: desired state in, generations and devices out.
 *
 * An event only marks that there is work; the work is done a few milliseconds later from the newest
 * state, however many events there were. A compilation that fails leaves the old tables in force.
 */
import type { Report } from "@rhone/dataplane-worker/plan";
import { GENERATIONS_HELD } from "@rhone/dataplane-worker/table-history";
import { Barrier } from "@rhone/gossip/barrier";
import type { Status } from "@rhone/gossip/claim";
import type { GatewayTurn } from "@rhone/gossip/claim-changes";
import { Gathering } from "@rhone/gossip/gathering";
import { PortClaims } from "@rhone/gossip/port-claims";
import { setRealTimer } from "@rhone/gossip/transport";
import { WriteBudget } from "@rhone/gossip/write-budget";
import { writeTurn } from "@rhone/gossip/write-turn";
import type { Entry } from "@rhone/state/record";
import { type Kind, USER_KINDS } from "@rhone/state/schema";
import { get, type State } from "@rhone/state/state";
import type { Store } from "@rhone/state/store";
import type { Zone } from "@rhone/tables/moved-connections";
import type { Logger } from "pino";
import { CompileError } from "./compile-error.ts";
import { type CompileCounts, Compiler } from "./compiler.ts";
import type { Dataplane } from "./dataplane.ts";
import { type Devices, RETRY_MS } from "./devices.ts";
import type { RuleHits } from "./rule-hits.ts";
import { epochAt, type StampKeys } from "./stamp-keys.ts";

/** Between two looks at what the workers have, while somebody waits for it: not all is told. */
const APPLIED_POLL_MS = 2;

export interface ControllerOptions {
  readonly chassis: string;
  /** When no document says how many. */
  readonly workers: number;
  readonly tunnelMtu: number;
  /** Of the stamps' tags; null when the cluster has no key. */
  readonly stampKeys: StampKeys | null;
  readonly store: Store;
  readonly dataplane: Dataplane;
  readonly devices: Devices;
  readonly ruleHits: RuleHits;
  readonly turnAt: (gateway: string) => GatewayTurn;
  readonly log: Logger;
}

export class Controller {
  readonly #options: ControllerOptions;
  readonly #unsubscribe: () => void;
  readonly #retryTimer: NodeJS.Timeout;
  readonly #compiler: Compiler;
  /** Says when generations begin. */
  readonly barrier: Barrier;
  /** Says when they are compiled. */
  readonly #gathering: Gathering;
  #failure: Error | null = null;
  /** Of the state that could not be compiled; null when the newest could. */
  #failedRevision: number | null = null;
  /** Marks so far; those that the last compilation knew of; and the edition that came of it. */
  #marked = 0;
  #compiled = 0;
  #edition = 0;
  /** Called when the workers have got on. */
  readonly #onProgress = new Set<() => void>();
  /** What somebody waits for: marks, and the edition with all of them once it is compiled. */
  readonly #awaited = new Set<{ readonly marked: number; edition: number | null }>();
  #epoch = epochAt(Date.now());
  readonly #claims: PortClaims;
  readonly #budget = new WriteBudget(() => performance.now());

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.#compiler = new Compiler((error) => {
      options.log.error({ error }, "a step of the compilation failed; everything was compiled");
    });
    const { store, chassis, devices, turnAt, log } = options;
    this.#claims = new PortClaims({
      ...{ chassis, store, turnAt, devices: () => devices.list() },
      onFailure: (error) => log.error({ error }, "cannot claim ports"),
    });
    this.barrier = new Barrier({
      self: options.chassis,
      editionsMax: GENERATIONS_HELD,
      vector: () => store.vector,
      begin: (edition) => this.#begin(edition),
      hurry: () => {
        // What cannot be compiled would not be, again.
        if (store.revision !== this.#failedRevision) this.#gathering.follow();
      },
      onOverdue: (names, edition) => {
        options.log.warn({ names, edition }, "tables begin that not all are known to hold");
      },
      now: () => performance.now(),
      setTimer: setRealTimer,
    });
    this.#gathering = new Gathering({
      compile: (isUrgent) => this.#reconcile(isUrgent),
      waiting: () => this.barrier,
      editionsMax: GENERATIONS_HELD,
      now: () => performance.now(),
      setTimer: setRealTimer,
    });
    this.#unsubscribe = store.onChange((entries, source) => {
      const isAsked = entries.every(({ version }) => this.barrier.asks(version.origin));
      this.#marked++;
      if (source === "local") {
        this.#budget.spend(entries.filter(isUsers).length);
        this.#gathering.markWritten();
      } else if (isAsked) this.#gathering.markAsked();
      else this.#gathering.mark();
      this.barrier.onChange();
    });
    this.#retryTimer = setInterval(() => this.#tick(), RETRY_MS);
    this.mark();
  }

  /** Why the newest state is not in force; "" when it is. */
  get failure(): string {
    return this.#failure?.message ?? "";
  }

  /** The object that cannot be compiled; null when there is none, or it is not known. */
  get culprit(): CompileError | null {
    return this.#failure instanceof CompileError ? this.#failure : null;
  }

  /** How the generations so far were compiled. */
  get compilations(): CompileCounts {
    return this.#compiler.counts;
  }

  /** The zone of a port's connections in the newest tables; null when they do not have it. */
  zoneOf(port: string): Zone | null {
    return this.#compiler.zoneOf(port);
  }

  /** Marks that state or devices changed. */
  mark(): void {
    this.#marked++;
    this.#gathering.mark();
  }

  /** Packets wait for something that is known already, or is about to be. */
  hurry(): void {
    this.#gathering.hurry();
  }

  /** What a worker said about itself or a device. */
  onReport(report: Report): void {
    const { devices, log } = this.#options;
    if (report.type === "held") this.#tellHeld();
    if (report.type === "begun") for (const look of this.#onProgress) look();
    if (report.type === "started") {
      this.#tellHeld();
      this.mark(); // Stages can be placed with it.
    }
    if (report.type === "awakened") this.#activate(report.index);
    if (!devices.report(report)) return;
    log.info({ report }, "device changed");
    this.mark();
  }

  /** Hears of each change of another chassis' status. */
  onMember(chassis: string, status: Status): void {
    this.barrier.onMember(chassis, status);
    this.#claims.onMember(chassis, status);
    this.mark(); // It may have had a port that another one has the device of.
  }

  /** Resolves when a write will not keep all from agreeing on those before it, or after a limit. */
  mayWrite(): Promise<void> {
    return writeTurn({
      barrier: this.barrier,
      budget: this.#budget,
      now: () => performance.now(),
      pause: (ms) => this.#progress(ms),
    });
  }

  /** Resolves true when every worker runs what is known now, false after the time is up. */
  async waitApplied(timeoutMs: number): Promise<boolean> {
    const deadline = performance.now() + timeoutMs;
    // Later generations are not waited for, or it would never be so while changes go on.
    const awaited = { marked: this.#marked, edition: null as number | null };
    if (this.#compiled === this.#marked) awaited.edition = this.#edition;
    this.#awaited.add(awaited);
    while (!this.#isApplied(awaited.edition) && performance.now() <= deadline) {
      await this.#progress(APPLIED_POLL_MS);
    }
    this.#awaited.delete(awaited);
    return this.#isApplied(awaited.edition);
  }

  /** Resolves when a worker has got on, or the time is up. */
  #progress(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#onProgress.delete(end);
        resolve();
      };
      const timer = setTimeout(end, timeoutMs);
      this.#onProgress.add(end);
    });
  }

  #isApplied(edition: number | null): boolean {
    const { dataplane } = this.#options;
    return edition !== null && dataplane.begun() >= edition && dataplane.isComplete;
  }

  stop(): void {
    this.barrier.stop();
    this.#unsubscribe();
    clearInterval(this.#retryTimer);
    this.#gathering.stop();
  }

  #tick(): void {
    const { devices } = this.#options;
    devices.retry();
    if (devices.isOutdated) this.mark();
    if (this.#claims.hasFailed) this.#claims.announce(); // The disk was full, say.
    if (epochAt(Date.now()) !== this.#epoch) this.mark(); // The stamps' keys have changed.
  }

  /**
   * The guest of a port that moves here has been heard: it is here now. Our own tables change in
   * the same turn, since others may send packets for it as soon as they hear.
   */
  #activate(index: number): void {
    const { devices, log } = this.#options;
    const port = devices.portOf(index);
    if (port === undefined) return;
    log.info({ port }, "the guest of a port that moves here has been heard");
    this.#claims.activate(port);
    this.#gathering.compile(true);
  }

  /** This chassis begins or ends to forward for a gateway: as above, in the same turn. */
  takeTurn(): void {
    this.#claims.announce();
    this.#reconcile(true);
  }

  /** A worker has died. */
  onWorkerLost(): void {
    this.#tellHeld(); // What it alone did not hold, all hold now.
    this.mark(); // No stage is placed with it any more.
  }

  #tellHeld(): void {
    this.barrier.hold(this.#options.dataplane.held());
  }

  #begin(edition: number): void {
    this.#options.dataplane.begin(edition);
    this.#gathering.onBegin();
  }

  #reconcile(isUrgent: boolean): void {
    const { chassis, tunnelMtu, stampKeys, store, dataplane, devices, ruleHits, log } =
      this.#options;
    const state = store.snapshot();
    const marked = this.#marked;
    const wanted = workersOf(state, chassis) ?? this.#options.workers;
    try {
      devices.follow(state);
      this.#epoch = epochAt(Date.now());
      const keys = stampKeys === null ? null : { made: stampKeys, epoch: this.#epoch };
      const ruleCounters = ruleHits.follow(state.acls.map(({ name }) => name));
      const self = { name: chassis, tunnelMtu, keys, devices: devices.indices(), ruleCounters };
      const workers = dataplane.running.filter((worker) => worker < wanted);
      this.#edition = dataplane.publish(this.#compiler.compile(state, { ...self, workers }));
      const { vector, root, hasGap } = store;
      const content = { vector, revision: state.revision, root, hasGap };
      this.barrier.publish(this.#edition, content, isUrgent);
      // Afterwards: who is to go has no stage placed with it any more.
      dataplane.scale(wanted);
      this.#compiled = marked;
      for (const awaited of this.#awaited) {
        if (awaited.marked <= marked) awaited.edition ??= this.#edition;
      }
      this.#failure = null;
      this.#failedRevision = null;
    } catch (error) {
      this.#failure = error as Error;
      this.#failedRevision = state.revision;
      log.error({ error, revision: state.revision }, "cannot compile; the old tables stay");
    }
    this.#announceWorkers();
    this.#claims.announce();
  }

  /** Tells the others how many workers there are to be. */
  #announceWorkers(): void {
    const { chassis, store, dataplane, log } = this.#options;
    const own = get(store.snapshot(), "chassis", chassis)?.value;
    const workers = dataplane.workersWanted;
    if (own === undefined || own.workers === workers) return;
    const result = store.transact([{ op: "put", document: { ...own, workers } }], "chassis");
    if (!result.ok) log.error({ error: result.error }, "cannot announce the workers");
  }
}

/** Whether it is of a kind that users write. */
function isUsers({ kind }: Entry): boolean {
  return (USER_KINDS as readonly Kind[]).includes(kind);
}

/** How many workers users want a chassis to have, undefined when they have not said. */
export function workersOf(state: State, chassis: string): number | undefined {
  return get(state, "dataplane", chassis)?.value.workers;
}
