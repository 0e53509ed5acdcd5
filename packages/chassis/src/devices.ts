/**
 * Which devices this chassis serves: follows the desired state, opens and closes ports at the
 * workers, and says which of them are open. A device that is missing is tried again until it comes;
 * of a port that asks for no chassis it is looked for, and opened where it is found.
 */
import type { Driver, Report } from "@rhone/dataplane-worker/plan";
import { DEVICES_MAX } from "@rhone/rings/counters";
import { get, type State } from "@rhone/state/state";

/** How long to wait before a device that refused is tried again. */
export const RETRY_MS = 500;

type Phase = "opening" | "up" | "refused" | "closing";

export interface DeviceView {
  readonly port: string;
  readonly device: string;
  readonly driver: Driver;
  readonly index: number;
  readonly worker: number;
  readonly phase: Phase;
  /** Why it is not up; when it is, what there is to say of it, mostly "". */
  readonly detail: string;
}

type OpenState = Extract<Report, { type: "opened" }>["state"];

interface DeviceRecord {
  readonly port: string;
  readonly device: string;
  readonly driver: Driver;
  /** Whether it is a gateway's. */
  readonly isFenced: boolean;
  readonly index: number;
  /** Whether the data plane was asked for it. */
  isAsked: boolean;
  phase: Phase;
  detail: string;
  /** Receive queues that its port serves; 0 when that is not the port's business. */
  queues: number;
}

/** What is asked of the machine. */
export interface Machine {
  /** Receive queues that a device has now, 0 when nobody knows. */
  queuesOf(device: string): number;
  hasDevice(device: string): boolean;
  /** Devices that the chassis lives by itself, and why no port can have them. */
  ownDevices(): ReadonlyMap<string, string>;
}

interface Want {
  readonly device: string;
  readonly driver: Driver;
  readonly isFenced: boolean;
}

/** The few calls into the data plane that devices need. */
export interface DeviceOpener {
  /** Has the device opened by a worker of its own choice. */
  openDevice(index: number, device: string, driver: Driver): void;
  closeDevice(index: number): void;
  /** Shuts a device of a gateway until it has a lease; one of no gateway is open. */
  fenceDevice(index: number, isFenced: boolean): void;
  /** The worker that has the device now. */
  workerOf(index: number): number;
}

export class Devices {
  readonly #self: string;
  readonly #driver: Driver;
  readonly #opener: DeviceOpener;
  readonly #machine: Machine;
  readonly #most: number;
  readonly #records = new Map<number, DeviceRecord>();
  #homeless: readonly string[] = [];
  /** As they were when a device was last to be opened. */
  #own: ReadonlyMap<string, string> = new Map();
  /** Of ports that ask for no chassis, and whether they were here at the last look. */
  #floating = new Map<string, boolean>();

  /** There is a place for `most` devices. */
  constructor(
    self: string,
    driver: Driver,
    opener: DeviceOpener,
    machine: Machine,
    most = DEVICES_MAX,
  ) {
    this.#self = self;
    this.#driver = driver;
    this.#opener = opener;
    this.#machine = machine;
    this.#most = most;
  }

  /** Opens what the state wants here and is not open, closes what it wants no more. */
  follow(state: State): void {
    const wanted = this.#wantedOf(state);
    for (const record of this.#records.values()) {
      const want = wanted.get(record.port);
      const isSame =
        want?.device === record.device &&
        want.driver === record.driver &&
        want.isFenced === record.isFenced;
      if (isSame) wanted.delete(record.port);
      else if (record.phase !== "closing") this.#close(record);
      if (record.phase === "closing") wanted.delete(record.port); // It opens once it is closed.
    }
    if (wanted.size > 0) this.#own = this.#machine.ownDevices();
    this.#homeless = [...wanted]
      .filter(([port, want]) => !this.#open(port, want))
      .map(([port]) => port);
  }

  /** Devices that there is a place for. */
  get most(): number {
    return this.#most;
  }

  /** Ports that found no place. */
  get homeless(): readonly string[] {
    return this.#homeless;
  }

  /**
   * Tries again what was refused, and closes what has another number of queues now: frames on those
   * that its port does not serve would be lost on it. It opens again as soon as it is closed.
   */
  retry(): void {
    for (const record of this.#records.values()) {
      if (record.phase === "up" && record.queues > 0) {
        const queues = this.#machine.queuesOf(record.device);
        if (queues > 0 && queues !== record.queues) this.#close(record);
      }
      if (record.phase !== "refused") continue;
      if (!record.isAsked) this.#own = this.#machine.ownDevices();
      this.#ask(record);
    }
  }

  /** Whether a device came or went that is opened where it is found. */
  get isOutdated(): boolean {
    return [...this.#floating].some(([device, was]) => was !== this.#isHere(device));
  }

  /** Takes in what a worker says; true when something changed that peers or tables must know. */
  report(report: Report): boolean {
    if (!("index" in report) || report.type === "awakened" || report.type === "adopted") {
      return false;
    }
    const record = this.#records.get(report.index);
    if (record === undefined) return false;
    const { phase: before, detail: known } = record;
    switch (report.type) {
      case "opened":
        if (record.phase !== "closing") record.phase = "up";
        record.detail = remarkOn(report.state);
        record.queues = report.state.driver === "af-xdp" ? report.state.queues.length : 0;
        return before !== record.phase;
      case "refused":
        if (record.phase === "closing") this.#records.delete(record.index);
        else record.phase = "refused";
        record.detail = report.detail;
        return before === "up" || before === "closing" || report.detail !== known;
      case "closed":
        if (record.phase === "closing") this.#records.delete(record.index);
        else record.phase = "refused"; // The device went away by itself.
        record.detail = report.detail;
        return true;
      case "detached": // It is on its way to another worker, and as good as there.
        return false;
    }
  }

  /** By logical port: the device that the tables say its frames come and go by. */
  indices(): ReadonlyMap<string, { index: number }> {
    const up = [...this.#records.values()].filter(({ phase }) => phase !== "closing");
    return new Map(up.map(({ port, index }) => [port, { index }]));
  }

  portOf(index: number): string | undefined {
    return this.#records.get(index)?.port;
  }

  list(): readonly DeviceView[] {
    return [...this.#records.values()]
      .map(({ queues: _, isFenced: __, isAsked: ___, ...record }) => {
        return { ...record, worker: this.#opener.workerOf(record.index) };
      })
      .toSorted((a, b) => (a.port < b.port ? -1 : 1));
  }

  #wantedOf(state: State): Map<string, Want> {
    const wanted = new Map<string, Want>();
    const floating: [string, Want][] = [];
    for (const { name, value } of state.ports) {
      const { chassis, migration } = value;
      const isComing = migration?.chassis === this.#self;
      const device = (isComing ? migration.device : undefined) ?? value.device;
      if (device === undefined) continue;
      const driver = (isComing ? migration.driver : undefined) ?? value.driver ?? this.#driver;
      const want = { device, driver, isFenced: value.gateway !== undefined };
      const isOurs = want.isFenced
        ? isMember(state, value.gateway!, this.#self)
        : chassis === this.#self || isComing;
      if (isOurs) wanted.set(name, want);
      else if (chassis === undefined && !want.isFenced) floating.push([name, want]);
    }
    // What was promised to a port of this chassis is not found by another one.
    const taken = new Set([...wanted.values()].map(({ device }) => device));
    const looked = floating.map(([, { device }]) => device).filter((device) => !taken.has(device));
    if (looked.length > 0) this.#own = this.#machine.ownDevices();
    this.#floating = new Map(looked.map((device) => [device, this.#isHere(device)]));
    for (const [name, want] of floating) {
      if (this.#floating.get(want.device) === true) wanted.set(name, want);
    }
    return wanted;
  }

  #open(port: string, { device, driver, isFenced }: Want): boolean {
    const index = this.#freeIndex();
    if (index < 0) return false;
    const beginning = { isAsked: false, phase: "refused", detail: "", queues: 0 } as const;
    const record: DeviceRecord = { port, device, driver, isFenced, index, ...beginning };
    this.#records.set(index, record);
    this.#opener.fenceDevice(index, isFenced);
    this.#ask(record);
    return true;
  }

  /** Has it opened, unless the chassis would cut itself off. */
  #ask(record: DeviceRecord): void {
    const { index, device, driver } = record;
    const use = this.#own.get(device);
    record.isAsked = use === undefined;
    record.phase = record.isAsked ? "opening" : "refused";
    if (record.isAsked) this.#opener.openDevice(index, device, driver);
    else record.detail = `expected a device for a port, but ${use}`;
  }

  /** Whether a port that may be anywhere finds its device here. */
  #isHere(device: string): boolean {
    return this.#machine.hasDevice(device) && !this.#own.has(device);
  }

  #close(record: DeviceRecord): void {
    if (!record.isAsked) {
      this.#records.delete(record.index);
      return;
    }
    record.phase = "closing";
    this.#opener.closeDevice(record.index);
  }

  #freeIndex(): number {
    for (let index = 0; index < this.#most; index++) if (!this.#records.has(index)) return index;
    return -1;
  }
}

/** What makes an open port slower than its kind may be. */
function remarkOn(state: OpenState): string {
  const isSlow = state.driver === "af-xdp" && !state.isNative;
  return isSlow ? "its driver has no XDP: the kernel copies each frame first" : "";
}

function isMember(state: State, gateway: string, chassis: string): boolean {
  const members = get(state, "gateway", gateway)?.value.members ?? [];
  return members.some((member) => member.chassis === chassis);
}
